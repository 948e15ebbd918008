/** The queue of the demo in a cluster: its figures, by way of the API server, and a Job that appends messages. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../../kubernetes/client.ts';
import { DEPLOYMENTS, JOBS, SERVICES } from '../../kubernetes/resources.ts';
import { DormouseError } from '../../model/errors.ts';
import type { CommandOptions } from '../command.ts';
import { producerJob, type DemoCluster } from './cluster.ts';
import type { QueueStats } from './programs.ts';

/** One that has to be scheduled, and appends slowly. */
const DONE_WITHIN_MS = 3_600_000;
const LOOK_EVERY_MS = 250;

interface Job extends KubernetesObject {
  status?: { succeeded?: number; failed?: number };
}

/** Throws DORMOUSE_DEMO_NOT_RUNNING, and what the API server says when nothing answers. */
export async function clusterStats({ client, namespace, signal }: DemoCluster): Promise<QueueStats> {
  const service = { namespace, name: 'queue:figures' };
  const stats = await client.get<KubernetesObject>(SERVICES, service, { subresource: 'proxy/figures', signal });
  if (stats !== null) return stats as unknown as QueueStats;
  const text = `no queue demo with a queue is in namespace ${namespace}; start it with: dormouse demo queue up --cluster`;
  throw new DormouseError('DORMOUSE_DEMO_NOT_RUNNING', text, { userFault: true });
}

/** Resolves when the messages are in the queue. Throws DORMOUSE_QUEUE when the Job fails. */
export async function produce(cluster: DemoCluster, options: CommandOptions, args: string[]): Promise<void> {
  const { client, namespace, signal } = cluster;
  const { image, connection } = await queueOf(cluster);
  const job = await client.create<Job>(JOBS, producerJob(namespace, { image, ...options }, args, connection), {
    namespace,
    signal,
  });
  const { name } = job.metadata;
  const giveUpAtMs = performance.now() + DONE_WITHIN_MS;
  for (;;) {
    const now = await client.get<Job>(JOBS, { namespace, name }, { signal });
    if (now === null || (now.status?.succeeded ?? 0) > 0) return;
    if ((now.status?.failed ?? 0) > 0 || performance.now() > giveUpAtMs) {
      const text = `the Job ${name} has failed; see: kubectl logs -n ${namespace} job/${name}`;
      throw new DormouseError('DORMOUSE_QUEUE', text, { userFault: true });
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

interface QueueDeployment extends KubernetesObject {
  spec: {
    template: { spec: { containers: { name: string; image: string; env?: { name: string; value?: string }[] }[] } };
  };
}

/** The image that the demo's own programs run in, and where they find the queue: as its Deployment says. */
async function queueOf({ client, namespace, signal }: DemoCluster): Promise<{ image: string; connection: string }> {
  const queue = await client.get<QueueDeployment>(DEPLOYMENTS, { namespace, name: 'queue' }, { signal });
  const figures = queue?.spec.template.spec.containers.find(({ name }) => name === 'figures');
  const local = figures?.env?.find(({ name }) => name === 'QUEUE_DEMO_CONNECTION')?.value;
  if (figures !== undefined && local !== undefined)
    return { image: figures.image, connection: local.replace('127.0.0.1', 'queue') };
  const text = `no queue demo with a queue is in namespace ${namespace}; start it with: dormouse demo queue up --cluster`;
  throw new DormouseError('DORMOUSE_DEMO_NOT_RUNNING', text, { userFault: true });
}
