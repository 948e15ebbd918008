/** `dormouse demo queue up | down | status`: examples/queue-demo on this machine, or with --cluster in a Kubernetes cluster. */
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions, RunCommand } from '../command.ts';

const ACTIONS: Readonly<Record<string, () => Promise<{ run: RunCommand }>>> = {
  up: () => import('./local-up.ts'),
  down: () => import('./local-down.ts'),
  status: () => import('./status.ts'),
};

/** Throws DORMOUSE_USAGE. */
export async function run(
  context: CommandContext,
  [action = '']: readonly string[],
  options: CommandOptions,
): Promise<number> {
  const load = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
  if (load === undefined) {
    const text = `"${action}" is nothing that the queue demo does: up, down or status`;
    throw new DormouseError('DORMOUSE_USAGE', text, { userFault: true });
  }
  return (await load()).run(context, [], options);
}
