import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GatewayLimits } from './create-shared-limits.ts';
import { Gateways, rateSpec } from './limits.fixture.ts';
import type { LimitDecision, RateLimiter } from './shared-limits.ts';

/** All at once; how many are allowed. */
async function burst(world: Gateways, limiters: readonly RateLimiter[], requests: number, key = 'k'): Promise<number> {
  const decisions: (LimitDecision | Promise<LimitDecision>)[] = [];
  for (let i = 0; i < requests; i++) decisions.push(limiters[i % limiters.length]!.take(key));
  await world.settle();
  return (await Promise.all(decisions)).filter(({ allowed }) => allowed).length;
}

function several(world: Gateways, count: number): GatewayLimits[] {
  return Array.from({ length: count }, (_, index) => world.add(`g${index}`));
}

test('five a minute over four workers are five, and one more every twelve seconds', async () => {
  const world = new Gateways();
  const limiters = several(world, 4).map((limits) => limits.rate(rateSpec({ limit: 5, burst: 5 })));
  assert.equal(await burst(world, limiters, 40), 5);
  for (let i = 0; i < 3; i++) {
    world.time.advance(2000);
    await world.settle();
    world.time.advance(9900);
    assert.equal(await burst(world, limiters, 8), 0);
    world.time.advance(105);
    assert.equal(await burst(world, limiters, 8), 1);
  }
});

test('what is told counts down: limit, remaining, reset, and when to come back', async () => {
  const world = new Gateways();
  const limiter = several(world, 1)[0]!.rate(rateSpec({ limit: 3, burst: 3, windowMs: 3000 }));
  const take = async (): Promise<LimitDecision> => {
    const decision = limiter.take('k');
    await world.settle();
    return decision;
  };
  const told = { counted: true, limit: 3 };
  assert.deepEqual(await take(), { ...told, allowed: true, remaining: 2, resetMs: 1000, retryAfterMs: 0 });
  assert.deepEqual(await take(), { ...told, allowed: true, remaining: 1, resetMs: 2000, retryAfterMs: 0 });
  assert.deepEqual(await take(), { ...told, allowed: true, remaining: 0, resetMs: 3000, retryAfterMs: 0 });
  assert.deepEqual(await take(), { ...told, allowed: false, remaining: 0, resetMs: 3000, retryAfterMs: 1000 });
  world.time.advance(400);
  assert.deepEqual(await take(), { ...told, allowed: false, remaining: 0, resetMs: 2600, retryAfterMs: 600 });
  world.time.advance(600);
  assert.deepEqual(await take(), { ...told, allowed: true, remaining: 0, resetMs: 3000, retryAfterMs: 0 });
});

test('a busy key is leased ahead: no round trip per request; a refused one asks nobody', async () => {
  const world = new Gateways();
  const limiters = several(world, 2).map((limits) =>
    limits.rate(rateSpec({ limit: 1000, windowMs: 1000, burst: 1000 })),
  );
  let sync = 0;
  const total = 4000;
  for (let i = 0; i < total; i++) {
    if (i % 10 === 0) world.time.advance(12.5);
    const decision = limiters[i % 2]!.take('k');
    if (!(decision instanceof Promise)) sync++;
    else await world.settle();
    assert.equal((await decision).allowed, true);
  }
  assert.ok(world.asks < total / 20, `${world.asks} messages for ${total} requests`);
  assert.ok(sync > total * 0.97);

  const slow = several(world, 1)[0]!.rate(rateSpec({ id: 'other', limit: 1, burst: 1 }));
  assert.equal(await burst(world, [slow], 2), 1);
  const before = world.asks;
  for (let i = 0; i < 10_000; i++) assert.equal((slow.take('k') as LimitDecision).allowed, false);
  await world.settle();
  assert.equal(world.asks, before);
});

test('requests of one turn go in one message, and a bounded number of messages is under way', async () => {
  const world = new Gateways();
  const limiter = several(world, 1)[0]!.rate(rateSpec({ maxKeys: 100_000 }));
  await world.settle();
  world.silent = true;
  for (let i = 0; i < 5000; i++) {
    void limiter.take(`k${i}`);
    if (i % 10 === 0) world.time.endTurn();
  }
  await world.settle();
  assert.equal(world.asks, 16);
  world.silent = false;
  await world.settle();
  assert.equal(world.asks, 17, 'what had to wait went in one');
});

test('never more than burst + rate x time, over workers that use, wait, die and come back', async () => {
  const step = fc.record({ worker: fc.nat(2), requests: fc.nat(12), gapMs: fc.nat(900), die: fc.boolean() });
  const terms = fc.record({ limit: fc.integer({ min: 1, max: 50 }), burst: fc.integer({ min: 1, max: 60 }) });
  await fc.assert(
    fc.asyncProperty(terms, fc.array(step, { maxLength: 25 }), async ({ limit, burst: most }, steps) => {
      const world = new Gateways();
      const spec = rateSpec({ limit, burst: most, windowMs: 1000 });
      const limiters = ['g0', 'g1', 'g2'].map((name) => world.add(name).rate(spec));
      const passed: number[] = [];
      for (const [index, { worker, requests, gapMs, die }] of steps.entries()) {
        world.time.advance(gapMs);
        await world.settle();
        if (die && index % 5 === 0) {
          world.kill(`g${worker}`);
          limiters[worker] = world.add(`g${worker}`).rate(spec);
        }
        const allowed = await burst(world, [limiters[worker]!], requests);
        for (let i = 0; i < allowed; i++) passed.push(world.time.nowMs());
      }
      for (let from = 0; from < passed.length; from++)
        for (let to = from; to < passed.length; to++)
          assert.ok((to - from + 1 - most) * 1000 <= (passed[to]! - passed[from]!) * limit);
    }),
    { numRuns: 40 },
  );
});

test('at most one batch per worker lies unused: what the others get is told, and comes back after a second', async () => {
  const world = new Gateways();
  const [one, two] = several(world, 2).map((limits) =>
    limits.rate(rateSpec({ limit: 100, burst: 100, windowMs: 3_600_000 })),
  );
  let passed = 0;
  for (let i = 0; i < 20; i++) {
    world.time.advance(5);
    passed += await burst(world, [one!], 1);
  }
  assert.equal(passed, 20);
  const others = await burst(world, [two!], 200);
  assert.ok(others <= 80 && others >= 80 - 12, `${others}`);
  world.time.advance(2100);
  await world.settle();
  assert.equal(await burst(world, [two!], 100), 80 - others);
});

test('buckets go on over a reload, and over a worker that is replaced', async () => {
  const world = new Gateways();
  const limits = world.add('g0');
  const spec = rateSpec({ limit: 10, burst: 10 });
  const before = limits.rate(spec);
  assert.equal(await burst(world, [before], 6), 6);
  const after = limits.rate({ ...spec, burst: 20, limit: 20 });
  before.close();
  before.close();
  assert.equal(await burst(world, [after], 40), 14);
  world.kill('g0');
  const next = world.add('g0').rate({ ...spec, burst: 20, limit: 20 });
  assert.equal(await burst(world, [next], 40), 0);
  world.time.advance(3000);
  await world.settle();
  assert.equal(await burst(world, [next], 40), 1);
});

test('a configuration that is refused leaves the terms in force as they were', async () => {
  const world = new Gateways();
  const limits = world.add('g0');
  const inForce = limits.rate(rateSpec({ limit: 10, burst: 10 }));
  const refused = limits.rate(rateSpec({ limit: 1, burst: 1 }));
  refused.close();
  assert.equal(await burst(world, [inForce], 40), 10);
});

test('several places with one id share their buckets; closed by all, nothing is left', async () => {
  const world = new Gateways();
  const limits = world.add('g0');
  const places = [limits.rate(rateSpec({ limit: 4, burst: 4 })), limits.rate(rateSpec({ limit: 4, burst: 4 }))];
  assert.equal(await burst(world, places, 10), 4);
  for (const place of places) place.close();
  await world.settle();
  assert.equal(world.messages.filter(({ message }) => message.type === 'limit-close').length, 1);
  world.time.advance(70_000);
  assert.equal(world.time.pending, 0);
});

test('a silent supervisor: bounded wait, then each worker counts alone with its share, and what it let through is counted later', async () => {
  const world = new Gateways();
  const limiters = several(world, 2).map((limits) => limits.rate(rateSpec({ limit: 10, burst: 10 })));
  await world.settle();
  world.silent = true;
  const first = limiters.map((limiter) => limiter.take('k'));
  assert.ok(first.every((decision) => decision instanceof Promise));
  await world.settle();
  world.time.advance(249);
  world.time.advance(1);
  await world.settle();
  assert.deepEqual(
    (await Promise.all(first)).map(({ allowed }) => allowed),
    [true, true],
  );
  let more = 0;
  for (let i = 0; i < 40; i++) if ((limiters[i % 2]!.take('k') as LimitDecision).allowed) more++;
  assert.equal(more, 8, 'five each');
  assert.equal(world.log.length, 2, 'once per worker');
  assert.match(world.log[0]!, /^warn: the supervisor does not answer/);
  world.silent = false;
  await world.settle();
  world.time.advance(2100);
  await world.settle();
  assert.equal(await burst(world, limiters, 20), 0, 'the ten are known now');
  assert.match(world.log.at(-1)!, /again/);
  assert.deepEqual(
    ((): unknown => {
      const limits = new Gateways().add('x');
      return limits.families().flatMap(({ series }) => series);
    })(),
    [],
  );
});

test('keys are bounded, in the worker and in the controller, also when nobody answers', async () => {
  const world = new Gateways();
  const limits = world.add('g0');
  const limiter = limits.rate(rateSpec({ limit: 1, burst: 1, maxKeys: 1000 }));
  for (let i = 0; i < 20_000; i++) {
    void limiter.take(`k${i}`);
    if (i % 500 === 0) await world.settle();
  }
  await world.settle();
  assert.equal(world.desk.keys('rate shop/0/0'), 1000);
  world.silent = true;
  for (let i = 0; i < 20_000; i++) {
    void limiter.take(`s${i}`);
    if (i % 500 === 0) world.time.advance(100);
  }
  world.silent = false;
  await world.settle();
  world.time.advance(5000);
  await world.settle();
  world.time.advance(5000);
  await world.settle();
  assert.equal(world.time.pending, 0, 'no key is remembered in the worker once it is quiet');
});

test('the end of the link answers whoever waits', async () => {
  const world = new Gateways();
  const limits = world.add('g0');
  const limiter = limits.rate(rateSpec());
  world.silent = true;
  const waiting = [limiter.take('a'), limiter.take('b')];
  limits.end();
  assert.equal((await Promise.all(waiting)).length, 2);
  assert.ok(!(limiter.take('c') instanceof Promise));
});

test('refusals are counted by route', async () => {
  const world = new Gateways();
  const limits = world.add('g0');
  await burst(world, [limits.rate(rateSpec({ limit: 2, burst: 2 }))], 10);
  const family = limits.families().find(({ name }) => name === 'dormouse_rate_limited_total');
  assert.deepEqual(family?.series, [{ labels: { route: 'shop' }, value: 8 }]);
});

test('another controller counts what was used and not told to the former one, and nothing leased is used twice', async () => {
  const world = new Gateways();
  const [limits] = several(world, 1);
  const limiter = limits!.rate(rateSpec({ limit: 100, burst: 100, windowMs: 100_000 }));
  // Leases ahead, and uses some of it.
  assert.equal(await burst(world, [limiter], 10), 10);
  world.time.advance(20);
  assert.equal(await burst(world, [limiter], 10), 10);
  world.desk.left('g0');
  limits!.relinked();
  await world.settle();
  assert.ok(world.messages.some(({ message }) => message.type === 'limit-open'));
  // The former one counts the leased tokens as used: together never more than the burst and what came since.
  assert.ok((await burst(world, [limiter], 200)) <= 81);
});

test('who waits while the controller changes is decided alone, and asked for again afterwards', async () => {
  const world = new Gateways();
  const [limits] = several(world, 1);
  const limiter = limits!.rate(rateSpec({ limit: 5, burst: 5 }));
  world.silent = true;
  const waiting = limiter.take('k');
  assert.ok(waiting instanceof Promise);
  world.time.endTurn();
  limits!.relinked();
  assert.equal((await waiting).allowed, true);
  world.silent = false;
  await world.settle();
  // The first question comes late, and its answer is for nobody: what it took is gone.
  assert.equal(await burst(world, [limiter], 10), 3);
});
