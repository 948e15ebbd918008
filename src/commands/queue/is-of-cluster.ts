import type { CommandOptions } from '../command.ts';

/** Whether a command is about the demo of a cluster: it says so, or names one. */
export function isOfCluster({ cluster, kubeconfig, namespace, context }: CommandOptions): boolean {
  return cluster === true || [kubeconfig, namespace, context].some((option) => typeof option === 'string');
}
