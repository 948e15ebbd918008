import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Gateways } from './limits.fixture.ts';
import type { ConcurrencyLimiter } from './shared-limits.ts';

const SPEC = { id: 'shop/0/0', route: 'shop', max: 10 };

async function enter(world: Gateways, limiter: ConcurrencyLimiter, times: number, key = ''): Promise<number> {
  const entered = Array.from({ length: times }, () => limiter.enter(key));
  await world.settle();
  return (await Promise.all(entered)).filter(Boolean).length;
}

async function leave(world: Gateways, limiter: ConcurrencyLimiter, times: number, key = ''): Promise<void> {
  for (let i = 0; i < times; i++) limiter.leave(key);
  await world.settle();
}

test('as many as may be are in flight, over all workers; each that ends makes room anywhere', async () => {
  const world = new Gateways();
  const [one, two] = [world.add('a').concurrency(SPEC), world.add('b').concurrency(SPEC)];
  assert.equal(await enter(world, one, 6), 6);
  assert.equal(await enter(world, two, 6), 4);
  await leave(world, one, 1);
  world.time.advance(6);
  assert.equal(await enter(world, two, 2), 1);
  await leave(world, one, 5);
  await leave(world, two, 5);
  assert.equal(world.desk.keys('concurrency shop/0/0'), 0);
});

test('each key has its own slots; one that nobody uses is forgotten everywhere', async () => {
  const world = new Gateways();
  const limits = world.add('a');
  const limiter = limits.concurrency({ ...SPEC, max: 1 });
  for (let i = 0; i < 10_000; i++) void limiter.enter(`k${i}`);
  await world.settle();
  assert.equal(world.desk.keys('concurrency shop/0/0'), 10_000);
  assert.equal(await enter(world, limiter, 1, 'k5'), 0);
  for (let i = 0; i < 10_000; i++) limiter.leave(`k${i}`);
  await world.settle();
  world.time.advance(2000);
  await world.settle();
  assert.equal(world.desk.keys('concurrency shop/0/0'), 0);
  assert.equal(world.time.pending, 0);
  assert.equal(await enter(world, limiter, 1, 'k5'), 1);
});

test('a large bound: no round trip per request, and a key that is full asks seldom', async () => {
  const world = new Gateways();
  const [one] = [world.add('a').concurrency({ ...SPEC, max: 1000 }), world.add('b')];
  assert.equal(await enter(world, one!, 100), 100);
  const before = world.asks;
  let waited = 0;
  for (let i = 0; i < 10_000; i++) {
    one!.leave('');
    const entered = one!.enter('');
    if (entered !== true) {
      waited++;
      await world.settle();
    }
    assert.equal(await entered, true);
  }
  await world.settle();
  assert.ok(waited <= 1 && world.asks - before < 10, `${waited} waited, ${world.asks - before} messages`);
  await enter(world, one!, 2000);
  world.time.advance(5);
  assert.equal(await enter(world, one!, 1000), 0);
  const full = world.asks;
  for (let i = 0; i < 1000; i++) assert.equal(one!.enter(''), false);
  await world.settle();
  assert.equal(world.asks, full);
  world.time.advance(5);
  assert.equal(await enter(world, one!, 1000), 0);
  assert.equal(world.asks, full + 1);
});

test('spare slots that are not needed go back after a second', async () => {
  const world = new Gateways();
  const [one, two] = ['a', 'b'].map((name) => world.add(name).concurrency({ ...SPEC, max: 100 }));
  assert.equal(await enter(world, one!, 20), 20);
  await leave(world, one!, 10);
  assert.equal(await enter(world, one!, 12), 12);
  await leave(world, one!, 22);
  const got = await enter(world, two!, 200);
  assert.ok(got >= 100 - 25 && got <= 100, `${got}`);
  world.time.advance(3000);
  await world.settle();
  assert.equal(got + (await enter(world, two!, 200)), 100);
});

test('slots of a worker that is killed come back', async () => {
  const world = new Gateways();
  assert.equal(await enter(world, world.add('a').concurrency(SPEC), 10), 10);
  const two = world.add('b').concurrency(SPEC);
  assert.equal(await enter(world, two, 1), 0);
  world.kill('a');
  world.time.advance(10);
  assert.equal(await enter(world, two, 20), 10);
});

test('a reload: what is in flight goes on counting, with the new bound', async () => {
  const world = new Gateways();
  const limits = world.add('a');
  const before = limits.concurrency(SPEC);
  assert.equal(await enter(world, before, 8), 8);
  const after = limits.concurrency({ ...SPEC, max: 9 });
  assert.equal(await enter(world, after, 5), 1);
  await leave(world, before, 8);
  before.close();
  world.time.advance(10);
  assert.equal(await enter(world, after, 20), 8);
  await leave(world, after, 9);
  after.close();
  await world.settle();
  assert.equal(world.desk.size, 0);
});

test('a silent supervisor: bounded wait, then this worker lets its share in; it is right again afterwards', async () => {
  const world = new Gateways();
  const [one, two] = [world.add('a').concurrency(SPEC), world.add('b').concurrency(SPEC)];
  await world.settle();
  world.silent = true;
  const first = one.enter('');
  assert.ok(first instanceof Promise);
  await world.settle();
  world.time.advance(250);
  assert.equal(await first, true);
  let entered = 1;
  for (let i = 0; i < 20; i++) if (one.enter('') === true) entered++;
  assert.equal(entered, 5);
  world.silent = false;
  await world.settle();
  await leave(world, one, 5);
  world.time.advance(3000);
  await world.settle();
  assert.equal(world.desk.keys('concurrency shop/0/0'), 0, 'the slot that came too late went back');
  assert.equal(await enter(world, two, 20), 10);
});

test('never more than max in flight, and none lost, whoever enters, leaves and dies', async () => {
  const step = fc.record({ worker: fc.nat(2), enter: fc.nat(8), leave: fc.nat(8), gapMs: fc.nat(600), die: fc.nat(9) });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 60 }), fc.array(step, { maxLength: 25 }), async (max, steps) => {
      const world = new Gateways();
      const names = ['a', 'b', 'c'];
      const limiters = names.map((name) => world.add(name).concurrency({ ...SPEC, max }));
      const inFlight = [0, 0, 0];
      for (const { worker, enter: times, leave: ends, gapMs, die } of steps) {
        if (die === 0) {
          world.kill(names[worker]!);
          limiters[worker] = world.add(names[worker]!).concurrency({ ...SPEC, max });
          inFlight[worker] = 0;
        }
        inFlight[worker]! += await enter(world, limiters[worker]!, times);
        assert.ok(inFlight.reduce((sum, each) => sum + each) <= max);
        const over = Math.min(ends, inFlight[worker]!);
        await leave(world, limiters[worker]!, over);
        inFlight[worker]! -= over;
        world.time.advance(gapMs);
        await world.settle();
      }
      for (const [worker, limiter] of limiters.entries()) await leave(world, limiter, inFlight[worker]!);
      for (let i = 0; i < 3; i++) {
        world.time.advance(1500);
        await world.settle();
      }
      assert.equal(world.desk.keys('concurrency shop/0/0'), 0);
      assert.equal(await enter(world, limiters[0]!, max + 1), max);
    }),
    { numRuns: 40 },
  );
});
