import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { LimitAsk, LimitGrant, SharedLimitTerms } from '../../link/limit-messages.ts';
import { LimitDesk } from './limit-desk.ts';

const RATE: SharedLimitTerms = { kind: 'rate', name: 'r', limit: 100, windowMs: 60_000, burst: 100, maxKeys: 1000 };
const SLOTS: SharedLimitTerms = { kind: 'concurrency', name: 'c', max: 10 };

class World {
  nowMs = 0;
  readonly desk: LimitDesk<string>;
  constructor(gateways = 4) {
    this.desk = new LimitDesk({
      clock: { nowMs: () => this.nowMs, wallMs: () => 0 },
      gateways: () => gateways,
    });
  }
  ask(gateway: string, more: Partial<LimitAsk> & { name: string }): LimitGrant {
    return this.desk.ask(gateway, [{ key: 'k', need: 0, more: 0, used: 0, back: 0, ...more }])[0]!;
  }
}

describe('rate', () => {
  test('a small limit is exact, whoever asks: five a minute over four gateways are five', () => {
    const world = new World(4);
    const terms = { ...RATE, limit: 5, burst: 5 };
    for (const gateway of ['a', 'b', 'c', 'd']) world.desk.open(gateway, terms);
    const given = ['a', 'b', 'c', 'd', 'a', 'b', 'c'].map(
      (gateway) => world.ask(gateway, { name: 'r', need: 1, more: 1000 }).given,
    );
    assert.deepEqual(given, [1, 1, 1, 1, 1, 0, 0]);
    assert.equal(world.ask('a', { name: 'r', need: 1 }).waitMs, 12_000);
    world.nowMs = 11_999;
    assert.equal(world.ask('b', { name: 'r', need: 1 }).given, 0);
    world.nowMs = 12_000;
    assert.equal(world.ask('b', { name: 'r', need: 1 }).given, 1);
  });

  test('when all is leased to others, asked again when they give back what they do not use', () => {
    const world = new World(1);
    world.desk.open('a', { ...RATE, burst: 4 });
    assert.equal(world.ask('a', { name: 'r', more: 100 }).given, 4, 'one gateway alone takes from nobody');
    assert.equal(world.ask('b', { name: 'r', need: 1 }).waitMs, 1000);
  });

  test('the more is free, the larger the batch; never more than was asked for', () => {
    const world = new World(2);
    world.desk.open('a', RATE);
    assert.deepEqual(world.ask('a', { name: 'r', need: 1, more: 1000 }), { given: 13, left: 87, waitMs: 0 });
    assert.deepEqual(world.ask('a', { name: 'r', need: 1, more: 3 }), { given: 4, left: 83, waitMs: 0 });
    assert.deepEqual(world.ask('a', { name: 'r', need: 0, more: 1000 }), { given: 10, left: 73, waitMs: 0 });
  });

  test('what was leased and not used comes back', () => {
    const world = new World(1);
    world.desk.open('a', { ...RATE, burst: 40 });
    assert.deepEqual(world.ask('a', { name: 'r', more: 10 }), { given: 10, left: 30, waitMs: 0 });
    assert.equal(world.ask('b', { name: 'r', need: 40 }).given, 30);
    world.ask('a', { name: 'r', used: 3, back: 7 });
    assert.deepEqual(world.ask('b', { name: 'r', need: 10 }), { given: 7, left: 0, waitMs: 600 });
    assert.equal(world.ask('b', { name: 'r', back: 1000 }).given, 0, 'nobody gives back more than it had');
    assert.equal(world.ask('a', { name: 'r', need: 10 }).given, 0);
  });

  test('what a gateway used while it counted alone is remembered, a bucket of it', () => {
    const world = new World(1);
    world.desk.open('a', { ...RATE, limit: 60, burst: 10 });
    world.ask('a', { name: 'r', used: 1_000_000 });
    world.nowMs = 10_000;
    assert.equal(world.ask('a', { name: 'r', need: 1 }).given, 0);
    world.nowMs = 11_000;
    assert.equal(world.ask('a', { name: 'r', need: 1 }).given, 1);
  });

  test('buckets go on over a reload, over other terms and over a worker that is replaced', () => {
    const world = new World(1);
    world.desk.open('a', RATE);
    assert.equal(world.ask('a', { name: 'r', need: 60 }).given, 60);
    world.desk.close('a', 'r');
    world.desk.open('a', RATE);
    assert.equal(world.ask('a', { name: 'r', need: 0, more: 4 }).left, 36);
    world.ask('a', { name: 'r', back: 3 });
    world.desk.open('a', { ...RATE, limit: 10, windowMs: 1000, burst: 70 });
    assert.equal(world.ask('a', { name: 'r', need: 5 }).left, 4, '61 of 70 are missing');
    world.desk.left('a');
    world.desk.open('b', { ...RATE, limit: 10, windowMs: 1000, burst: 70 });
    assert.deepEqual(world.ask('b', { name: 'r', need: 5 }), { given: 4, left: 0, waitMs: 100 });
  });

  test('a limit that nobody has open is forgotten once its buckets are full, and at most 32 are kept', () => {
    const world = new World(1);
    for (let i = 0; i < 100; i++) {
      world.desk.open('a', { ...RATE, name: `r${i}` });
      world.ask('a', { name: `r${i}`, need: 1 });
    }
    world.desk.left('a');
    assert.equal(world.desk.size, 32);
    world.nowMs = 59_999;
    world.desk.open('a', { ...RATE, name: 'r99' });
    assert.equal(world.desk.size, 32);
    world.nowMs = 60_000;
    world.desk.open('a', { ...RATE, name: 'r99' });
    assert.equal(world.desk.size, 1);
  });

  test('keys are bounded: the one that was unused longest is forgotten', () => {
    const world = new World(1);
    world.desk.open('a', { ...RATE, maxKeys: 100 });
    for (let i = 0; i < 100; i++) world.ask('a', { name: 'r', key: `k${i}`, need: 100 });
    world.ask('a', { name: 'r', key: 'k0', need: 1 });
    for (let i = 0; i < 10_000; i++) world.ask('a', { name: 'r', key: `more${i % 99}`, need: 1 });
    assert.equal(world.desk.keys('r'), 100);
    assert.equal(world.ask('a', { name: 'r', key: 'k0', need: 1 }).given, 0, 'it was used last');
    assert.equal(world.ask('a', { name: 'r', key: 'k1', need: 1 }).given, 1, 'it was forgotten: full');
  });

  test('never more than burst + rate x time are used, whoever leases, uses late, gives back or dies', () => {
    const step = fc.record({
      gateway: fc.constantFrom('a', 'b', 'c'),
      what: fc.constantFrom('ask', 'use', 'tell', 'die'),
      count: fc.integer({ min: 1, max: 8 }),
      gapMs: fc.integer({ min: 0, max: 400 }),
    });
    const terms = fc.record({ limit: fc.integer({ min: 1, max: 20 }), burst: fc.integer({ min: 1, max: 40 }) });
    fc.assert(
      fc.property(terms, fc.array(step, { maxLength: 120 }), ({ limit, burst }, steps) => {
        const world = new World(3);
        const of = { ...RATE, limit, burst, windowMs: 1000 };
        world.desk.open('a', of);
        const has = new Map<string, number>();
        const used = new Map<string, number>();
        const passed: number[] = [];
        for (const { gateway, what, count, gapMs } of steps) {
          world.nowMs += gapMs;
          const tokens = has.get(gateway) ?? 0;
          if (what === 'ask') {
            const { given, left } = world.ask(gateway, { name: 'r', need: count, more: count });
            assert.ok(given <= 2 * count && (given >= count || left === 0));
            for (let i = 0; i < Math.min(given, count); i++) passed.push(world.nowMs);
            has.set(gateway, tokens + Math.max(0, given - count));
          } else if (what === 'use') {
            const taken = Math.min(tokens, count);
            for (let i = 0; i < taken; i++) passed.push(world.nowMs);
            has.set(gateway, tokens - taken);
            used.set(gateway, (used.get(gateway) ?? 0) + taken);
          } else if (what === 'tell') {
            const back = Math.min(tokens, count);
            world.ask(gateway, { name: 'r', used: used.get(gateway) ?? 0, back });
            used.set(gateway, 0);
            has.set(gateway, tokens - back);
          } else {
            world.desk.left(gateway);
            world.desk.open('a', of);
            has.delete(gateway);
            used.delete(gateway);
          }
        }
        for (let from = 0; from < passed.length; from++)
          for (let to = from; to < passed.length; to++)
            assert.ok((to - from + 1 - burst) * 1000 <= (passed[to]! - passed[from]!) * limit);
      }),
    );
  });
});

describe('concurrency', () => {
  test('small bounds are exact; what comes back is for anybody', () => {
    const world = new World(4);
    for (const gateway of ['a', 'b', 'c', 'd']) world.desk.open(gateway, SLOTS);
    const ask = (gateway: string, need: number, back = 0): number =>
      world.ask(gateway, { name: 'c', need, more: 100, back }).given;
    assert.deepEqual([ask('a', 4), ask('b', 4), ask('c', 4), ask('d', 1)], [4, 4, 2, 0]);
    assert.equal(ask('d', 1), 0);
    assert.equal(ask('a', 0, 3), 0);
    assert.equal(ask('d', 5), 3);
    assert.equal(world.ask('e', { name: 'c', key: 'other', need: 1 }).given, 1);
  });

  test('slots of a gateway that is gone come back; keys that nobody uses take no room', () => {
    const world = new World(1);
    world.desk.open('a', SLOTS);
    world.desk.open('b', SLOTS);
    for (let i = 0; i < 10_000; i++) world.ask('a', { name: 'c', key: `k${i}`, need: 1 });
    assert.equal(world.desk.keys('c'), 10_000);
    world.ask('a', { name: 'c', key: 'k', need: 10 });
    assert.equal(world.ask('b', { name: 'c', need: 1 }).given, 0);
    world.desk.left('a');
    assert.equal(world.desk.keys('c'), 0);
    assert.equal(world.ask('b', { name: 'c', need: 10 }).given, 10);
  });

  test('a lowered bound is reached as slots come back', () => {
    const world = new World(1);
    world.desk.open('a', SLOTS);
    assert.equal(world.ask('a', { name: 'c', need: 10 }).given, 10);
    world.desk.open('a', { ...SLOTS, max: 4 });
    assert.equal(world.ask('a', { name: 'c', need: 1, back: 6 }).given, 0);
    assert.equal(world.ask('a', { name: 'c', need: 1, back: 1 }).given, 1);
  });

  test('never more than max are out', () => {
    const step = fc.record({
      gateway: fc.constantFrom('a', 'b', 'c'),
      what: fc.constantFrom('ask', 'back', 'die'),
      count: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.array(step, { maxLength: 80 }), (max, steps) => {
        const world = new World(3);
        for (const gateway of ['a', 'b', 'c', 'z']) world.desk.open(gateway, { ...SLOTS, max });
        const out = new Map<string, number>();
        for (const { gateway, what, count } of steps) {
          const has = out.get(gateway) ?? 0;
          if (what === 'ask') {
            const sum = [...out.values()].reduce((all, one) => all + one, 0);
            const { given } = world.ask(gateway, { name: 'c', need: count, more: count });
            assert.ok(given >= Math.min(count, max - sum));
            out.set(gateway, has + given);
          } else if (what === 'back') {
            world.ask(gateway, { name: 'c', back: count });
            out.set(gateway, Math.max(0, has - count));
          } else {
            world.desk.left(gateway);
            out.delete(gateway);
          }
          assert.ok([...out.values()].reduce((all, one) => all + one, 0) <= max);
        }
      }),
    );
  });
});

test('a limit that is not open gives nothing, and rubbish in an ask counts as nothing', () => {
  const world = new World(1);
  assert.equal(world.ask('a', { name: 'nobody', need: 1 }).given, 0);
  world.desk.close('a', 'nobody');
  world.desk.open('a', SLOTS);
  assert.equal(world.ask('a', { name: 'c', need: NaN, more: -5, back: 'x' as never }).given, 0);
});
