/** `dormouse demo queue status --cluster`: once, or live with --watch. */
import type { CommandContext, CommandOptions } from '../command.ts';
import { openCluster } from './cluster.ts';
import { clusterFlow, followClusterFlow } from './cluster-flow.ts';
import { once, watch } from './status.ts';

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  await using cluster = await openCluster(context, options);
  if (options.watch !== true) return once(context, await clusterFlow(cluster), options);
  return await watch(context, (signal) => followClusterFlow(cluster, signal), options);
}
