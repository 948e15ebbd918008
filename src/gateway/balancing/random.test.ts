import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpoints, pickContext, tally } from './endpoints.fixture.ts';
import { Random } from './random.ts';

test('follows the weights, and no order', () => {
  const strategy = new Random();
  strategy.update(endpoints([1, 3, 6]));
  const counts = tally(strategy, 10_000, pickContext());
  for (const [i, share] of [0.1, 0.3, 0.6].entries()) {
    assert.ok(Math.abs(counts.get(`e-${i}`)! / 10_000 - share) < 0.02, `${i}: ${counts.get(`e-${i}`)}`);
  }
});

test('runs of one endpoint are as frequent as chance makes them', () => {
  const strategy = new Random();
  strategy.update(endpoints([1, 1]));
  const context = pickContext();
  let repeats = 0;
  let last = '';
  for (let i = 0; i < 4_000; i++) {
    const { id } = strategy.pick(context, null)!;
    if (id === last) repeats++;
    last = id;
  }
  assert.ok(Math.abs(repeats / 4_000 - 0.5) < 0.03, String(repeats));
});

test('what was tried leaves its share to the others by their weights', () => {
  const strategy = new Random();
  const list = endpoints([5, 1, 3]);
  strategy.update(list);
  const context = pickContext();
  let third = 0;
  for (let i = 0; i < 4_000; i++) if (strategy.pick(context, [list[0]!]) === list[2]) third++;
  assert.ok(Math.abs(third / 4_000 - 0.75) < 0.03, String(third));
});
