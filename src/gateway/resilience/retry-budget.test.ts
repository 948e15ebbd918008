import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RetryBudget } from './retry-budget.ts';

describe('a retry budget', () => {
  test('always gives three a second', () => {
    const budget = new RetryBudget();
    for (let second = 0; second < 30; second++) {
      const given = Array.from({ length: 10 }, () => budget.take(second * 1000, 20)).filter(Boolean);
      assert.equal(given.length, 3);
    }
  });

  test('gives a fifth of many requests', () => {
    const budget = new RetryBudget();
    for (let i = 0; i < 1000; i++) budget.countRequest(0);
    let given = 0;
    while (budget.take(0, 20)) given++;
    assert.equal(given, 200);
  });

  test('forgets after ten seconds', () => {
    const budget = new RetryBudget();
    for (let i = 0; i < 1000; i++) budget.countRequest(0);
    let given = 0;
    while (budget.take(11_000, 20)) given++;
    assert.equal(given, 3);
  });

  test('of a backend that only fails, never lets more through than the share and three a second', () => {
    const step = fc.record({ afterMs: fc.integer({ min: 0, max: 300 }), requests: fc.nat({ max: 30 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), fc.integer({ min: 0, max: 100 }), (steps, percent) => {
        const budget = new RetryBudget();
        let nowMs = 0;
        let requests = 0;
        let retries = 0;
        for (const { afterMs, requests: more } of steps) {
          nowMs += afterMs;
          for (let i = 0; i < more; i++) {
            budget.countRequest(nowMs);
            requests++;
            if (budget.take(nowMs, percent)) retries++;
          }
        }
        const seconds = Math.floor(nowMs / 1000) + 1;
        // A window moves on in steps of a second, so that its share can be spent anew up to that often.
        assert.ok(
          retries <= (percent / 100) * requests * 2 + 3 * seconds,
          `${retries} retries of ${requests} requests`,
        );
      }),
    );
  });
});
