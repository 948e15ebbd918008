/** The queue demo in a real cluster, by its own commands: pods from none to ten and back, each message done once; and what `down` leaves. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { runProgram, startProgram } from '../../../bench/processes.ts';
import type { Flow } from '../../../src/commands/queue/flow.ts';
import type { QueueStats } from '../../../src/commands/queue/programs.ts';
import type { Job } from '../../../src/drivers/kubernetes/job-driver.ts';
import type { BackendObject } from '../../../src/operator/backend-object.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { ensureCluster, loadImage, until, type Cluster } from '../machine/index.ts';
import { buildServerImage, DORMOUSE_IMAGE } from '../machine/images.ts';

const MAIN = join(import.meta.dirname, '../../../src/commands/main.ts');
const NAMESPACE = 'queue-demo-test';
const BOUND_MS = 180_000;
let cluster: Cluster;

before(async () => {
  cluster = await ensureCluster({ keda: true });
  for (const server of ['redis-server', 'nats-server'] as const) await loadImage(await buildServerImage(server));
  await installDormouse(cluster);
});
after(async () => {
  await demo('down').catch(() => {});
});

// By an HPA: test/cluster/scaling; where KEDA is, external metrics are KEDA's.
for (const [source, by] of [
  ['list', 'dormouse'],
  ['list', 'keda'],
  ['stream', 'dormouse'],
] as const) {
  test(`a ${source}, scaled by ${by}: from none to several pods and back, nothing lost, nothing twice`, async () => {
    const image = source === 'list' ? 'redis-server' : 'nats-server';
    const images = ['--image', DORMOUSE_IMAGE, '--server-image', `dormouse.test/${image}:latest`];
    const said = await demo('up', '--source', source, '--by', by, ...images);
    assert.match(said, /The queue demo is in the cluster, in namespace queue-demo-test; its workers sleep/);
    await using watching = watch();
    await watching.until('nobody works', ({ stages }) => stages.at(-1)?.value === 0);
    assert.match(await queue('enqueue', '150'), /^150 messages appended in namespace queue-demo-test/);
    const busy = await watching.until('several pods', ({ stages }) => (stages.at(-1)?.value ?? 0) >= 4);
    assert.ok((busy.stages.at(-2)?.value ?? 0) >= 4, 'whoever scales wants as many');
    const done = await watching.until('all is done', ({ stats }) => stats?.done === 150);
    assert.deepEqual([done.stats!.taken, done.stats!.returned], [150, 0]);
    await watching.until('asleep again', ({ stages }) => stages.at(-1)?.value === 0);
    const { stats } = await watching.until('at the end', () => true);
    const { depth, inFlight, taken, returned } = stats!;
    assert.deepEqual({ depth, inFlight, taken, returned }, { depth: 0, inFlight: 0, taken: 150, returned: 0 });
    assert.match(await queue('depth'), /^0 wait in queue-demo, 0 in flight, 150 done/);
    assert.match(await demo('down'), /the queue demo is gone: \d+ objects, and the namespace/);
    assert.equal(await cluster.read(`/api/v1/namespaces/${NAMESPACE}`), null);
    await assert.rejects(queue('depth'), /no queue demo with a queue is in namespace queue-demo-test/);
  });
}

test('scale.jobs: a Job for each batch, five at most, and none is left running; a history of three', async () => {
  const images = ['--image', DORMOUSE_IMAGE, '--server-image', 'dormouse.test/redis-server:latest'];
  await demo('up', ...images);
  const command = [
    'node',
    '/dormouse/examples/queue-demo/worker.js',
    '--batch',
    '4',
    '--work',
    '500',
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
  await queue('enqueue', '40', '--queue', 'grain');
  let most = 0;
  const jobs = `/apis/batch/v1/namespaces/${NAMESPACE}/jobs?labelSelector=dormouse.dev%2Fbackend%3Dmill`;
  const pods = await cluster.read<{ items: { status: { podIP: string } }[] }>(
    `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=app%3Dqueue`,
  );
  const redis = `redis://${pods!.items[0]!.status.podIP}:6379`;
  const direct = [process.execPath, MAIN, 'queue', 'depth', '--json', '--connection', redis, '--queue', 'grain'];
  const measured = async (): Promise<QueueStats> =>
    JSON.parse(await runProgram(direct, { core: null }, BOUND_MS)) as QueueStats;
  // Between two runs nothing may be under way for a moment.
  const stats = await until(
    'all messages are done, and all Jobs have ended',
    async () => {
      const { items } = (await cluster.read<{ items: Job[] }>(jobs))!;
      const active = items.filter(({ status }) => (status?.conditions ?? []).length === 0);
      most = Math.max(most, active.length);
      const state = (await cluster.read<BackendObject>(path))?.status?.state;
      if (most === 0 || active.length > 0 || state !== 'asleep' || items.length > 3) return null;
      const now = await measured();
      return now.done === 40 ? now : null;
    },
    { timeoutMs: BOUND_MS },
  );
  assert.ok(most > 1 && most <= 5, `${most} at once`);
  const { depth, inFlight, done, taken, returned } = stats;
  assert.deepEqual(
    { depth, inFlight, done, taken, returned },
    { depth: 0, inFlight: 0, done: 40, taken: 40, returned: 0 },
  );
  await cluster.kubectl(['-n', NAMESPACE, 'delete', 'cronjob', 'mill']);
  assert.match(await demo('down'), /the queue demo is gone/);
});

test('in a namespace of somebody else only what is the demo’s goes', async () => {
  await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } }]);
  const own = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'own', namespace: NAMESPACE }, data: {} };
  await cluster.apply([own]);
  await demo('up', '--source', 'cron', '--image', DORMOUSE_IMAGE);
  assert.match(await demo('down'), /the queue demo is gone: \d+ objects$/);
  assert.notEqual(await cluster.read(`/api/v1/namespaces/${NAMESPACE}/configmaps/own`), null);
  await until('the Deployment is gone', async () => {
    return (await cluster.read(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments/worker`)) === null;
  });
  assert.match(await demo('down'), /no queue demo is in namespace/);
  await cluster.kubectl(['delete', 'namespace', NAMESPACE, '--wait=true']);
});

function where(): string[] {
  return ['--namespace', NAMESPACE, '--kubeconfig', cluster.kubeconfigPath];
}

function demo(action: string, ...flags: string[]): Promise<string> {
  return runProgram([process.execPath, MAIN, 'demo', 'queue', action, ...flags, ...where()], { core: null }, BOUND_MS);
}

function queue(...args: string[]): Promise<string> {
  return runProgram([process.execPath, MAIN, 'queue', ...args, ...where()], { core: null }, BOUND_MS);
}

interface Watching extends AsyncDisposable {
  /** The next flow that is as wanted. */
  until(what: string, holds: (flow: Flow) => boolean): Promise<Flow>;
}

function watch(): Watching {
  const flows: Flow[] = [];
  let from = 0;
  let told: () => void = () => {};
  const command = [process.execPath, MAIN, 'demo', 'queue', 'status', '--watch', '--json', ...where()];
  const program = startProgram(command, {
    core: null,
    onLine: (line) => {
      flows.push(JSON.parse(line) as Flow);
      told();
    },
  });
  return {
    async until(what, holds) {
      const late = AbortSignal.timeout(BOUND_MS);
      for (;;) {
        const at = flows.findIndex((flow, index) => index >= from && holds(flow));
        if (at >= 0) {
          from = at + 1;
          return flows[at]!;
        }
        await new Promise<void>((resolve, reject) => {
          told = resolve;
          const fail = (): void =>
            reject(new Error(`${what}: not yet; ${JSON.stringify(flows.at(-1))} ${program.errors()}`));
          late.addEventListener('abort', fail, { once: true });
          void program.ended.then(fail);
        });
      }
    },
    async [Symbol.asyncDispose]() {
      await program.stop();
    },
  };
}
