import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpoints, pickContext, type TestEndpoint } from './endpoints.fixture.ts';
import { PowerOfTwo } from './power-of-two.ts';
import { Random } from './random.ts';
import type { Strategy } from './strategy.ts';

/** Puts `requests` on `count` endpoints, none of which ends, and gives the highest load over the mean. */
function excess(strategy: Strategy<TestEndpoint>, weights: number[], requests: number): number {
  const list = endpoints(weights);
  strategy.update(list);
  const context = pickContext();
  for (let i = 0; i < requests; i++) strategy.pick(context, null)!.inFlight++;
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return Math.max(...list.map(({ inFlight, weight }) => inFlight - (requests * weight) / sum));
}

test('the fullest of many endpoints stays close to the mean, which chance alone does not give', () => {
  const even = Array.from({ length: 50 }, () => 1);
  assert.ok(excess(new PowerOfTwo(), even, 10_000) <= 6);
  assert.ok(excess(new Random(), even, 10_000) > 15);
});

test('under load each carries its weight', () => {
  assert.ok(excess(new PowerOfTwo(), [1, 2, 3, 4], 10_000) < 20);
});

test('never takes the busier of two', () => {
  const strategy = new PowerOfTwo<TestEndpoint>();
  const list = endpoints([1, 1, 1, 1]);
  list[2]!.inFlight = 5;
  strategy.update(list);
  const context = pickContext();
  for (let i = 0; i < 500; i++) assert.notEqual(strategy.pick(context, null), list[2]);
});
