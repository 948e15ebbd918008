/** `dormouse queue enqueue [COUNT]`: appends messages to the demo's queue, or to any other that --connection names. */
import type { CommandContext, CommandOptions } from '../command.ts';
import { flagsOf, runProgram, wholeNumber } from './programs.ts';
import { queueOf } from './queue-of.ts';

const MAX_COUNT = 1_000_000;
const MAX_DELAY_MS = 3_600_000;

export async function run(
  context: CommandContext,
  [count = '100']: readonly string[],
  options: CommandOptions,
): Promise<number> {
  const flags: Record<string, string> = {
    ...queueOf(context, options),
    count: String(wholeNumber(count, 'the number of messages', 1, MAX_COUNT)),
  };
  if (typeof options.delay === 'string') flags.delay = String(wholeNumber(options.delay, '--delay', 0, MAX_DELAY_MS));
  if (typeof options.prefix === 'string') flags.prefix = options.prefix;
  const message = typeof options.message === 'string' ? ['--', options.message] : [];
  const said = await runProgram('producer.js', [...flagsOf(flags), ...message], context.interrupted());
  context.out(options.json === true ? `${JSON.stringify({ queue: flags.queue, count: Number(flags.count) })}\n` : said);
  return 0;
}
