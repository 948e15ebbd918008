/** `dormouse demo queue up | down | status`: examples/queue-demo on this machine, or with --cluster in a Kubernetes cluster. */
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions, RunCommand } from '../command.ts';
import { isOfCluster } from './is-of-cluster.ts';

type Actions = Readonly<Record<string, () => Promise<{ run: RunCommand }>>>;

const ON_THIS_MACHINE: Actions = {
  up: () => import('./local-up.ts'),
  down: () => import('./local-down.ts'),
  status: () => import('./status.ts'),
};
const IN_A_CLUSTER: Actions = {
  up: () => import('./cluster-up.ts'),
  down: () => import('./cluster-down.ts'),
  status: () => import('./cluster-status.ts'),
};

/** Throws DORMOUSE_USAGE. */
export async function run(
  context: CommandContext,
  [action = '']: readonly string[],
  options: CommandOptions,
): Promise<number> {
  const actions = isOfCluster(options) ? IN_A_CLUSTER : ON_THIS_MACHINE;
  const load = Object.hasOwn(actions, action) ? actions[action] : undefined;
  if (load === undefined) {
    const text = `"${action}" is nothing that the queue demo does: up, down or status`;
    throw new DormouseError('DORMOUSE_USAGE', text, { userFault: true });
  }
  return (await load()).run(context, [], options);
}
