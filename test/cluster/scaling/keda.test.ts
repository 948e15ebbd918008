/** scale.by keda with a real KEDA: it scales 0 -> N -> 0 by our figures, its zero comes only when nothing is owed, and no request is lost at either edge. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AUTOSCALERS } from '../../../src/kubernetes/resources.ts';
import { SCALED_OBJECTS, type HorizontalPodAutoscaler, type ScaledObject } from '../../../src/operator/kinds.ts';
import { Edge } from '../gateway-api/gateway.fixture.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { Objects } from '../fixtures/objects.ts';
import { Scene, type Guarded } from '../fixtures/scene.ts';
import { summary, type Traffic } from '../fixtures/traffic.ts';
import { ensureCluster, until } from '../machine/index.ts';
import { scaleWrites, type ScaleWrite } from '../machine/audit.ts';

let scene: Scene;
let edge: Edge;
let scaledObjects: Objects<ScaledObject>;
let hpas: Objects<HorizontalPodAutoscaler>;
const ending = new AbortController();

before(async () => {
  const cluster = await ensureCluster({ keda: true });
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'by-keda');
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
  const { client, namespace } = scene;
  scaledObjects = await Objects.watch<ScaledObject>(client, SCALED_OBJECTS, namespace.name, ending.signal);
  hpas = await Objects.watch<HorizontalPodAutoscaler>(client, AUTOSCALERS, namespace.name, ending.signal);
});
after(async () => {
  ending.abort();
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

const KEDA = { by: 'keda', idleAfter: '2s', windows: { stable: '6s' } };

/** Writes of the app's /scale since a moment, by whom. */
function writesOf(name: string, sinceMs: number): ScaleWrite[] {
  return scaleWrites().filter(
    (write) => write.namespace === scene.namespace.name && write.name === name && write.receivedAtMs >= sinceMs,
  );
}

const isKedas = ({ userAgent }: ScaleWrite): boolean => userAgent.startsWith('keda');

async function untilKedaActs(app: Guarded): Promise<void> {
  await scaledObjects.until(`ScaledObject of ${app.name} taken up`, () => {
    const { status } = scaledObjects.get(app.name) ?? {};
    return (status?.externalMetricNames?.length ?? 0) > 0;
  });
  await app.untilCondition('AutoscalerReady', 'True', 'Keda');
}

test('behind a route: KEDA wakes it, scales it with the load, and puts it to sleep; no request is lost', async () => {
  const app = await edge.sleeping({
    name: 'routed',
    backend: { scale: { ...KEDA, max: 4, target: { concurrency: 2 } } },
  });
  await untilKedaActs(app);
  const { spec, metadata } = scaledObjects.get('routed')!;
  assert.equal(spec.triggers?.[0]?.type, 'external-push');
  assert.equal(metadata.ownerReferences?.[0]?.kind, 'Backend');
  const sinceMs = Date.now();
  const answer = await edge.ask('routed');
  assert.equal(answer.status, 200, answer.text);
  const woken = writesOf('routed', sinceMs);
  assert.ok(woken.length > 0 && woken.every(isKedas), JSON.stringify(woken));
  // More than one instance's worth, slowly.
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('routed'),
    path: '/slow?ms=400',
    kept: { clients: 8, everyMs: 1 },
  });
  await scene.deployments.until('several instances', () => (app.replicas ?? 0) >= 3, 60_000);
  const report = await traffic.end();
  assert.equal(report.lost.length, 0, summary(report));
  await scene.deployments.until('zero', () => app.replicas === 0, 120_000);
  await edge.untilAsleep(app);
  const down = writesOf('routed', sinceMs);
  assert.ok(
    down.every(({ userAgent }) => /^keda|horizontal-pod-autoscaler/.test(userAgent)),
    JSON.stringify(down),
  );
  await app.delete();
  await scaledObjects.untilGone('routed');
  await until('KEDA has let go of it', () => hpas.get('keda-hpa-routed') === undefined);
});

/** Requests in bursts, with pauses in which it falls asleep or is about to: the next burst comes at every moment of that. */
async function atTheEdge(traffic: Traffic, app: Guarded, rounds: number, longestPauseMs: number): Promise<number> {
  let zeros = 0;
  const stop = scene.deployments.onChange(({ metadata, spec }) => {
    if (metadata.name === app.name && spec.replicas === 0 && app.replicas === 0) zeros++;
  });
  for (let round = 0; round < rounds; round++) {
    await traffic.pause();
    // Spread evenly over the time that it takes to fall asleep.
    await new Promise((resolve) => setTimeout(resolve, 800 + (longestPauseMs * ((round * 7) % rounds)) / rounds));
    traffic.resume();
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  stop();
  return zeros;
}

test('behind a route: requests that come at every moment of falling asleep are all answered, though KEDA writes the zero', async (t) => {
  const app = await edge.sleeping({ name: 'edge', backend: { scale: { ...KEDA, idleAfter: '1s' } } });
  await untilKedaActs(app);
  await edge.ask('edge');
  const sinceMs = Date.now();
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('edge'),
    methods: 'both',
    fresh: { everyMs: 20 },
    kept: { clients: 2, everyMs: 20 },
  });
  await atTheEdge(traffic, app, 16, 8000);
  const report = await traffic.end();
  const zeros = writesOf('edge', sinceMs).filter(isKedas).length;
  t.diagnostic(`${summary(report)}; ${zeros} writes of /scale by KEDA`);
  assert.equal(report.lost.length, 0, summary(report));
  assert.ok(zeros >= 8, `${zeros} writes`);
  await app.delete();
});

test('in place: KEDA writes the zero after the redirect alone, and no request is lost', async (t) => {
  const app = await scene.guarded({ name: 'place', replicas: 1, backend: { scale: { ...KEDA, idleAfter: '1s' } } });
  await untilKedaActs(app);
  const early: string[] = [];
  const stop = scene.deployments.onChange(({ metadata, spec }) => {
    if (metadata.name === 'place' && spec.replicas === 0 && app.step !== 'sleeping' && app.step !== 'asleep')
      early.push(`zero at ${app.step}`);
  });
  const sinceMs = Date.now();
  await app.untilAsleep();
  await using traffic = await app.traffic({ methods: 'both', fresh: { everyMs: 30 } });
  await atTheEdge(traffic, app, 10, 12_000);
  const report = await traffic.end();
  stop();
  const writes = writesOf('place', sinceMs);
  t.diagnostic(
    `${summary(report)}; ${writes.length} writes of /scale, ${writes.filter(isKedas).length} of them KEDA's`,
  );
  assert.deepEqual(early, []);
  assert.equal(report.lost.length, 0, summary(report));
  assert.ok(writes.length > 0 && writes.every(isKedas), JSON.stringify(writes));
  await app.untilAsleep();
  await app.delete();
  await app.untilRestored(1);
});
