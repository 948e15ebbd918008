/** scale.by keda with a real KEDA: it scales 0 -> N -> 0 by our figures, its zero comes only when nothing is owed, and no request is lost at either edge. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AUTOSCALERS } from '../../../src/kubernetes/resources.ts';
import { SCALED_OBJECTS, type HorizontalPodAutoscaler, type ScaledObject } from '../../../src/operator/kinds.ts';
import { Edge } from '../gateway-api/gateway.fixture.ts';
import { INSTALLATION_NAMESPACE, installDormouse } from '../fixtures/installation.ts';
import { Objects } from '../fixtures/objects.ts';
import { Scene, type Guarded } from '../fixtures/scene.ts';
import { summary, type Traffic } from '../fixtures/traffic.ts';
import { ensureCluster, until } from '../machine/index.ts';
import { RedisServer } from '../../services/redis.ts';
import type { ScaleWrite } from '../machine/audit.ts';
import { isKedas, untilKedaListens, writesOf as writesOfApp } from './keda.fixture.ts';

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
  await untilKedaListens(edge);
});
after(async () => {
  ending.abort();
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

const KEDA = { by: 'keda', idleAfter: '2s', windows: { stable: '6s' } };

const writesOf = (name: string, sinceMs: number): ScaleWrite[] => writesOfApp(scene.namespace.name, name, sinceMs);

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
  const zerosMs: number[] = [];
  let before: number | undefined;
  const stop = scene.deployments.onChange(({ metadata, spec }) => {
    if (metadata.name !== 'place') return;
    if (spec.replicas === 0 && app.step !== 'sleeping' && app.step !== 'asleep') early.push(`zero at ${app.step}`);
    if (spec.replicas === 0 && before !== 0) zerosMs.push(Date.now());
    before = spec.replicas;
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
  // Where KEDA takes longer than three seconds to wake it, dormouse stands in; a zero is never its own.
  assert.ok(zerosMs.length > 0);
  for (const zeroMs of zerosMs) {
    const last = writes.filter(({ receivedAtMs }) => receivedAtMs <= zeroMs).at(-1);
    assert.ok(last !== undefined && isKedas(last), `${zeroMs}: ${JSON.stringify(writes)}`);
  }
  await app.untilAsleep();
  await app.delete();
  await app.untilRestored(1);
});

/** A Redis that pods and the operator reach. */
function redis(): Promise<RedisServer> {
  return RedisServer.start('', ['--bind', '127.0.0.1', scene.cluster.nodeAddress, '--protected-mode', 'no']);
}

async function push(server: RedisServer, count: number): Promise<void> {
  await server.say('RPUSH', 'jobs', ...Array.from({ length: count }, (_, index) => `job-${index}`));
}

const jobs = (server: RedisServer): object => ({
  name: 'jobs',
  'redis-list': { address: `${scene.cluster.nodeAddress}:${server.port}`, listName: 'jobs', listLength: 5 },
});

test('on a queue: KEDA scales workers that no request reaches, from zero to as many as the queue is worth, and back', async () => {
  await using server = await redis();
  const app = await scene.guarded({ name: 'worker', replicas: 0, backend: null });
  await app.declare({
    kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'worker' }, port: 8080 },
    idle: undefined,
    scale: { ...KEDA, max: 4 },
    triggers: [jobs(server)],
  });
  await untilKedaActs(app);
  await scaledObjects.until('its metric', () =>
    scaledObjects.get('worker')?.status?.externalMetricNames?.includes('s0-jobs'),
  );
  const sinceMs = Date.now();
  await push(server, 18);
  await scene.deployments.until('four workers', () => app.replicas === 4, 90_000);
  await server.say('DEL', 'jobs');
  await scene.deployments.until('none', () => app.replicas === 0, 120_000);
  const writes = writesOf('worker', sinceMs);
  assert.ok(
    writes.every(({ userAgent }) => /^keda|horizontal-pod-autoscaler/.test(userAgent)),
    JSON.stringify(writes),
  );
  await app.delete();
});

test('on requests and a queue in one object: each wakes it and keeps it, and the larger one counts', async () => {
  await using server = await redis();
  const app = await edge.sleeping({
    name: 'both',
    backend: { scale: { ...KEDA, max: 4 }, triggers: [jobs(server)] },
  });
  await untilKedaActs(app);
  await scaledObjects.until('its metrics', () => {
    const names = scaledObjects.get('both')?.status?.externalMetricNames ?? [];
    return names.includes('s0-jobs') && names.includes('s0-http');
  });
  assert.equal((await edge.ask('both')).status, 200);
  await scene.deployments.until('asleep again', () => app.replicas === 0, 60_000);
  await push(server, 18);
  await scene.deployments.until('four for the queue', () => app.replicas === 4, 90_000);
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('both'),
    fresh: { everyMs: 100 },
  });
  await server.say('DEL', 'jobs');
  await scene.deployments.until('one for the requests', () => app.replicas === 1, 120_000);
  const report = await traffic.end();
  assert.equal(report.lost.length, 0, summary(report));
  await scene.deployments.until('none', () => app.replicas === 0, 120_000);
  await app.delete();
});

test('a ScaledObject that a user wrote and that asks dormouse is recognized, and neither changed nor removed', async () => {
  const app = await edge.sleeping({ name: 'users', backend: { scale: { idleAfter: '2s' } } });
  const own = {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: { name: 'by-hand' },
    spec: {
      scaleTargetRef: { name: 'users' },
      minReplicaCount: 0,
      maxReplicaCount: 2,
      pollingInterval: 2,
      cooldownPeriod: 1,
      triggers: [
        {
          type: 'external-push',
          metadata: {
            scalerAddress: 'dormouse-operator.dormouse-system.svc:8444',
            enableTLS: 'true',
            backend: 'users',
          },
          authenticationRef: { name: 'dormouse', kind: 'ClusterTriggerAuthentication' },
        },
      ],
    },
  };
  await scene.namespace.apply([own]);
  // As long as dormouse scales it, that is a fight, and said so.
  await app.untilCondition('AutoscalerReady', 'False', 'AutoscalerNotNamed');
  await app.patch({ spec: { scale: { by: 'keda' } } });
  const { message } = await app.untilCondition('AutoscalerReady', 'True', 'Keda');
  assert.match(message, /by-hand, which somebody else has written/);
  const sinceMs = Date.now();
  assert.equal((await edge.ask('users')).status, 200);
  await scene.deployments.until('asleep again', () => app.replicas === 0, 60_000);
  assert.ok(writesOf('users', sinceMs).every(isKedas), JSON.stringify(writesOf('users', sinceMs)));
  assert.equal(scaledObjects.get('users'), undefined);
  await app.delete();
  await scene.backends.untilGone('users');
  assert.deepEqual(scaledObjects.get('by-hand')?.metadata.ownerReferences, undefined);
});

test('who scales it is changed while requests run: one at a time, without a gap, and none is lost', async (t) => {
  // Longer than a busy machine holds the clients up.
  const app = await edge.sleeping({ name: 'changing', backend: { scale: { idleAfter: '10s', max: 3 } } });
  await edge.ask('changing');
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('changing'),
    fresh: { everyMs: 50 },
    kept: { clients: 2, everyMs: 50 },
  });
  await app.untilReady(1);
  const gaps: string[] = [];
  const stop = scene.deployments.onChange(({ metadata, spec, status }) => {
    if (metadata.name === 'changing' && (spec.replicas === 0 || status?.readyReplicas === undefined))
      gaps.push(`${new Date().toISOString()} ${now}: ${spec.replicas} replicas, ${status?.readyReplicas} ready`);
  });
  let now = '';
  for (const by of ['keda', 'none', 'keda', 'dormouse', 'hpa', 'keda', 'dormouse']) {
    now = by;
    await app.patch({ spec: { scale: { by } } });
    if (by === 'keda') await untilKedaActs(app);
    else {
      await scaledObjects.untilGone('changing');
      // KEDA serves external metrics here.
      if (by === 'hpa') await app.untilCondition('AutoscalerReady', 'False', 'ExternalMetricsNotServed');
      else await app.untilCondition('AutoscalerReady', 'True', 'None');
    }
    const { sent } = await traffic.look();
    await until('some more requests', async () => (await traffic.look()).sent > sent + 40);
  }
  stop();
  const report = await traffic.end();
  t.diagnostic(summary(report));
  assert.deepEqual(gaps, [], JSON.stringify(writesOf('changing', 0)));
  assert.equal(report.lost.length, 0, summary(report));
  await edge.untilAsleep(app);
  // Asleep, it is changed as well, and wakes for whoever has it then.
  await app.patch({ spec: { scale: { by: 'keda' } } });
  await untilKedaActs(app);
  const sinceMs = Date.now();
  assert.equal((await edge.ask('changing')).status, 200);
  assert.ok(writesOf('changing', sinceMs).every(isKedas), JSON.stringify(writesOf('changing', sinceMs)));
  await app.delete();
});

test('a KEDA that is away is stood in for', async () => {
  const app = await edge.sleeping({ name: 'alone', backend: { scale: KEDA } });
  await untilKedaActs(app);
  const operator = '/apis/apps/v1/namespaces/keda/deployments/keda-operator';
  await scene.cluster.scale(operator, 0);
  try {
    await until('KEDA is gone', async () => {
      const found = await scene.cluster.read<{ status: { replicas?: number } }>(operator);
      return (found?.status.replicas ?? 0) === 0;
    });
    const sinceMs = Date.now();
    assert.equal((await edge.ask('alone')).status, 200);
    const writes = writesOf('alone', sinceMs);
    assert.ok(
      writes.length > 0 && writes.every(({ userAgent }) => userAgent.startsWith('dormouse')),
      JSON.stringify(writes),
    );
  } finally {
    await scene.cluster.scale(operator, 1);
  }
  await scene.deployments.until('put to sleep by KEDA, which is back', () => app.replicas === 0, 120_000);
  await app.delete();
});

test('all operators are replaced while requests run: KEDA goes to zero by nobody who does not know', async (t) => {
  const app = await edge.sleeping({ name: 'steady', backend: { scale: { ...KEDA, idleAfter: '10s' } } });
  await untilKedaActs(app);
  await edge.ask('steady');
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('steady'),
    fresh: { everyMs: 50 },
  });
  await app.untilReady(1);
  const sinceMs = Date.now();
  const { kubectl } = scene.cluster;
  await kubectl(['-n', INSTALLATION_NAMESPACE, 'rollout', 'restart', 'deployment/dormouse-operator']);
  const { code, stderr } = await kubectl([
    ...['-n', INSTALLATION_NAMESPACE, 'rollout', 'status', 'deployment/dormouse-operator', '--timeout=120s'],
  ]);
  assert.equal(code, 0, stderr);
  // Several looks of KEDA.
  const { sent } = await traffic.look();
  await until('some more requests', async () => (await traffic.look()).sent > sent + 200);
  const report = await traffic.end();
  t.diagnostic(summary(report));
  assert.deepEqual(writesOf('steady', sinceMs), []);
  assert.equal(report.lost.length, 0, summary(report));
  await app.delete();
});
