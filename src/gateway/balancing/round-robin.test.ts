import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { endpoints, pickContext, seededRandom, tally } from './endpoints.fixture.ts';
import { RoundRobin } from './round-robin.ts';

test('equal weights take turns', () => {
  const strategy = new RoundRobin();
  strategy.update(endpoints([1, 1, 1]));
  const context = pickContext();
  const ids = Array.from({ length: 9 }, () => strategy.pick(context, null)!.id);
  assert.deepEqual(ids.slice(0, 3).sort(), ['e-0', 'e-1', 'e-2']);
  assert.deepEqual(ids.slice(3), [...ids.slice(0, 3), ...ids.slice(0, 3)]);
});

test('the first turn is random, so that workers begin at different endpoints', () => {
  const firsts = new Set<string>();
  const random = seededRandom(7);
  for (let worker = 0; worker < 30; worker++) {
    const strategy = new RoundRobin();
    strategy.update(endpoints([1, 1, 1]));
    firsts.add(strategy.pick({ ...pickContext(), random }, null)!.id);
  }
  assert.equal(firsts.size, 3);
});

test('weights are spread evenly in time: 5, 1, 1 is a a b a c a a', () => {
  const strategy = new RoundRobin();
  strategy.update(endpoints([5, 1, 1]));
  const order = Array.from({ length: 7 }, () => strategy.pick(pickContext(), null)!.id.slice(2)).join('');
  assert.equal(order, '0010200');
});

test('every run of (sum of weights) picks gives each its weight exactly', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 6 }),
      fc.integer({ min: 1, max: 3 }),
      (weights, rounds) => {
        const strategy = new RoundRobin();
        strategy.update(endpoints(weights));
        const sum = weights.reduce((total, weight) => total + weight, 0);
        const counts = tally(strategy, sum * rounds, pickContext());
        weights.forEach((weight, i) => assert.equal(counts.get(`e-${i}`), weight * rounds));
      },
    ),
  );
});

test('updates between the picks do not favour whoever stands first', () => {
  const strategy = new RoundRobin();
  const list = endpoints([1, 1, 1, 1]);
  const weighted = new RoundRobin();
  const weightedList = endpoints([2, 1, 1]);
  const counts = new Map<string, number>();
  const weightedCounts = new Map<string, number>();
  for (let i = 0; i < 400; i++) {
    strategy.update([...list]);
    weighted.update([...weightedList]);
    const { id } = strategy.pick(pickContext(), null)!;
    counts.set(id, (counts.get(id) ?? 0) + 1);
    const other = weighted.pick(pickContext(), null)!.id;
    weightedCounts.set(other, (weightedCounts.get(other) ?? 0) + 1);
  }
  assert.deepEqual([...counts.values()], [100, 100, 100, 100]);
  assert.deepEqual([weightedCounts.get('e-0'), weightedCounts.get('e-1'), weightedCounts.get('e-2')], [200, 100, 100]);
});

test('what a heavy endpoint leaves behind is not paid out in a burst', () => {
  const strategy = new RoundRobin();
  const [heavy, a, b] = endpoints([1000, 2, 1]);
  strategy.update([heavy!, a!, b!]);
  for (let i = 0; i < 333; i++) strategy.pick(pickContext(), null);
  strategy.update([a!, b!]);
  const counts = tally(strategy, 30, pickContext());
  assert.ok(Math.abs(counts.get(a!.id)! - 20) <= 2, String(counts.get(a!.id)));
});
