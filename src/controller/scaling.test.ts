import { test } from 'node:test';
import assert from 'node:assert/strict';
import { backendConfig, settled, World, type BackendOptions } from './controller.fixture.ts';

const busy = { min: 0, max: 4, target: { metric: 'concurrency' as const, value: 10, utilizationPercent: 100 } };

async function awake(options: BackendOptions = {}) {
  const world = new World();
  await world.configure(backendConfig('shop', { ...options, scale: { ...busy, ...options.scale } }));
  const gateway = world.gateway();
  gateway.wake('shop');
  const driver = world.driver('shop');
  driver.ready();
  const load = (concurrency: number, seconds: number): void => {
    for (let i = 0; i < seconds; i++) {
      world.time.advance(1000);
      gateway.report('shop', {
        concurrencyMs: concurrency * 1000,
        requests: concurrency * 5,
        inFlight: concurrency,
        lastActivityMs: world.time.wallMs(),
      });
      for (const _ of driver.of('starting')) driver.ready();
    }
  };
  return { world, gateway, driver, load };
}

test('load scales up to what it asks for, at most max', async () => {
  const { world, gateway, load } = await awake();
  load(25, 10);
  assert.equal(gateway.ready('shop').length, 3);
  assert.ok(world.events.some((event) => /^shop: 1 -> \d instances \(average demand/.test(event.message)));
  load(400, 10);
  assert.equal(gateway.ready('shop').length, 4);
  assert.equal(world.status('shop').desired, 4);
  assert.ok(world.status('shop').demand.concurrency > 100);
  await world.end();
});

test('less load drains the youngest instances, and ends each when every gateway has answered', async () => {
  const { world, gateway, driver, load } = await awake();
  load(35, 10);
  assert.equal(gateway.ready('shop').length, 4);
  load(5, 140);
  assert.deepEqual(gateway.draining('shop').length > 0, true);
  assert.ok(!gateway.draining('shop').includes('shop-1'), 'the oldest one stays');
  assert.equal(driver.retirements.length, 0);
  for (let i = 0; i < 5; i++) {
    gateway.drain('shop');
    for (const retirement of driver.retirements) retirement.finish();
    await settled();
    load(5, 4);
  }
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  assert.deepEqual(gateway.draining('shop'), []);
  assert.equal(world.status('shop').phase, 'awake');
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('load that comes back while instances drain makes them ready again instead of starting more', async () => {
  const { world, gateway, driver, load } = await awake();
  load(35, 10);
  load(5, 140);
  const draining = gateway.draining('shop').length;
  assert.ok(draining > 0);
  load(38, 20);
  assert.equal(gateway.draining('shop').length, 0);
  assert.equal(gateway.ready('shop').length, 4);
  assert.equal(driver.most, 4);
  await world.end();
});

test('requests per second as the metric, and by: none never has more than one', async () => {
  const rps = await awake({ scale: { target: { metric: 'rps', value: 50, utilizationPercent: 100 } } });
  rps.load(25, 10);
  assert.equal(rps.gateway.ready('shop').length, 3, '125 per second, 50 for each');
  await rps.world.end();
  const none = await awake({ scale: { by: 'none' } });
  none.load(100, 20);
  assert.equal(none.driver.most, 1);
  await none.world.end();
});

test('held requests count: a wake under load starts as many as wait', async () => {
  const world = new World();
  await world.configure(backendConfig('db'), backendConfig('shop', { scale: busy, wake: { with: ['db'] } }));
  const gateway = world.gateway();
  gateway.wake('shop');
  gateway.report('shop', { held: 35, requests: 35 });
  world.driver('db').ready();
  assert.equal(world.driver('shop').of('starting').length, 4);
  await world.end();
});

test('an instance that is unhealthy is left out, and comes back', async () => {
  const { world, gateway, driver, load } = await awake();
  load(25, 10);
  driver.unhealthy('shop-2');
  assert.deepEqual(gateway.ready('shop'), ['shop-1', 'shop-3']);
  driver.unhealthy('shop-2', 'ready');
  assert.deepEqual(gateway.ready('shop'), ['shop-1', 'shop-2', 'shop-3']);
  gateway.say({ type: 'suspect', backend: 'shop', endpoint: 'shop-3', reason: 'ECONNREFUSED' });
  assert.deepEqual(driver.suspects, [{ id: 'shop-3', reason: 'ECONNREFUSED' }]);
  await world.end();
});

test('one of several that dies is replaced, after its back-off if it crashed', async () => {
  const { world, gateway, driver, load } = await awake();
  load(25, 10);
  driver.die('shop-3', 1500);
  assert.deepEqual(gateway.ready('shop'), ['shop-1', 'shop-2']);
  assert.equal(gateway.known.get('shop')?.phase, 'awake');
  assert.equal(gateway.known.get('shop')?.crash?.attempts, 1);
  assert.equal(driver.of('starting').length, 0);
  world.time.advance(1500);
  assert.equal(driver.of('starting').length, 1);
  driver.ready();
  assert.equal(gateway.ready('shop').length, 3);
  assert.equal(gateway.known.get('shop')?.crash, null);
  assert.deepEqual(world.errors, []);
  await world.end();
});
