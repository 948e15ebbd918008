/** `dormouse queue enqueue [COUNT]`: appends messages to the demo's queue, or to any other that --connection names. */
import type { CommandContext, CommandOptions } from '../command.ts';
import { isOfCluster } from './is-of-cluster.ts';
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
    count: String(wholeNumber(count, 'the number of messages', 1, MAX_COUNT)),
  };
  if (typeof options.delay === 'string') flags.delay = String(wholeNumber(options.delay, '--delay', 0, MAX_DELAY_MS));
  if (typeof options.prefix === 'string') flags.prefix = options.prefix;
  const message = typeof options.message === 'string' ? ['--', options.message] : [];
  const said = isOfCluster(options)
    ? await inCluster(context, options, flags, message)
    : await runProgram(
        'producer.js',
        [...flagsOf({ ...queueOf(context, options), ...flags }), ...message],
        context.interrupted(),
      );
  context.out(options.json === true ? `${JSON.stringify({ count: Number(flags.count) })}\n` : said);
  return 0;
}

async function inCluster(
  context: CommandContext,
  options: CommandOptions,
  flags: Record<string, string>,
  message: readonly string[],
): Promise<string> {
  const [{ openCluster }, { produce }] = await Promise.all([import('./cluster.ts'), import('./cluster-queue.ts')]);
  await using cluster = await openCluster(context, options);
  if (typeof options.queue === 'string') flags.queue = options.queue;
  await produce(cluster, options, [...flagsOf(flags), ...message]);
  return `${flags.count} ${flags.count === '1' ? 'message' : 'messages'} appended in namespace ${cluster.namespace}\n`;
}
