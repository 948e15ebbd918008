/** scale.by hpa: the cluster's own HPA controller scales a Deployment by our external metrics, dormouse does zero and one, and another adapter is left alone. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { KubernetesObject } from '../../../src/kubernetes/client.ts';
import { AUTOSCALERS } from '../../../src/kubernetes/resources.ts';
import type { HorizontalPodAutoscaler } from '../../../src/operator/kinds.ts';
import { RedisServer } from '../../services/redis.ts';
import { Edge } from '../gateway-api/gateway.fixture.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { Objects } from '../fixtures/objects.ts';
import { DemoInCluster } from '../fixtures/queue-demo.ts';
import { backendObject, Scene } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { buildServerImage } from '../machine/images.ts';
import { appObjects, ensureCluster, loadImage, until, type Cluster } from '../machine/index.ts';
import { scaleWrites } from '../machine/audit.ts';

const API_SERVICE = 'v1beta1.external.metrics.k8s.io';
const API = '/apis/external.metrics.k8s.io/v1beta1';

let cluster: Cluster;
let scene: Scene;
let edge: Edge;
let hpas: Objects<HorizontalPodAutoscaler>;
/** Of whoever served external metrics before. */
let former: (KubernetesObject & { spec: object }) | null = null;
const ending = new AbortController();

before(async () => {
  cluster = await ensureCluster();
  former = await cluster.read(`/apis/apiregistration.k8s.io/v1/apiservices/${API_SERVICE}`);
  if (former !== null && JSON.stringify(former.spec).includes('dormouse')) former = null;
  else if (former !== null) await cluster.kubectl(['delete', 'apiservice', API_SERVICE]);
  await installDormouse(cluster, { values: { externalMetrics: { enabled: true } } });
  scene = await Scene.open(cluster, 'by-hpa');
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
  hpas = await Objects.watch(scene.client, AUTOSCALERS, scene.namespace.name, ending.signal);
  await cluster.kubectl(['wait', '--for=condition=Available', '--timeout=60s', `apiservice/${API_SERVICE}`]);
});
after(async () => {
  ending.abort();
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
  await installDormouse(cluster);
  if (former === null) return;
  const { apiVersion, kind, metadata, spec } = former;
  const { name, labels } = metadata;
  await cluster.apply([{ apiVersion, kind, metadata: { name, labels }, spec }]);
});

const HPA = { by: 'hpa', idleAfter: '2s', windows: { stable: '6s' } };

test('the real HPA scales it with the load, dormouse puts it to sleep and wakes it; no request is lost', async (t) => {
  const app = await edge.sleeping({
    name: 'users',
    backend: { scale: { ...HPA, max: 4, target: { concurrency: 2 } } },
  });
  const made = await hpas.until('its HPA', () => hpas.get('users'));
  assert.deepEqual(
    made.metadata.ownerReferences?.map(({ kind, name }) => [kind, name]),
    [['Backend', 'users']],
  );
  assert.equal(made.spec.minReplicas, 1);
  await app.untilCondition('AutoscalerReady', 'True', 'Hpa');
  const sinceMs = Date.now();
  assert.equal((await edge.untilRouted('users')).status, 200);
  const path = `${API}/namespaces/${scene.namespace.name}/http?labelSelector=dormouse.dev%2Fbackend%3Dusers`;
  // An operator that knows nothing of it yet says so with an error, at which an HPA stands still.
  await until('its load is told', async () => {
    const { stdout } = await cluster.kubectl(['get', '--raw', path]);
    return /"kind":"ExternalMetricValueList".*"metricName":"http"/.test(stdout);
  });
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('users'),
    path: '/slow?ms=400',
    kept: { clients: 8, everyMs: 1 },
  });
  await scene.deployments.until('several instances', () => (app.replicas ?? 0) >= 3, 90_000);
  const report = await traffic.end();
  assert.equal(report.lost.length, 0, summary(report));
  await edge.untilAsleep(app);
  const writes = scaleWrites().filter(
    ({ namespace, name, receivedAtMs }) =>
      namespace === scene.namespace.name && name === 'users' && receivedAtMs > sinceMs,
  );
  const by = (pattern: RegExp): number => writes.filter(({ userAgent }) => pattern.test(userAgent)).length;
  t.diagnostic(
    `${summary(report)}; writes of /scale: ${by(/horizontal-pod/)} by the HPA, ${by(/dormouse/)} by dormouse`,
  );
  assert.ok(by(/horizontal-pod/) >= 1);
  assert.ok(by(/dormouse/) >= 2);
  assert.equal(by(/keda/), 0);
  // It stands still at zero.
  await until('the HPA stands still', async () => {
    const found = (await scene.client.get(AUTOSCALERS, { namespace: scene.namespace.name, name: 'users' })) as {
      status?: { conditions?: { type: string; reason: string }[] };
    } | null;
    return found?.status?.conditions?.some(
      ({ type, reason }) => type === 'ScalingActive' && reason === 'ScalingDisabled',
    );
  });
  assert.equal(app.replicas, 0);
  await app.delete();
  await hpas.untilGone('users');
});

test('a queue: the real HPA scales its workers by what the trigger measures, dormouse does zero and one', async () => {
  await loadImage(await buildServerImage('redis-server'));
  await new DemoInCluster(cluster, 'queue-demo-hpa').thereAndBack('list', 'hpa');
});

test('what an HPA reads is never older than 5 s, though the source is asked once in ten minutes', async () => {
  const { nodeAddress } = cluster;
  await using redis = await RedisServer.start('', ['--bind', '127.0.0.1', nodeAddress, '--protected-mode', 'no']);
  const jobs = { address: `${nodeAddress}:${redis.port}`, listName: 'rare', pollingInterval: '10m' };
  await scene.namespace.apply([
    appObjects({ name: 'rare', replicas: 0 })[0]!,
    backendObject('rare', {
      kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'rare' } },
      idle: undefined,
      scale: { by: 'hpa', max: 2 },
      triggers: [{ name: 'jobs', 'redis-list': jobs }],
    }),
  ]);
  const path = `${API}/namespaces/${scene.namespace.name}/jobs?labelSelector=dormouse.dev%2Fbackend%3Drare`;
  const depth = async (): Promise<number> =>
    Number((await cluster.read<{ items: { value: string }[] }>(path).catch(() => null))?.items[0]?.value);
  await until('nothing waits', async () => (await depth()) === 0);
  // It is seen as it comes; what comes after it is not.
  for (const [waiting, more] of [
    [3, 3],
    [12, 9],
  ] as const) {
    await redis.say('RPUSH', 'rare', ...Array.from({ length: more }, (_, index) => `m${index}`));
    await until(`${waiting} wait`, async () => (await depth()) === waiting, { timeoutMs: 10_000 });
  }
  await redis.say('DEL', 'rare');
  await until('nothing waits', async () => (await depth()) === 0, { timeoutMs: 10_000 });
  await scene.namespace.kubectl('delete', 'backend', 'rare');
});

test('200 metrics are read through the API server', async (t) => {
  const names = Array.from({ length: 200 }, (_, index) => `metric-${index}`);
  await scene.namespace.apply(names.map((name) => appObjects({ name, replicas: 0 })[0]!));
  await scene.namespace.apply(
    names.map((name) =>
      backendObject(name, {
        kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name }, port: 8080 },
        idle: undefined,
        scale: { by: 'none' },
      }),
    ),
  );
  const path = (name: string): string =>
    `${API}/namespaces/${scene.namespace.name}/awake?labelSelector=dormouse.dev%2Fbackend%3D${name}`;
  const read = async (name: string): Promise<boolean> =>
    (await cluster.read<{ items: unknown[] }>(path(name)).catch(() => null))?.items.length === 1;
  for (const name of names) await until(`${name} is known`, () => read(name));
  const tookMs: number[] = [];
  for (let round = 0; round < 5; round++) {
    for (const name of names) {
      const beganAtMs = performance.now();
      assert.ok(await read(name));
      tookMs.push(performance.now() - beganAtMs);
    }
  }
  tookMs.sort((a, b) => a - b);
  const at = (share: number): number => tookMs[Math.ceil(tookMs.length * share) - 1]!;
  t.diagnostic(
    `${tookMs.length} reads: median ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms, longest ${at(1).toFixed(1)} ms`,
  );
  // docs/scaling.md has figures; this machine may be busy.
  assert.ok(at(0.99) <= 250, `p99 ${at(0.99)} ms`);
  await cluster.kubectl(['-n', scene.namespace.name, 'delete', 'backends', ...names, '--wait=false']);
});

test('who scales it is changed while requests run, and none is lost', async (t) => {
  const app = await edge.sleeping({ name: 'changing', backend: { scale: { idleAfter: '2s' } } });
  await edge.ask('changing');
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('changing'),
    fresh: { everyMs: 50 },
    kept: { clients: 2, everyMs: 50 },
  });
  for (const by of ['hpa', 'none', 'hpa', 'dormouse']) {
    await app.patch({ spec: { scale: { by } } });
    if (by === 'hpa') await app.untilCondition('AutoscalerReady', 'True', 'Hpa');
    else {
      await hpas.untilGone('changing');
      await app.untilCondition('AutoscalerReady', 'True', 'None');
    }
    const { sent } = await traffic.look();
    await until('some more requests', async () => (await traffic.look()).sent > sent + 40);
  }
  const report = await traffic.end();
  t.diagnostic(summary(report));
  assert.equal(report.lost.length, 0, summary(report));
  await edge.untilAsleep(app);
  await app.delete();
});

test('when another adapter takes the API group over, that is said, and nothing of it is touched', async () => {
  const app = await edge.sleeping({ name: 'elsewhere', backend: { scale: HPA } });
  await app.untilCondition('AutoscalerReady', 'True', 'Hpa');
  const name = { service: { name: 'other-adapter', namespace: 'other', port: 443 }, caBundle: null };
  await cluster.kubectl(['patch', 'apiservice', API_SERVICE, '--type=merge', '-p', JSON.stringify({ spec: name })]);
  const condition = await app.untilCondition('AutoscalerReady', 'False', 'ExternalMetricsElsewhere');
  assert.match(condition.message, /is served by other\/other-adapter.*scale.by: keda/);
  await hpas.untilGone('elsewhere');
  assert.equal((await edge.ask('elsewhere')).status, 200);
  await edge.untilAsleep(app);
  const found = await cluster.read<{ spec: { service: { name: string }; caBundle?: string } }>(
    `/apis/apiregistration.k8s.io/v1/apiservices/${API_SERVICE}`,
  );
  assert.deepEqual([found!.spec.service.name, found!.spec.caBundle], ['other-adapter', undefined]);
  await app.delete();
});
