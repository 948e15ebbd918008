/** `dormouse demo queue down --cluster`: deletes what the demo made, the Backend first, and nothing else. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isReason } from '../../kubernetes/api-error.ts';
import type { KubernetesObject, Resource } from '../../kubernetes/client.ts';
import { DEPLOYMENTS, JOBS, NAMESPACES, SERVICES } from '../../kubernetes/resources.ts';
import { DormouseError } from '../../model/errors.ts';
import { BACKENDS } from '../../operator/backend-object.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { DEMO, openCluster, PART_OF, type DemoCluster } from './cluster.ts';

/** The Backend goes first: what it changed is put back while its target is there. */
const KINDS: readonly Resource[] = [BACKENDS, JOBS, DEPLOYMENTS, SERVICES];
const GONE_WITHIN_MS = 180_000;
const LOOK_EVERY_MS = 250;

export async function run(context: CommandContext, _args: readonly string[], options: CommandOptions): Promise<number> {
  await using cluster = await openCluster(context, options);
  const { client, namespace, signal } = cluster;
  const place = await client.get(NAMESPACES, { name: namespace }, { signal });
  let removed = 0;
  if (place !== null) for (const kind of KINDS) removed += await removeAll(cluster, kind);
  const own = place?.metadata.labels?.[PART_OF] === DEMO;
  if (own) {
    await client.delete(NAMESPACES, { name: namespace }, { signal });
    await until(
      cluster,
      `namespace ${namespace}`,
      async () => (await client.get(NAMESPACES, { name: namespace })) === null,
    );
  }
  if (options.json === true) context.out(`${JSON.stringify({ removed: removed > 0 || own })}\n`);
  else if (removed === 0 && !own) context.out(`no queue demo is in namespace ${namespace}\n`);
  else context.out(`the queue demo is gone: ${removed} objects${own ? `, and the namespace ${namespace}` : ''}\n`);
  return 0;
}

/** Those that have the demo's label, until they are gone. Gives their number. */
async function removeAll(cluster: DemoCluster, resource: Resource): Promise<number> {
  const { client, namespace, signal } = cluster;
  const list = async (): Promise<KubernetesObject[]> => {
    try {
      return (await client.list(resource, { namespace, labelSelector: `${PART_OF}=${DEMO}`, signal })).items;
    } catch (error) {
      // Without dormouse in the cluster there are no Backends.
      if (isReason(error, 'NotFound')) return [];
      throw error;
    }
  };
  const found = await list();
  for (const { metadata } of found)
    await client.delete(resource, { namespace, name: metadata.name }, { uid: metadata.uid, signal });
  if (found.length > 0)
    await until(cluster, `${resource.plural} of namespace ${namespace}`, async () => (await list()).length === 0);
  return found.length;
}

async function until({ signal }: DemoCluster, what: string, isGone: () => Promise<boolean>): Promise<void> {
  const giveUpAtMs = performance.now() + GONE_WITHIN_MS;
  while (!(await isGone())) {
    if (performance.now() > giveUpAtMs) {
      const text = `still there after ${GONE_WITHIN_MS / 1000} s: ${what}; see what holds it, then run this again`;
      throw new DormouseError('DORMOUSE_DEMO_STAYS', text, { userFault: true });
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}
