/** A Service that sleeps in place and wakes on its first request: whole cycles, by a schedule and by a real Prometheus. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { installDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { ensureCluster, type Cluster } from '../machine/index.ts';

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster);
});
after(() => scene?.[Symbol.asyncDispose]());

test('sleeps by a schedule, wakes on a request with as many pods as it had, and is left alone while it is awake', async () => {
  const app = await scene.guarded({ name: 'shop', replicas: 2, backend: { scale: { idleAfter: '5s' } } });
  await app.untilAsleep();
  assert.equal(app.gatewaySlices.length, 1);
  assert.equal(app.object?.status?.handover?.replicasBefore, 2);
  await scene.namespace.kubectl('wait', '--for=condition=Ready', 'backend/shop', '--timeout=10s');
  await scene.namespace.kubectl('wait', '--for=jsonpath={.status.state}=asleep', 'backend/shop', '--timeout=10s');

  const answer = await app.get();
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers.get('x-cold-start'), 'true');
  await app.untilServing();
  await app.untilWithoutGateways();
  await app.untilReady(2);
  const { lastWoken } = app.object!.status!;
  assert.match(lastWoken!.by, /^GET \/ from /);
});

test('sleeps when a real Prometheus has seen nothing, and not before', async () => {
  const prometheus = await scene.prometheus();
  const app = await scene.guarded({
    name: 'busy',
    backend: { scale: { idleAfter: '3s' }, idle: { prometheus: prometheus.idle('busy'), settle: '500ms' } },
  });
  await using traffic = await app.traffic({ fresh: { everyMs: 100 }, methods: 'both' });
  await app.untilCondition('Ready', 'True');
  const stepsSeen = new Set<string>();
  const stop = scene.backends.onChange(() => stepsSeen.add(app.step ?? ''));
  // Long enough for several sleeps if the traffic were not seen.
  await new Promise((resolve) => setTimeout(resolve, 8000));
  stop();
  assert.deepEqual(
    [...stepsSeen].filter((step) => step !== 'serving' && step !== ''),
    [],
  );
  await traffic.pause();
  await app.untilAsleep();
  traffic.resume();
  await app.untilServing();
  const report = await traffic.end();
  assert.equal(report.lost.length, 0, summary(report));
  assert.deepEqual(scene.witness.duplicates, []);
  assert.ok(report.cold > 0);
});
