/** `dormouse queue depth`: how many messages wait, and what became of the others. */
import type { CommandContext, CommandOptions } from '../command.ts';
import { isOfCluster } from './is-of-cluster.ts';
import { flagsOf, readStats, type QueueStats } from './programs.ts';
import { queueOf } from './queue-of.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const stats = isOfCluster(options)
    ? await ofCluster(context, options)
    : await readStats(flagsOf(queueOf(context, options)), context.interrupted());
  context.out(
    options.json === true
      ? `${JSON.stringify(stats)}\n`
      : `${stats.depth} wait in ${stats.queue}, ${stats.inFlight} in flight, ${stats.done} done\n`,
  );
  return 0;
}

async function ofCluster(context: CommandContext, options: CommandOptions): Promise<QueueStats> {
  const [{ openCluster }, { clusterStats }] = await Promise.all([import('./cluster.ts'), import('./cluster-queue.ts')]);
  await using cluster = await openCluster(context, options);
  return await clusterStats(cluster);
}
