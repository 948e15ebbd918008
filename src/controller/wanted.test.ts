/** What whoever else writes zero (KEDA) is told: when a backend is wanted, and when nothing is owed to it any more. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { backendConfig, settled, World } from './controller.fixture.ts';

async function world() {
  const made = new World();
  const told: boolean[] = [];
  made.controller.onWanted((backend, wanted) => {
    assert.equal(backend, 'shop');
    told.push(wanted);
  });
  await made.configure(backendConfig('shop', { kubernetes: true, scale: { by: 'keda', idleAfterMs: 300 } }));
  return { world: made, gateway: made.gateway(), driver: made.driver('shop'), told };
}

test('it is wanted from the first demand until all gateways have drained, not only until it is idle', async () => {
  const { world: made, gateway, driver, told } = await world();
  assert.equal(made.controller.wanted('nobody'), null);
  assert.equal(made.controller.wanted('shop'), null, 'what runs of it is not known yet');
  driver.told = 0;
  assert.equal(made.controller.wanted('shop'), false);
  gateway.wake('shop');
  assert.deepEqual(told, [true]);
  driver.ready();
  const other = made.gateway();
  made.time.advance(300);
  assert.equal(made.status('shop').phase, 'falling-asleep');
  gateway.drain('shop');
  assert.deepEqual(told, [true], 'the other gateway has not answered');
  assert.equal(made.controller.wanted('shop'), true);
  other.drain('shop');
  assert.deepEqual(told, [true, false]);
  assert.equal(driver.retirements.length, 1);
  // KEDA has a pace of its own.
  made.time.advance(60_000);
  assert.equal(made.status('shop').phase, 'falling-asleep');
  driver.retirements[0]!.finish();
  await settled();
  assert.equal(made.status('shop').phase, 'asleep');
  assert.deepEqual(told, [true, false]);
  await made.end();
});

test('a request before zero is written makes it wanted again, and its instances serve only when they are certain to stay', async () => {
  const { world: made, gateway, driver, told } = await world();
  gateway.wake('shop');
  const id = driver.ready();
  made.time.advance(300);
  gateway.drain('shop');
  gateway.wake('shop');
  assert.deepEqual(told, [true, false, true]);
  assert.equal(made.status('shop').phase, 'waking');
  assert.deepEqual(gateway.ready('shop'), []);
  driver.retirements[0]!.refuse();
  await settled();
  made.time.advance(1000);
  assert.equal(made.status('shop').phase, 'awake');
  assert.deepEqual(gateway.ready('shop'), [id]);
  await made.end();
});

test('who scales between one and max is told, and nobody here does', async () => {
  const { world: made, gateway, driver } = await world();
  assert.equal(made.controller.scaledBy('shop'), 'keda');
  gateway.wake('shop');
  driver.ready();
  driver.brought();
  const second = driver.ready();
  gateway.report('shop', { concurrencyMs: 100_000, requests: 100, inFlight: 100, lastActivityMs: made.time.wallMs() });
  made.time.advance(10_000);
  assert.ok(gateway.ready('shop').includes(second));
  assert.equal(driver.retirements.length, 0);
  await made.end();
});
