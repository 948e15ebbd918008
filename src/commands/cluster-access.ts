/** Which cluster a command is for, and as whom: by its options, or as kubectl. */
import { homedir } from 'node:os';
import { loadClusterConfig, type ClusterConfig } from '../kubernetes/cluster-config.ts';
import { systemClock } from '../model/ports.ts';
import type { CommandContext } from './command.ts';

/** `options`: --kubeconfig and --context where they were given. Rejects with DORMOUSE_KUBECONFIG or DORMOUSE_IN_CLUSTER. */
export function clusterAccess(
  { env }: Pick<CommandContext, 'env'>,
  options: { kubeconfig?: unknown; context?: unknown },
): Promise<ClusterConfig> {
  return loadClusterConfig({
    env,
    home: env['HOME'] ?? homedir(),
    clock: systemClock,
    ...(typeof options.kubeconfig === 'string' ? { kubeconfig: options.kubeconfig } : {}),
    ...(typeof options.context === 'string' ? { context: options.context } : {}),
  });
}
