/** The program's entry: what the launchers run. */
import { runCli } from './cli.ts';
import { COMMANDS } from './command-list.ts';
import { processContext } from './process-context.ts';

process.exitCode = await runCli(process.argv.slice(2), COMMANDS, processContext());
