/** `dormouse queue depth`: how many messages wait, and what became of the others. */
import type { CommandContext, CommandOptions } from '../command.ts';
import { flagsOf, readStats } from './programs.ts';
import { queueOf } from './queue-of.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const stats = await readStats(flagsOf(queueOf(context, options)), context.interrupted());
  context.out(
    options.json === true
      ? `${JSON.stringify(stats)}\n`
      : `${stats.depth} wait in ${stats.queue}, ${stats.inFlight} in flight, ${stats.done} done\n`,
  );
  return 0;
}
