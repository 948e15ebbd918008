/** `dormouse demo queue up --cluster`: applies the manifests and waits for the queue. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../../kubernetes/client.ts';
import { DEPLOYMENTS, NAMESPACES } from '../../kubernetes/resources.ts';
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { shownCommand } from '../shown-command.ts';
import { painter } from '../text-table.ts';
import { DEMO, demoObjects, openCluster, PART_OF, resourceOf, sourceOf, type DemoCluster } from './cluster.ts';

const READY_WITHIN_MS = 180_000;
const LOOK_EVERY_MS = 250;

export interface Workload extends KubernetesObject {
  spec: { replicas?: number };
  status?: { readyReplicas?: number; replicas?: number };
}

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  const source = sourceOf(options);
  await using cluster = await openCluster(context, options);
  const { client, namespace, signal } = cluster;
  const objects = demoObjects({ namespace, source, options });
  // Kinds that are missing are told before anything is made.
  const resources = await Promise.all(objects.map((object) => resourceOf(cluster, object)));
  for (const [index, object] of objects.entries()) {
    const { name } = object.metadata;
    const resource = resources[index]!;
    // Somebody else's namespace is left as it is, and stays when the demo goes.
    if (object.kind === 'Namespace' && (await client.get(NAMESPACES, { name }, { signal })) !== null) continue;
    const place = resource.namespaced ? { namespace, name } : { name };
    await client.patch(resource, place, { type: 'apply', body: object, fieldManager: DEMO, force: true }, { signal });
  }
  if (objects.some(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'queue'))
    await untilReady(cluster, 'queue');
  if (options.json === true) {
    context.out(`${JSON.stringify({ namespace, source })}\n`);
    return 0;
  }
  const paint = painter(context.terminal.colours);
  const command = shownCommand(context.cwd);
  const where = namespace === 'queue-demo' ? ' --cluster' : ` --namespace ${namespace}`;
  const tries: [string, string][] = [
    ...(source === 'cron'
      ? []
      : [
          [`${command} queue enqueue 200${where}`, '200 messages: pods start, 10 at most, and go again'] as [
            string,
            string,
          ],
        ]),
    [`${command} demo queue status --watch${where}`, 'the flow, live'],
    [`kubectl get backends,deployments,pods -n ${namespace} -w`, 'the same, as Kubernetes sees it'],
    [`${command} demo queue down${where}`, 'removes all of it'],
  ];
  const width = Math.max(...tries.map(([line]) => line.length));
  context.out(
    `${paint('The queue demo is in the cluster,', 'bold')} in namespace ${namespace}; its workers sleep.\n\nTry:\n` +
      tries.map(([line, what]) => `  ${line.padEnd(width)}  ${paint(what, 'dim')}\n`).join(''),
  );
  return 0;
}

async function untilReady({ client, namespace, signal }: DemoCluster, name: string): Promise<void> {
  const giveUpAtMs = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const workload = await client.get<Workload>(DEPLOYMENTS, { namespace, name }, { signal });
    if ((workload?.status?.readyReplicas ?? 0) > 0) return;
    if (performance.now() > giveUpAtMs) {
      const text = `the Deployment ${name} is not ready after ${READY_WITHIN_MS / 1000} s; see: kubectl describe pods -n ${namespace} -l ${PART_OF}=${DEMO}`;
      throw new DormouseError('DORMOUSE_DEMO_STAYS', text, { userFault: true });
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}
