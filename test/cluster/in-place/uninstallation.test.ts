/** helm uninstall puts back what sleeps: Services, replicas and KEDA's objects, before the operator goes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SCALED_OBJECTS, type ScaledObject } from '../../../src/operator/kinds.ts';
import { SELECTOR_KEY } from '../../../src/operator/redirect.ts';
import { installDormouse, uninstallDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { ensureCluster, type Cluster } from '../machine/index.ts';

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster({ keda: true });
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'uninstallation');
});
after(async () => {
  await scene?.[Symbol.asyncDispose]();
  // For the tests that follow.
  if (cluster !== undefined) await installDormouse(cluster);
});

test('helm uninstall wakes what sleeps, gives Services back and resumes ScaledObjects', async (t) => {
  const plain = await scene.guarded({ name: 'plain', replicas: 2 });
  const scaled = await scene.guarded({ name: 'scaled', replicas: 1, backend: null });
  await scene.namespace.apply([
    {
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledObject',
      metadata: { name: 'scaled' },
      spec: {
        scaleTargetRef: { name: 'scaled' },
        minReplicaCount: 1,
        maxReplicaCount: 2,
        triggers: [
          { type: 'cron', metadata: { timezone: 'UTC', start: '0 0 1 1 *', end: '1 0 1 1 *', desiredReplicas: '1' } },
        ],
      },
    },
  ]);
  await scaled.declare({
    kubernetes: {
      target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'scaled' },
      service: 'scaled',
      autoscaler: { kind: 'ScaledObject', name: 'scaled' },
    },
  });
  await Promise.all([plain.untilAsleep(), scaled.untilAsleep()]);
  const paused = (): Promise<ScaledObject | null> =>
    scene.client.get<ScaledObject>(SCALED_OBJECTS, { namespace: scene.namespace.name, name: 'scaled' });
  assert.equal((await paused())?.metadata.annotations?.['autoscaling.keda.sh/paused'], 'true');

  const beganMs = performance.now();
  await uninstallDormouse(cluster);
  t.diagnostic(`uninstalled in ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  await Promise.all([plain.untilRestored(2), scaled.untilRestored(1)]);
  for (const app of [plain, scaled]) {
    assert.equal(app.selector[SELECTOR_KEY], undefined);
    assert.equal((await app.get()).status, 200);
  }
  assert.deepEqual(
    Object.keys((await paused())?.metadata.annotations ?? {}).filter((key) => /paused/.test(key)),
    [],
  );
});
