import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backendConfig, settled, World } from './controller.fixture.ts';

const jobs = (value: number, active: boolean) => ({
  name: 'jobs',
  type: 'queue',
  value,
  target: 1,
  active,
  reason: 'some wait',
  atMs: 5,
});
const busy = (desired: number, reason = '12 messages wait') => ({
  desired,
  active: [`trigger jobs: ${reason}`],
  metrics: [jobs(desired, true)],
  troubles: [],
});
const QUIET = { desired: 0, active: [], metrics: [jobs(0, false)], troubles: [] };

async function world(scale: { min?: number; max?: number; idleAfterMs?: number; scaleDownDelayMs?: number } = {}) {
  const made = new World();
  await made.configure(backendConfig('worker', { scale: { max: 4, idleAfterMs: 10_000, ...scale } }));
  return { world: made, gateway: made.gateway(), driver: made.driver('worker') };
}

test('an active trigger wakes a backend that no request ever reaches, with as many instances as it asks for', async () => {
  const { world: made, driver } = await world();
  made.controller.triggered('worker', busy(3));
  assert.equal(made.status('worker').phase, 'waking');
  assert.equal(made.status('worker').why, 'woken by trigger jobs: 12 messages wait');
  assert.equal(driver.of('starting').length, 3);
  driver.ready();
  const { phase, lastWoken, awakeBecause, desired } = made.status('worker');
  assert.deepEqual([phase, lastWoken?.by.kind, desired], ['awake', 'trigger', 3]);
  assert.deepEqual(awakeBecause, ['trigger jobs: 12 messages wait']);
  await made.end();
});

test('it stays awake while the trigger is active, and for idleAfter from its end', async () => {
  const { world: made, gateway, driver } = await world();
  made.controller.triggered('worker', busy(1));
  driver.ready();
  made.time.advance(600_000);
  assert.equal(made.status('worker').phase, 'awake');
  made.controller.triggered('worker', QUIET);
  made.time.advance(9000);
  assert.equal(made.status('worker').phase, 'awake');
  made.time.advance(1100);
  assert.equal(made.status('worker').phase, 'falling-asleep');
  gateway.drain('worker');
  for (const retirement of driver.retirements) retirement.finish();
  await settled();
  assert.equal(made.status('worker').phase, 'asleep');
  await made.end();
});

test('the larger of requests and triggers counts, and a trigger alone scales up and down', async () => {
  const { world: made, gateway, driver } = await world();
  made.controller.triggered('worker', busy(1));
  driver.ready();
  made.controller.triggered('worker', busy(3, '30 messages wait'));
  made.time.advance(4000);
  assert.equal(made.status('worker').desired, 3);
  assert.ok(made.events.some(({ message }) => message === 'worker: 1 -> 3 instances (triggers ask for 3)'));
  for (const _ of driver.of('starting')) driver.ready();
  for (let i = 0; i < 4; i++) {
    made.time.advance(1000);
    gateway.report('worker', {
      concurrencyMs: 400_000,
      requests: 100,
      inFlight: 400,
      lastActivityMs: made.time.wallMs(),
    });
  }
  made.time.advance(2000);
  assert.equal(made.status('worker').desired, 4, 'requests ask for more');
  gateway.report('worker', { lastActivityMs: made.time.wallMs() });
  made.controller.triggered('worker', busy(2));
  made.time.advance(200_000);
  assert.equal(made.status('worker').desired, 2, 'and nothing more once they are over');
  await made.end();
});

test('scaleDownDelay holds back fewer instances for triggers too', async () => {
  const { world: made, driver } = await world({ scaleDownDelayMs: 30_000 });
  made.controller.triggered('worker', busy(3));
  for (const _ of [1, 2, 3]) driver.ready();
  made.time.advance(4000);
  made.controller.triggered('worker', busy(1));
  made.time.advance(20_000);
  assert.equal(made.status('worker').desired, 3);
  made.time.advance(20_000);
  assert.equal(made.status('worker').desired, 1);
  await made.end();
});

test('a crash is tried again after its back-off as long as the trigger is active', async () => {
  const { world: made, driver } = await world();
  made.controller.triggered('worker', busy(1));
  driver.fail(5000);
  assert.equal(made.status('worker').phase, 'asleep');
  made.time.advance(5100);
  assert.equal(made.status('worker').phase, 'waking');
  driver.fail(5000);
  made.controller.triggered('worker', QUIET);
  made.time.advance(60_000);
  assert.equal(made.status('worker').phase, 'asleep', 'nobody wants it any more');
  await made.end();
});

test('a sleep by command is refused while a trigger is active, and an activation takes back a sleep that has begun', async () => {
  const { world: made, driver } = await world({ idleAfterMs: 1000 });
  made.controller.triggered('worker', busy(1));
  driver.ready();
  await assert.rejects(made.controller.sleep('worker', new AbortController().signal), {
    code: 'DORMOUSE_SLEEP_REFUSED',
    message: /trigger jobs: 12 messages wait; it would be woken again at once/,
  });
  made.controller.triggered('worker', QUIET);
  made.time.advance(1100);
  assert.equal(made.status('worker').phase, 'falling-asleep');
  made.controller.triggered('worker', busy(1));
  assert.equal(made.status('worker').phase, 'awake');
  made.controller.triggered('worker', null);
  made.controller.triggered('nobody', busy(1));
  await made.end();
});

test('what it is scaled by: all triggers, and requests where a route leads to it', async () => {
  const { world: made, gateway } = await world();
  assert.equal(made.controller.scaleMetrics('nobody'), null);
  assert.deepEqual(made.controller.scaleMetrics('worker'), []);
  made.controller.triggered('worker', busy(3));
  const own = { name: 'jobs', value: 3, target: 1, active: true, atMs: 5 };
  assert.deepEqual(made.controller.scaleMetrics('worker'), [own]);
  await made.route(
    backendConfig('worker', { scale: { target: { metric: 'concurrency', value: 10, utilizationPercent: 70 } } }),
  );
  const http = { name: 'http', value: 0, target: 7, active: false, atMs: made.time.wallMs() };
  assert.deepEqual(made.controller.scaleMetrics('worker'), [own, http]);
  gateway.report('worker', { concurrencyMs: 4000, requests: 2, inFlight: 4, lastActivityMs: made.time.wallMs() });
  assert.deepEqual(made.controller.scaleMetrics('worker')?.[1], { ...http, value: 4, active: true });
  await made.end();
});

test('an instance without an address is unknown to gateways: it is ended without waiting for their answers', async () => {
  const { world: made, driver } = await world({ idleAfterMs: 1000, max: 2 });
  made.controller.triggered('worker', busy(2));
  for (const _ of [1, 2]) driver.ready({ listens: false });
  made.time.advance(2000);
  made.controller.triggered('worker', busy(1));
  made.time.advance(2000);
  assert.equal(driver.retirements.length, 1, 'scale-down');
  driver.retirements[0]!.finish();
  await settled();
  made.controller.triggered('worker', QUIET);
  made.time.advance(1100);
  assert.equal(driver.retirements.length, 2, 'sleep');
  driver.retirements[1]!.finish();
  await settled();
  assert.equal(made.status('worker').phase, 'asleep');
  await made.end();
});
