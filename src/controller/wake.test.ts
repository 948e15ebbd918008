import { test } from 'node:test';
import assert from 'node:assert/strict';
import { causeText } from './why.ts';
import { backendConfig, FakeGateway, settled, World } from './controller.fixture.ts';

async function asleepShop(options: Parameters<typeof backendConfig>[1] = {}) {
  const world = new World();
  await world.configure(backendConfig('shop', options));
  const gateway = world.gateway();
  return { world, gateway, driver: world.driver('shop') };
}

test('the first request starts one instance and every gateway hears of it in the same step', async () => {
  const { world, gateway, driver } = await asleepShop();
  const other = world.gateway();
  assert.equal(world.time.pending, 0, 'a sleeping backend has no timers');
  gateway.wake('shop');
  assert.equal(gateway.known.get('shop')?.phase, 'waking');
  other.wake('shop');
  world.time.advance(143);
  driver.ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  assert.deepEqual(other.ready('shop'), ['shop-1']);
  assert.equal(driver.most, 1);
  const awake = world.events.find((event) => event.kind === 'awake');
  assert.equal(awake?.message, 'shop is awake after 143 ms (woken by GET /cart from 10.0.0.9 on route web)');
  assert.equal(world.status('shop').lastWoken?.by.client, '10.0.0.9');
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('a wake that comes while awake is answered with the present endpoints', async () => {
  const { world, gateway, driver } = await asleepShop();
  gateway.wake('shop');
  driver.ready();
  const before = gateway.received.length;
  gateway.wake('shop');
  assert.equal(gateway.received.length, before + 1);
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  await world.end();
});

test('a failed start is told as a crash, and the next request after the back-off starts again', async () => {
  const { world, gateway, driver } = await asleepShop();
  gateway.wake('shop');
  driver.fail(1000);
  const told = gateway.known.get('shop');
  assert.equal(told?.phase, 'asleep');
  assert.equal(told?.crash?.reason, 'it ended with code 1');
  world.time.advance(500);
  gateway.wake('shop');
  assert.equal(gateway.known.get('shop')?.crash?.attempts, 1);
  assert.equal(driver.of('starting').length, 0);
  await assert.rejects(world.controller.wake('shop', { kind: 'command', atMs: 0 }, new AbortController().signal), {
    code: 'DORMOUSE_BACKEND_CRASHING',
  });
  world.time.advance(500);
  gateway.wake('shop');
  assert.equal(gateway.known.get('shop')?.phase, 'waking');
  assert.equal(gateway.known.get('shop')?.crash, null);
  driver.ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-2']);
  assert.equal(gateway.known.get('shop')?.crash, null);
  assert.ok(world.told('shop').includes('recovered'));
  await world.end();
});

test('dependencies wake first, in order, and say why they are awake', async () => {
  const world = new World();
  await world.configure(
    backendConfig('db'),
    backendConfig('cache'),
    backendConfig('shop', { wake: { with: ['db', 'cache'] } }),
  );
  const gateway = world.gateway();
  gateway.wake('shop');
  assert.equal(world.driver('db').of('starting').length, 1);
  assert.equal(world.driver('cache').of('starting').length, 0);
  assert.match(world.status('shop').why, /waits for db/);
  world.driver('db').ready();
  assert.equal(world.driver('cache').of('starting').length, 1);
  assert.equal(world.driver('shop').of('starting').length, 0);
  world.driver('cache').ready();
  world.driver('shop').ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  assert.equal(world.status('db').lastWoken?.by.kind, 'dependency');
  assert.deepEqual(world.status('db').awakeBecause, ['shop is awake and needs it']);
  gateway.autoDrain = true;
  world.time.advance(60_000);
  assert.equal(world.status('shop').phase, 'falling-asleep');
  assert.equal(world.status('db').phase, 'awake', 'it does not sleep before the one that needs it');
  world.driver('shop').retirements[0]?.finish();
  await settled();
  assert.equal(world.status('shop').phase, 'asleep');
  assert.equal(world.status('db').phase, 'falling-asleep');
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('a dependency that crashes fails the wake of the one that needs it, with its reason', async () => {
  const world = new World();
  await world.configure(backendConfig('db'), backendConfig('shop', { wake: { with: ['db'] } }));
  const gateway = world.gateway();
  gateway.wake('shop');
  world.driver('db').fail(2000);
  assert.equal(gateway.known.get('shop')?.phase, 'asleep');
  assert.match(gateway.known.get('shop')?.crash?.reason ?? '', /^db, which it needs, is not awake: db is crashing/);
  world.time.advance(2000);
  gateway.wake('shop');
  world.driver('db').ready();
  world.driver('shop').ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  await world.end();
});

test('a wake that nobody waits for any more is given up after wake.timeout', async () => {
  const { world, gateway, driver } = await asleepShop({ wake: { timeoutMs: 5000 } });
  gateway.wake('shop');
  gateway.report('shop', { held: 1 });
  world.time.advance(30_000);
  assert.equal(world.status('shop').phase, 'waking', 'somebody is held');
  gateway.report('shop', { held: 0 });
  world.time.advance(7000);
  assert.equal(world.status('shop').phase, 'asleep');
  assert.equal(driver.of('starting').length, 0);
  gateway.report('shop', { held: 1 });
  assert.equal(world.status('shop').phase, 'waking', 'a request that was held all the same wakes it');
  await world.end();
});

test('an instance that dies after a long life is started again when it is needed', async () => {
  const { world, gateway, driver } = await asleepShop();
  gateway.wake('shop');
  driver.ready();
  gateway.report('shop', { inFlight: 1, requests: 1, lastActivityMs: world.time.wallMs() });
  driver.die('shop-1');
  assert.equal(gateway.known.get('shop')?.phase, 'waking');
  assert.deepEqual(gateway.known.get('shop')?.endpoints, []);
  driver.ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-2']);
  assert.equal(world.status('shop').lastWoken?.by.kind, 'restart');
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('min > 0 is started at once and again after a crash', async () => {
  const { world, gateway, driver } = await asleepShop({ scale: { min: 2, max: 3 } });
  assert.equal(driver.of('starting').length, 2);
  driver.fail(1000);
  assert.equal(gateway.known.get('shop')?.phase, 'waking', 'the other one is still starting');
  driver.ready();
  assert.equal(gateway.ready('shop').length, 1);
  world.time.advance(1000);
  assert.equal(driver.of('starting').length, 1);
  driver.ready();
  assert.equal(gateway.ready('shop').length, 2);
  world.time.advance(600_000);
  assert.equal(gateway.ready('shop').length, 2);
  await assert.rejects(world.controller.sleep('shop', new AbortController().signal), {
    code: 'DORMOUSE_SLEEP_REFUSED',
  });
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('commands: wake resolves when awake, an unknown name names the nearest', async () => {
  const { world, driver } = await asleepShop();
  const signal = new AbortController().signal;
  const woken = world.controller.wake('shop', { kind: 'command', atMs: world.time.wallMs() }, signal);
  driver.ready();
  await woken;
  await assert.rejects(world.controller.wake('shp', { kind: 'command', atMs: 0 }, signal), /did you mean shop\?/);
  const abort = new AbortController();
  const world2 = await asleepShop();
  const waiting = world2.world.controller.wake('shop', { kind: 'command', atMs: 0 }, abort.signal);
  abort.abort();
  await assert.rejects(waiting, { code: 'DORMOUSE_ABORTED' });
  await world.end();
  await world2.world.end();
});

test('a gateway of another version of the protocol is turned away', async () => {
  const { world } = await asleepShop();
  const gateway = world.gateway();
  assert.equal(gateway.closed, false);
  const stranger = new FakeGateway('old', world.time);
  world.controller.attach('old', stranger.link);
  stranger.hello(99);
  assert.equal(stranger.closed, true);
  assert.match(world.errors[0] ?? '', /turned away/);
  await world.end();
});

test('an instance that crashes while awake is told once, and what it leaves is asleep with the reason', async () => {
  const { world, gateway, driver } = await asleepShop();
  gateway.wake('shop');
  driver.ready();
  driver.die('shop-1', 1000);
  assert.deepEqual(world.told('shop'), ['waking', 'awake', 'crash']);
  assert.equal(gateway.known.get('shop')?.phase, 'asleep');
  assert.match(world.status('shop').why, /^crashing: it ended with code 1$/);
  assert.equal(world.status('shop').crash?.lastLogLines[0], 'boom');
  await world.end();
});

test('a wake by a request of the gateway itself, which no route has, is told without one', () => {
  const cause = { kind: 'request', atMs: 0, method: 'GET', path: '/verify', client: '10.0.0.9', route: '' } as const;
  assert.equal(causeText(cause), 'woken by GET /verify from 10.0.0.9');
});
