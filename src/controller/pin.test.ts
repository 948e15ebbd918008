import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backendConfig, settled, World } from './controller.fixture.ts';

async function world() {
  const made = new World();
  await made.configure(backendConfig('shop', { scale: { idleAfterMs: 10_000 } }));
  return { world: made, gateway: made.gateway(), driver: made.driver('shop') };
}

test('a pin wakes it, keeps it awake until its time, and says so', async () => {
  const { world: made, gateway, driver } = await world();
  const untilMs = made.time.wallMs() + 3_600_000;
  made.controller.pin('shop', untilMs);
  assert.equal(made.status('shop').phase, 'waking');
  driver.ready();
  const { awakeBecause, awakeUntilMs, sleepsAtMs } = made.status('shop');
  assert.deepEqual(awakeBecause, [`kept awake by command until ${new Date(untilMs).toISOString()}`]);
  assert.deepEqual([awakeUntilMs, sleepsAtMs], [untilMs, 0]);
  await assert.rejects(made.controller.sleep('shop', new AbortController().signal), {
    code: 'DORMOUSE_SLEEP_REFUSED',
    message: /kept awake by command until .*; take that back first/,
  });
  made.time.advance(3_590_000);
  assert.equal(made.status('shop').phase, 'awake');
  made.time.advance(10_100);
  assert.equal(made.status('shop').phase, 'falling-asleep');
  assert.equal(made.status('shop').awakeUntilMs, undefined);
  gateway.drain('shop');
  for (const retirement of driver.retirements) retirement.finish();
  await settled();
  assert.equal(made.status('shop').phase, 'asleep');
  await made.end();
});

test('a pin that is taken back leaves the idle rule to itself, and a crash is tried again under one', async () => {
  const { world: made, driver } = await world();
  made.controller.pin('shop', made.time.wallMs() + 3_600_000);
  driver.fail(5000);
  assert.equal(made.status('shop').phase, 'asleep');
  made.time.advance(5100);
  assert.equal(made.status('shop').phase, 'waking');
  driver.ready();
  made.time.advance(20_000);
  assert.equal(made.status('shop').phase, 'awake');
  made.controller.pin('shop', null);
  made.time.advance(100);
  assert.equal(made.status('shop').phase, 'falling-asleep', 'it has been idle for longer than idleAfter');
  assert.throws(() => made.controller.pin('nobody', 1), { code: 'DORMOUSE_BACKEND_UNKNOWN' });
  await made.end();
});

test('a pin whose time has passed does nothing', async () => {
  const { world: made } = await world();
  made.controller.pin('shop', made.time.wallMs() - 1);
  assert.equal(made.status('shop').phase, 'asleep');
  await made.end();
});
