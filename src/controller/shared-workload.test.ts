/** A workload of a cluster: others scale it too, and its Service may have several ports. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { backendConfig, settled, World, type BackendOptions } from './controller.fixture.ts';

async function worldOf(options: BackendOptions = {}): Promise<World> {
  const world = new World();
  await world.configure(backendConfig('shop', { kubernetes: true, ...options }));
  return world;
}

test('what runs already when we come, or is scaled up by somebody else, is awake', async () => {
  const world = await worldOf({ scale: { by: 'none' } });
  const gateway = world.gateway();
  const driver = world.driver('shop');
  driver.brought();
  assert.equal(world.status('shop').phase, 'waking');
  assert.deepEqual(gateway.ready('shop'), []);
  const id = driver.ready();
  assert.equal(world.status('shop').phase, 'awake');
  assert.equal(world.status('shop').lastWoken?.by.kind, 'external');
  assert.deepEqual(gateway.ready('shop'), [id]);
  driver.brought();
  const second = driver.ready();
  world.time.advance(5000);
  assert.deepEqual(gateway.ready('shop'), [id, second], 'with scale.by none nobody here takes it away');
  assert.equal(driver.retirements.length, 0);
  await world.end();
});

test('a start by somebody else is not given up, however long it takes', async () => {
  const world = await worldOf({ wake: { timeoutMs: 1000 } });
  world.gateway();
  const driver = world.driver('shop');
  driver.brought();
  world.time.advance(60_000);
  assert.equal(world.status('shop').phase, 'waking');
  assert.equal(driver.of('starting').length, 1);
  await world.end();
});

test('scaled to zero by somebody else it is asleep, and a request wakes it', async () => {
  const world = await worldOf();
  const gateway = world.gateway();
  const driver = world.driver('shop');
  gateway.wake('shop');
  driver.ready();
  driver.told = 1;
  driver.takenAway();
  assert.equal(world.status('shop').phase, 'asleep');
  assert.match(world.status('shop').why, /somebody else/);
  gateway.wake('shop');
  assert.equal(world.status('shop').phase, 'waking');
  await world.end();
});

test('pods that are not ended are awake again', async () => {
  const world = await worldOf({ scale: { idleAfterMs: 300 } });
  const gateway = world.gateway();
  gateway.autoDrain = true;
  const driver = world.driver('shop');
  gateway.wake('shop');
  const id = driver.ready();
  world.time.advance(300);
  assert.equal(driver.retirements.length, 1);
  driver.retirements[0]!.refuse();
  await settled();
  assert.equal(world.status('shop').phase, 'awake');
  assert.deepEqual(gateway.ready('shop'), [id]);
  world.time.advance(300);
  driver.retirements[1]!.finish();
  await settled();
  assert.equal(world.status('shop').phase, 'asleep');
  await world.end();
});

test('each further port is a backend to gateways, and one with the others here', async () => {
  const world = await worldOf({
    ports: [{ name: 'grpc', protocol: 'h2c' }],
    scale: { idleAfterMs: 300 },
    wake: { maxHeld: 10 },
  });
  const gateway = world.gateway();
  gateway.wake('shop:grpc');
  assert.equal(gateway.known.get('shop')?.phase, 'waking');
  assert.equal(gateway.known.get('shop:grpc')?.phase, 'waking');
  const id = world.driver('shop').ready();
  assert.deepEqual(
    ['shop', 'shop:grpc'].map((name) => gateway.known.get(name)?.endpoints.map((one) => [one.id, one.port])),
    [[[id, 5001]], [[id, 6001]]],
  );
  gateway.report('shop:grpc', { inFlight: 1 });
  gateway.report('shop', {});
  world.time.advance(5000);
  assert.equal(world.status('shop').phase, 'awake', 'a request on the other port is in flight');
  gateway.report('shop:grpc', { inFlight: 0 });
  world.time.advance(300);
  assert.equal(world.status('shop').phase, 'falling-asleep');
  gateway.drain('shop');
  assert.equal(world.driver('shop').retirements.length, 0, 'the other port has not answered');
  gateway.drain('shop:grpc');
  assert.equal(world.driver('shop').retirements.length, 1);
  gateway.say({ type: 'lease-ask', backend: 'shop:grpc', holds: 8, bytes: 0 });
  gateway.say({ type: 'lease-ask', backend: 'shop', holds: 8, bytes: 0 });
  const leases = gateway.received.filter((message) => message.type === 'lease');
  assert.deepEqual(
    leases.map(({ backend, holds }) => [backend, holds]),
    [
      ['shop:grpc', 8],
      ['shop', 2],
    ],
  );
  gateway.close();
  await world.end();
});

test('idle sources keep it awake, wake it, and their end does not begin the time anew', async () => {
  const world = await worldOf({ scale: { idleAfterMs: 300 } });
  world.gateway();
  world.controller.idleVerdict('shop', { keptBy: [], wake: 'its schedule says awake' });
  assert.equal(world.status('shop').phase, 'waking');
  world.driver('shop').ready();
  world.controller.idleVerdict('shop', { keptBy: ['Prometheus says 3'], wake: null });
  world.time.advance(5000);
  assert.equal(world.status('shop').phase, 'awake');
  assert.deepEqual(world.status('shop').awakeBecause, ['Prometheus says 3']);
  world.controller.idleVerdict('shop', { keptBy: [], wake: null });
  assert.equal(world.status('shop').phase, 'falling-asleep');
  await world.end();
});
