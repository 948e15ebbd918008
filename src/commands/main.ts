/** The program's entry: what the launchers run. */
import { failureText, runCli } from './cli.ts';
import type { CommandContext } from './command.ts';
import { COMMANDS } from './command-list.ts';
import { endEarly } from './first-process.ts';
import { processContext } from './process-context.ts';

if (process.pid === 1) endEarly(process, process.exit);
const args = process.argv.slice(2);
let context: CommandContext | null = null;
try {
  context = processContext();
} catch (error) {
  process.stderr.write(failureText(error, args.includes('--json')));
}
if (context === null) process.exitCode = 1;
// What a shell asks for at each Tab.
else if (args[0] === '__complete') process.exitCode = await complete(context, args.slice(1));
else process.exitCode = await runCli(args, COMMANDS, context);

async function complete(of: CommandContext, words: string[]): Promise<number> {
  const { candidates } = await import('./candidates.ts');
  of.out((await candidates(of, words, COMMANDS)).map((candidate) => `${candidate}\n`).join(''));
  return 0;
}
