import { test } from 'node:test';
import assert from 'node:assert/strict';
import { backendConfig, configOf, FakeGateway, settled, World, type BackendOptions } from './controller.fixture.ts';

const server = (port: number) => ({ host: '10.0.0.7', port, weight: 1 });

async function awake(options: BackendOptions = {}) {
  const world = new World();
  await world.configure(backendConfig('shop', options), backendConfig('other'));
  const gateway = world.gateway();
  gateway.wake('shop');
  world.driver('shop').ready();
  return { world, gateway, driver: world.driver('shop') };
}

test('a gateway is given the configuration first, then what is awake, also what is static', async () => {
  const { world } = await awake();
  await world.configure(
    backendConfig('shop'),
    backendConfig('other'),
    backendConfig('legacy', { servers: [server(80), server(81)] }),
  );
  const late = world.gateway();
  assert.deepEqual(
    late.received.map((message) => (message.type === 'backend' ? message.backend : message.type)),
    ['configure', 'shop', 'legacy'],
  );
  assert.equal(late.ready('legacy').length, 2);
  assert.equal(world.status('legacy').lastWoken, null);
  await assert.rejects(world.controller.sleep('legacy', new AbortController().signal), /run by somebody else/);
  world.driver('legacy').unhealthy('legacy-1');
  world.driver('legacy').unhealthy('legacy-2');
  assert.deepEqual(late.ready('legacy'), []);
  assert.equal(late.known.get('legacy')?.phase, 'awake');
  await world.end();
});

test('what did not change is left alone; scale and wake are changed in place', async () => {
  const { world, gateway, driver } = await awake();
  const before = gateway.received.length;
  await world.configure(backendConfig('shop', { scale: { idleAfterMs: 500 } }), backendConfig('other'));
  assert.deepEqual(
    gateway.received.slice(before).map((message) => message.type),
    ['configure'],
  );
  assert.equal(world.driver('shop'), driver);
  world.time.advance(500);
  assert.equal(world.status('shop').phase, 'falling-asleep');
  await world.end();
});

test('a changed command: new instances start beside the old ones, which drain when the new ones are ready', async () => {
  const { world, gateway, driver } = await awake();
  await world.configure(backendConfig('shop', { process: { command: ['node', 'v2.js'] } }), backendConfig('other'));
  const next = world.driver('shop');
  assert.notEqual(next, driver);
  assert.deepEqual(gateway.ready('shop'), ['shop-1'], 'the old one serves on');
  assert.match(world.status('shop').why, /are being replaced/);
  next.ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-2'], 'an id is never used twice');
  assert.deepEqual(gateway.draining('shop'), ['shop-1']);
  gateway.drain('shop');
  assert.deepEqual(driver.retirements[0]?.ids, ['shop-1']);
  driver.retirements[0]?.finish();
  await settled();
  assert.equal(driver.closed, true);
  assert.equal(gateway.known.get('shop')?.phase, 'awake');
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('when the changed one does not start, the old one serves on and status says so', async () => {
  const { world, gateway, driver } = await awake();
  await world.configure(backendConfig('shop', { process: { command: ['nonsense'] } }), backendConfig('other'));
  const next = world.driver('shop');
  next.fail(1000);
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  assert.equal(gateway.known.get('shop')?.crash?.attempts, 1);
  assert.match(world.status('shop').why, /can't be started \(it ended with code 1\): requests go on/);
  world.time.advance(1000);
  assert.equal(next.of('starting').length, 1, 'tried again');
  next.ready();
  assert.deepEqual(gateway.draining('shop'), ['shop-1']);
  assert.equal(driver.closed, false);
  await world.end();
});

test('with a fixed port the old one ends first, and requests are held meanwhile', async () => {
  const { world, gateway, driver } = await awake({ process: { port: 3000 } });
  await world.configure(
    backendConfig('shop', { process: { port: 3000, command: ['node', 'v2.js'] } }),
    backendConfig('other'),
  );
  const next = world.driver('shop');
  assert.equal(gateway.known.get('shop')?.phase, 'waking');
  assert.deepEqual(gateway.draining('shop'), ['shop-1']);
  assert.equal(next.of('starting').length, 0);
  world.time.advance(1000);
  assert.equal(next.of('starting').length, 0, 'the port is not free before the old one is drained');
  gateway.drain('shop', { held: 1 });
  world.time.advance(1000);
  assert.equal(next.of('starting').length, 0, 'nor before it is gone');
  driver.retirements[0]?.finish();
  await settled();
  next.ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-2']);
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('a changed source while asleep or waking needs no ceremony', async () => {
  const asleep = new World();
  await asleep.configure(backendConfig('shop'));
  const first = asleep.driver('shop');
  await asleep.configure(backendConfig('shop', { process: { command: ['node', 'v2.js'] } }));
  assert.equal(first.closed, true);
  const gateway = asleep.gateway();
  gateway.wake('shop');
  await asleep.configure(backendConfig('shop', { process: { command: ['node', 'v3.js'] } }));
  await settled();
  const third = asleep.driver('shop');
  third.ready();
  assert.deepEqual(gateway.ready('shop'), ['shop-2']);
  assert.deepEqual(asleep.errors, []);
  await asleep.end();
});

test('a removed backend is drained, then its driver closed; the bound is shutdown.drain', async () => {
  const { world, gateway, driver } = await awake();
  await world.configure(backendConfig('other'));
  assert.deepEqual(gateway.draining('shop'), ['shop-1']);
  assert.equal(driver.closed, false);
  gateway.drain('shop');
  await settled();
  assert.equal(driver.closed, true);
  assert.deepEqual(
    world.controller.backends().map((backend) => backend.name),
    ['other'],
  );
  await world.end();

  const stuck = await awake();
  await stuck.world.configure(backendConfig('other'));
  stuck.world.time.advance(30_000);
  await settled();
  assert.equal(stuck.driver.closed, true);
  await stuck.world.end();
});

test('configure waits for every gateway, 10 s at most', async () => {
  const { world, gateway } = await awake();
  gateway.autoConfigure = false;
  let done = false;
  const applied = world.controller.configure(...configOf([backendConfig('shop')])).then(() => (done = true));
  await settled();
  assert.equal(done, false);
  const configure = gateway.received.findLast((message) => message.type === 'configure');
  gateway.say({ type: 'configured', version: configure?.version ?? 0 });
  await applied;
  void world.controller
    .configure(...configOf([backendConfig('shop', { scale: { max: 2 } })]))
    .then(() => (done = true));
  done = false;
  await settled();
  world.time.advance(10_000);
  await settled();
  assert.equal(done, true);
  await world.end();
});

test('a refusal changes nothing: gateways are given the old configuration again', async () => {
  const { world, gateway, driver } = await awake();
  const other = world.gateway();
  other.autoConfigure = false;
  const applied = world.controller.configure(
    ...configOf([backendConfig('shop', { scale: { max: 7 } }), backendConfig('new')]),
  );
  await settled();
  const asked = other.received.findLast((message) => message.type === 'configure');
  other.autoConfigure = true;
  other.say({ type: 'refused', version: asked?.version ?? 0, reason: 'no strategy maglev' });
  await assert.rejects(applied, {
    code: 'DORMOUSE_CONFIG_REFUSED',
    message: /gateway g2 refused the configuration: no strategy maglev/,
  });
  assert.deepEqual(
    world.controller.backends().map((backend) => backend.name),
    ['shop', 'other'],
  );
  assert.equal(world.status('shop').max, 1);
  assert.equal(world.driver('shop'), driver);
  const last = gateway.received.findLast((message) => message.type === 'configure');
  assert.deepEqual(
    last?.config.backends.map((backend) => backend.name),
    ['shop', 'other'],
  );
  assert.deepEqual(gateway.ready('shop'), ['shop-1']);
  await world.end();
});

test('a gateway that says hello before the first configuration gets it when it comes', async () => {
  const world = new World();
  const gateway = new FakeGateway('early', world.time);
  world.controller.attach('early', gateway.link);
  gateway.hello();
  assert.equal(gateway.received.length, 0);
  await world.configure(backendConfig('legacy', { servers: [server(80)] }));
  assert.equal(gateway.received[0]?.type, 'configure');
  assert.equal(gateway.ready('legacy').length, 1);
  await world.end();
});

test('changed servers: the new ones are used, the old ones drain, and the old driver is closed', async () => {
  const world = new World();
  await world.configure(backendConfig('legacy', { servers: [server(80), server(81)] }));
  const gateway = world.gateway();
  const old = world.driver('legacy');
  await world.configure(backendConfig('legacy', { servers: [server(81), server(82)] }));
  assert.deepEqual(gateway.ready('legacy'), ['legacy-3', 'legacy-4']);
  assert.deepEqual(gateway.draining('legacy'), ['legacy-1', 'legacy-2']);
  assert.equal(old.closed, false);
  gateway.drain('legacy');
  await settled();
  assert.equal(old.closed, true);
  assert.deepEqual(
    gateway.known.get('legacy')?.endpoints.map((endpoint) => endpoint.id),
    ['legacy-3', 'legacy-4'],
  );
  assert.equal(world.time.pending, 0);
  assert.deepEqual(world.errors, []);
  await world.end();
});

test('a greater max of a running backend is in force without a restart', async () => {
  const { world, gateway, driver } = await awake();
  const scale = { max: 3, min: 3 };
  await world.configure(backendConfig('shop', { scale }), backendConfig('other'));
  assert.equal(world.driver('shop'), driver);
  while (driver.of('starting').length > 0) driver.ready();
  assert.equal(gateway.ready('shop').length, 3);
  assert.equal(driver.config.scale.max, 3, 'the driver sees it too');
  await world.end();
});
