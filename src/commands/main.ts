/** The program's entry: what the launchers run. */
import { failureText, runCli } from './cli.ts';
import type { CommandContext } from './command.ts';
import { COMMANDS } from './command-list.ts';
import { processContext } from './process-context.ts';

const args = process.argv.slice(2);
let context: CommandContext | null = null;
try {
  context = processContext();
} catch (error) {
  process.stderr.write(failureText(error, args.includes('--json')));
}
process.exitCode = context === null ? 1 : await runCli(args, COMMANDS, context);
