import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { MetricFamily } from '../model/metrics.ts';
import { backendConfig, settled, World } from './controller.fixture.ts';

function value(metrics: MetricFamily[], name: string, labels: Record<string, string>): number | undefined {
  const family = metrics.find((one) => one.name === name);
  return family?.series.find((series) => Object.entries(labels).every(([key, wanted]) => series.labels[key] === wanted))
    ?.value;
}

test('collect: own metrics and what gateways answer, added up; a silent one is left out after 1 s', async () => {
  const world = new World();
  await world.configure(backendConfig('shop', { scale: { idleAfterMs: 300 } }), backendConfig('db'));
  const gateways = [world.gateway(), world.gateway(), world.gateway()];
  for (const gateway of gateways.slice(0, 2)) {
    gateway.onDown = (message) => {
      if (message.type !== 'collect') return;
      const series = [{ labels: { backend: 'shop' }, value: 3 }];
      const status = { connections: 5, backends: [], rssBytes: 1 };
      gateway.say({
        type: 'collected',
        id: message.id,
        status,
        metrics: [{ name: 'dormouse_requests_total', help: 'h', type: 'counter', series }],
      });
    };
  }
  const [gateway] = gateways;
  gateway?.wake('shop');
  world.time.advance(20);
  world.driver('shop').ready();
  world.time.advance(300);
  gateway?.wake('shop');
  const collecting = world.controller.collect(new AbortController().signal);
  world.time.advance(1000);
  await settled();
  const { metrics, gateways: answered } = await collecting;
  assert.deepEqual([...answered.keys()], ['g1', 'g2']);
  assert.equal(value(metrics, 'dormouse_requests_total', { backend: 'shop' }), 6);
  assert.equal(value(metrics, 'dormouse_wakes_total', { backend: 'shop', cause: 'request' }), 1);
  assert.equal(value(metrics, 'dormouse_sleep_cancelled_total', { backend: 'shop' }), 1);
  assert.equal(value(metrics, 'dormouse_backend_state', { backend: 'db', state: 'asleep' }), 1);
  assert.equal(value(metrics, 'dormouse_backend_instances', { backend: 'shop', state: 'draining' }), 1);
  const durations = metrics.find((one) => one.name === 'dormouse_wake_duration_seconds');
  assert.deepEqual(
    durations?.series.map((series) => series.labels.phase),
    ['start', 'ready', 'total'],
  );
  assert.equal(durations?.series[2]?.histogram?.sum, 0.02);
  await world.end();
});

test('5,000 sleeping backends hold no timer', async () => {
  const world = new World();
  await world.configure(...Array.from({ length: 5000 }, (_, index) => backendConfig(`b${index}`)));
  world.gateway();
  assert.equal(world.time.pending, 0);
  await world.end();
});
