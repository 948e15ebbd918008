/** A thousand drivers, as an operator of a large cluster has them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger, systemClock } from '../../model/ports.ts';
import { informersOf, kubernetesBackend } from './fixtures/bench.ts';
import { FakeCluster } from './fixtures/fake-cluster.ts';
import { createKubernetesDrivers } from './index.ts';
import type { Driver, Instance } from '../driver.ts';

const COUNT = 1000;

test('a thousand sleeping backends: one listener for each kind, no timer, no request; a pod is told to its driver alone', async () => {
  const cluster = new FakeCluster();
  cluster.podStart = 'manual';
  const create = createKubernetesDrivers({
    client: cluster,
    informers: informersOf(cluster),
    clock: systemClock,
    logger: silentLogger,
  });
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const timersBefore = timers();
  const told: string[] = [];
  const drivers: Driver[] = [];
  for (let number = 0; number < COUNT; number++) {
    const name = `app-${number}`;
    cluster.createWorkload(name);
    const target = { apiVersion: 'apps/v1', kind: 'Deployment', name };
    const events = { instance: ({ state }: Instance) => void told.push(`${name} ${state}`), crash: () => {} };
    drivers.push(create(kubernetesBackend({ kubernetes: { target, service: null, port: 80 } }), events));
  }
  await Promise.resolve();
  assert.equal(cluster.pods.listenerCount + cluster.services.listenerCount, 2);
  assert.equal(cluster.targets(cluster.kinds[0]!).listenerCount, 1);
  assert.deepEqual(cluster.requests, []);
  assert.equal(timers(), timersBefore);

  cluster.scaleByHand('app-77', 1);
  assert.deepEqual(told, ['app-77 starting']);

  await Promise.all(drivers.map((driver) => driver.close()));
  create.close();
  assert.equal(cluster.pods.listenerCount + cluster.services.listenerCount, 0);
  assert.equal(timers(), timersBefore);
});
