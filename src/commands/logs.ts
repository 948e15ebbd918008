/** `dormouse logs NAME`: what its instances wrote; with -f what they write from now on. */
import { DormouseError } from '../model/errors.ts';
import { printable } from '../telemetry/pretty-line.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { runningDormouse } from './running-dormouse.ts';
import { painter } from './text-table.ts';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const lines = wholeNumber(options.lines);
  const client = await runningDormouse(context, options);
  const follow = options.follow === true;
  const paint = painter(context.terminal.colours);
  for await (const line of client.logs(args[0]!, { lines, follow, signal: context.interrupted() })) {
    if (options.json === true) context.out(`${JSON.stringify(line)}\n`);
    else {
      const mark = line.stream === 'stderr' ? paint('!', 'red') : paint('|', 'dim');
      context.out(
        `${paint(new Date(line.atMs).toISOString(), 'dim')} ${line.instance} ${mark} ${printable(line.text)}\n`,
      );
    }
  }
  return 0;
}

function wholeNumber(value: unknown): number {
  if (value === undefined) return 100;
  if (typeof value === 'string' && /^\d{1,9}$/.test(value)) return Number(value);
  throw new DormouseError('DORMOUSE_USAGE', `-n takes a whole number, not "${String(value)}"`, { userFault: true });
}
