/** The queue demo in a real cluster, by its own commands: pods from none to ten and back, each message done once; and what `down` leaves. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Job } from '../../../src/drivers/kubernetes/job-driver.ts';
import type { BackendObject } from '../../../src/operator/backend-object.ts';
import { killOperator, leader } from '../chaos/faults.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { DemoInCluster } from '../fixtures/queue-demo.ts';
import { ensureCluster, loadImage, until, type Cluster } from '../machine/index.ts';
import { buildServerImage, DORMOUSE_IMAGE } from '../machine/images.ts';

const NAMESPACE = 'queue-demo-test';
const BOUND_MS = 180_000;
let cluster: Cluster;
let demo: DemoInCluster;

before(async () => {
  cluster = await ensureCluster({ keda: true });
  for (const server of ['redis-server', 'nats-server'] as const) await loadImage(await buildServerImage(server));
  await installDormouse(cluster);
  demo = new DemoInCluster(cluster, NAMESPACE);
});
after(async () => {
  await demo?.demo('down').catch(() => {});
});

// By an HPA: test/cluster/scaling/hpa.test.ts; where KEDA is, external metrics are KEDA's.
for (const [source, by] of [
  ['list', 'dormouse'],
  ['list', 'keda'],
  ['stream', 'dormouse'],
] as const) {
  test(`a ${source}, scaled by ${by}: from none to several pods and back, nothing lost, nothing twice`, () =>
    demo.thereAndBack(source, by));
}

test('scale.jobs: a Job for each batch, five at most, also when another operator leads; none is left running; a history of three', async (t) => {
  const images = ['--image', DORMOUSE_IMAGE, '--server-image', 'dormouse.test/redis-server:latest'];
  await demo.demo('up', ...images);
  const command = [
    'node',
    '/dormouse/examples/queue-demo/worker.js',
    '--batch',
    '4',
    '--work',
    '1000',
    '--queue',
    'grain',
  ];
  const env = [{ name: 'QUEUE_DEMO_CONNECTION', value: 'redis://queue:6379' }];
  const container = { name: 'mill', image: DORMOUSE_IMAGE, imagePullPolicy: 'Never', command, env };
  const template = { spec: { restartPolicy: 'Never', containers: [container] } };
  const labels = { 'app.kubernetes.io/part-of': 'dormouse-queue-demo' };
  await cluster.apply([
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'mill', namespace: NAMESPACE, labels },
      spec: { schedule: '0 0 1 1 *', suspend: true, jobTemplate: { spec: { backoffLimit: 0, template } } },
    },
    {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name: 'mill', namespace: NAMESPACE, labels },
      spec: {
        kubernetes: { target: { apiVersion: 'batch/v1', kind: 'CronJob', name: 'mill' } },
        scale: { max: 5, jobs: { batch: 4, history: 3 } },
        triggers: [
          {
            name: 'grain',
            'redis-list': {
              address: `queue.${NAMESPACE}.svc:6379`,
              listName: 'grain',
              processingListName: 'grain:processing',
              pollingInterval: '500ms',
            },
          },
        ],
      },
    },
  ]);
  const path = `/apis/dormouse.dev/v1alpha1/namespaces/${NAMESPACE}/backends/mill`;
  await until('the Backend is ready', async () => {
    const conditions = (await cluster.read<BackendObject>(path))?.status?.conditions ?? [];
    return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
  });
  await demo.queue('enqueue', '80', '--queue', 'grain');
  let most = 0;
  const jobs = `/apis/batch/v1/namespaces/${NAMESPACE}/jobs?labelSelector=dormouse.dev%2Fbackend%3Dmill`;
  const pods = await cluster.read<{ items: { status: { podIP: string } }[] }>(
    `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=app%3Dqueue`,
  );
  const redis = `redis://${pods!.items[0]!.status.podIP}:6379`;
  // Between two runs nothing may be under way for a moment.
  const underWay = async (): Promise<{ items: Job[]; active: Job[] }> => {
    const { items } = (await cluster.read<{ items: Job[] }>(jobs))!;
    const active = items.filter(({ status }) => (status?.conditions ?? []).length === 0);
    most = Math.max(most, active.length);
    return { items, active };
  };
  await until('some are under way', async () => (await underWay()).active.length > 1);
  const killed = await leader(cluster);
  const strike = await killOperator(cluster);
  const another = strike();
  const stats = await until(
    'all messages are done, and all Jobs have ended',
    async () => {
      const { items, active } = await underWay();
      const state = (await cluster.read<BackendObject>(path))?.status?.state;
      if (most === 0 || active.length > 0 || state !== 'asleep' || items.length > 3) return null;
      const now = await demo.measured(redis, 'grain');
      return now.done === 80 ? now : null;
    },
    { timeoutMs: BOUND_MS },
  );
  await another;
  t.diagnostic(`${killed} led, then ${await leader(cluster)}`);
  assert.ok(most > 1 && most <= 5, `${most} at once`);
  const { depth, inFlight, done, taken, returned } = stats;
  assert.deepEqual(
    { depth, inFlight, done, taken, returned },
    { depth: 0, inFlight: 0, done: 80, taken: 80, returned: 0 },
  );
  await cluster.kubectl(['-n', NAMESPACE, 'delete', 'cronjob', 'mill']);
  assert.match(await demo.demo('down'), /the queue demo is gone/);
});

test('in a namespace of somebody else only what is the demo’s goes', async () => {
  await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } }]);
  const own = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'own', namespace: NAMESPACE }, data: {} };
  await cluster.apply([own]);
  await demo.demo('up', '--source', 'cron', '--image', DORMOUSE_IMAGE);
  assert.match(await demo.demo('down'), /the queue demo is gone: \d+ objects$/);
  assert.notEqual(await cluster.read(`/api/v1/namespaces/${NAMESPACE}/configmaps/own`), null);
  await until('the Deployment is gone', async () => {
    return (await cluster.read(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/worker`)) === null;
  });
  assert.match(await demo.demo('down'), /no queue demo is in namespace/);
  await cluster.kubectl(['delete', 'namespace', NAMESPACE, '--wait=true']);
});
