import { test } from 'node:test';
import assert from 'node:assert/strict';
import { defaultBackend } from '../model/config.fixture.ts';
import {
  backendConfig,
  settled,
  World,
  type BackendOptions,
  type FakeDriver,
  type FakeGateway,
} from './controller.fixture.ts';

const none = new AbortController().signal;

async function awakeShop(
  options: BackendOptions = {},
): Promise<{ world: World; gateway: FakeGateway; driver: FakeDriver }> {
  const world = new World();
  await world.configure(backendConfig('shop', { ...options, scale: { idleAfterMs: 300, ...options.scale } }));
  const gateway = world.gateway();
  gateway.wake('shop');
  world.driver('shop').ready();
  return { world, gateway, driver: world.driver('shop') };
}

async function retired(driver: FakeDriver): Promise<void> {
  driver.retirements.at(-1)?.finish();
  await settled();
}

test('sleeps exactly idleAfter after the last activity, and only when every gateway has drained', async () => {
  const { world, gateway, driver } = await awakeShop();
  const other = world.gateway();
  world.time.advance(200);
  const at = world.time.wallMs();
  world.time.advance(40);
  other.report('shop', { requests: 1, lastActivityMs: at });
  world.time.advance(259);
  assert.equal(world.status('shop').phase, 'awake');
  assert.equal(world.status('shop').sleepsAtMs, at + 300);
  world.time.advance(1);
  assert.equal(world.status('shop').phase, 'falling-asleep');
  assert.deepEqual(gateway.draining('shop'), ['shop-1']);
  gateway.drain('shop');
  assert.equal(driver.retirements.length, 0, 'the other one has not answered');
  other.drain('shop');
  assert.deepEqual(driver.retirements[0]?.ids, ['shop-1']);
  await retired(driver);
  assert.equal(gateway.known.get('shop')?.phase, 'asleep');
  assert.deepEqual(gateway.known.get('shop')?.endpoints, []);
  assert.equal(world.time.pending, 0);
  assert.deepEqual(world.told('shop'), ['waking', 'awake', 'falling-asleep', 'asleep']);
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('requests in flight, held ones and open tunnels keep it awake; ignored tunnels do not', async () => {
  for (const window of [{ inFlight: 1 }, { held: 1 }, { tunnels: 1 }]) {
    const { world, gateway } = await awakeShop();
    gateway.report('shop', window);
    world.time.advance(5000);
    assert.equal(world.status('shop').phase, 'awake', JSON.stringify(window));
    assert.equal(world.status('shop').awakeBecause.length, 1);
    gateway.report('shop', { lastActivityMs: world.time.wallMs() });
    world.time.advance(300);
    assert.equal(world.status('shop').phase, 'falling-asleep');
    await world.end();
  }
  const { world, gateway, driver } = await awakeShop({
    idle: { ...defaultBackend('shop').idle, webSockets: 'ignore' },
  });
  gateway.report('shop', { tunnels: 2 });
  world.time.advance(300);
  assert.equal(world.status('shop').phase, 'falling-asleep');
  world.time.advance(10_000);
  assert.equal(driver.retirements.length, 1, 'after the bound the tunnels are cut');
  await retired(driver);
  assert.equal(world.status('shop').phase, 'asleep');
  await world.end();
});

test('a request that comes while it drains takes the sleep back at once', async () => {
  const { world, gateway, driver } = await awakeShop();
  const other = world.gateway();
  world.time.advance(300);
  other.drain('shop');
  gateway.wake('shop');
  assert.equal(gateway.known.get('shop')?.phase, 'awake');
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  assert.deepEqual(other.ready('shop'), ['shop-1']);
  gateway.say({ type: 'drained', backend: 'shop', version: 3, endpoint: 'shop-1', held: 0, lastActivityMs: 0 });
  assert.equal(driver.retirements.length, 0);
  assert.equal(world.told('shop').at(-1), 'sleep-cancelled');
  await world.end();
});

test('a request that comes while gateways are being told reaches all of them in order', async () => {
  const { world, gateway, driver } = await awakeShop();
  const other = world.gateway();
  gateway.onDown = (message) => {
    if (message.type === 'backend' && message.phase === 'falling-asleep') gateway.wake('shop');
  };
  world.time.advance(300);
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  assert.deepEqual(other.ready('shop'), ['shop-1']);
  assert.equal(driver.retirements.length, 0);
  assert.deepEqual(world.errors, [], 'a version never comes after a later one');
  await world.end();
});

test('the second look: an answer with held requests or newer activity takes the sleep back', async () => {
  for (const answer of [{ held: 1 }, { lastActivityMs: 1_700_000_000_000 + 1000 + 299 }]) {
    const { world, gateway, driver } = await awakeShop();
    world.time.advance(300);
    assert.equal(world.status('shop').phase, 'falling-asleep');
    gateway.drain('shop', answer);
    assert.equal(world.status('shop').phase, 'awake', JSON.stringify(answer));
    assert.equal(driver.retirements.length, 0);
    await world.end();
  }
});

test('an answer to a drain that was taken back does not count for the next one', async () => {
  const { world, gateway, driver } = await awakeShop();
  world.time.advance(300);
  const { version } = gateway.known.get('shop') ?? { version: 0 };
  gateway.wake('shop');
  world.time.advance(300);
  assert.equal(world.status('shop').phase, 'falling-asleep');
  gateway.say({ type: 'drained', backend: 'shop', version, endpoint: 'shop-1', held: 0, lastActivityMs: 0 });
  assert.equal(driver.retirements.length, 0);
  gateway.drain('shop');
  assert.equal(driver.retirements.length, 1);
  await world.end();
});

test('a gateway that goes away owes no answer; one that comes is asked too', async () => {
  const { world, gateway, driver } = await awakeShop();
  world.time.advance(300);
  const late = world.gateway();
  assert.deepEqual(late.draining('shop'), ['shop-1']);
  gateway.close();
  assert.equal(driver.retirements.length, 0);
  late.drain('shop');
  assert.equal(driver.retirements.length, 1);
  await world.end();
});

test('a gateway that does not answer takes the sleep back after the bound, and the next attempt waits', async () => {
  const { world, driver } = await awakeShop();
  world.time.advance(300);
  world.time.advance(10_000);
  assert.equal(world.status('shop').phase, 'awake');
  assert.match(world.status('shop').why, /gateway g1 still has something in flight/);
  assert.equal(driver.retirements.length, 0);
  world.time.advance(299);
  assert.equal(world.status('shop').phase, 'awake');
  await world.end();
});

test('a wake after the stop: beside the stopping instance with a free port, after it with a fixed one or a freeze', async () => {
  const free = await awakeShop();
  free.world.time.advance(300);
  free.gateway.drain('shop');
  free.gateway.wake('shop');
  assert.equal(free.driver.of('starting').length, 1);
  assert.equal(free.driver.of('stopping').length, 1);
  free.driver.ready();
  assert.deepEqual(free.gateway.ready('shop'), ['shop-2']);
  await retired(free.driver);
  assert.deepEqual(free.gateway.ready('shop'), ['shop-2']);
  await free.world.end();

  const fixed = await awakeShop({ process: { port: 3000 } });
  fixed.world.time.advance(300);
  fixed.gateway.drain('shop');
  fixed.gateway.wake('shop');
  assert.equal(fixed.driver.of('starting').length, 0);
  await retired(fixed.driver);
  assert.equal(fixed.driver.of('starting').length, 1);
  fixed.driver.ready();
  assert.deepEqual(fixed.gateway.ready('shop'), ['shop-2']);
  await fixed.world.end();

  const frozen = await awakeShop({ process: { sleep: 'freeze' } });
  frozen.world.time.advance(300);
  frozen.gateway.drain('shop');
  assert.equal(frozen.driver.retirements[0]?.freeze, true);
  frozen.gateway.wake('shop');
  await retired(frozen.driver);
  assert.deepEqual(frozen.gateway.ready('shop'), ['shop-1']);
  assert.equal(frozen.world.status('shop').phase, 'awake');
  for (const { world } of [free, fixed, frozen]) assert.deepEqual(world.errors, []);
  await frozen.world.end();
});

test('sleep by command drains what is in flight, and says so when requests keep coming', async () => {
  const { world, gateway, driver } = await awakeShop({ scale: { idleAfterMs: 60_000 } });
  gateway.report('shop', { inFlight: 1, lastActivityMs: world.time.wallMs() });
  const cancelled = world.controller.sleep('shop', none);
  gateway.drain('shop', { held: 1, lastActivityMs: world.time.wallMs() });
  await assert.rejects(cancelled, { code: 'DORMOUSE_SLEEP_CANCELLED', message: 'shop stays awake: a request waits' });
  gateway.report('shop', { inFlight: 1, lastActivityMs: world.time.wallMs() });
  const slept = world.controller.sleep('shop', none);
  world.time.advance(500);
  gateway.drain('shop', { lastActivityMs: world.time.wallMs() });
  await retired(driver);
  await slept;
  assert.equal(world.status('shop').phase, 'asleep');
  assert.equal(world.status('shop').why, 'put to sleep by command');
  await world.controller.sleep('shop', none);
  await world.end();
});

test('sleep by command right after a wake: what a gateway said before it is no objection, what it answers is', async () => {
  const { world, gateway, driver } = await awakeShop({ scale: { idleAfterMs: 60_000 } });
  const other = world.gateway();
  // The request that woke it, as it was reported when it came; it has been answered since.
  other.report('shop', { held: 1, lastActivityMs: world.time.wallMs() });
  const cancelled = world.controller.sleep('shop', none);
  gateway.drain('shop');
  assert.equal(world.status('shop').phase, 'falling-asleep');
  other.drain('shop', { held: 1, lastActivityMs: world.time.wallMs() });
  await assert.rejects(cancelled, { code: 'DORMOUSE_SLEEP_CANCELLED', message: 'shop stays awake: a request waits' });
  const slept = world.controller.sleep('shop', none);
  gateway.drain('shop');
  other.drain('shop');
  await retired(driver);
  await slept;
  await world.end();
});

test('an instance that dies while it falls asleep does not hold up anything', async () => {
  const { world, gateway, driver } = await awakeShop();
  world.time.advance(300);
  driver.die('shop-1');
  await settled();
  assert.equal(gateway.known.get('shop')?.phase, 'asleep');
  gateway.wake('shop');
  driver.ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-2']);
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('300 cycles with an idleAfter of 300 ms: each sleep comes at its moment', async () => {
  const { world, gateway, driver } = await awakeShop();
  gateway.autoDrain = true;
  for (let cycle = 0; cycle < 300; cycle++) {
    world.time.advance(299);
    assert.equal(world.status('shop').phase, 'awake');
    world.time.advance(1);
    await retired(driver);
    assert.equal(world.status('shop').phase, 'asleep');
    gateway.wake('shop');
    driver.ready();
  }
  assert.deepEqual(world.errors, []);
  await world.end();
});
