import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { FailureWindow } from './failure-window.ts';

describe('a window of failures', () => {
  test('has exactly what came in its ten parts, whatever comes when', () => {
    const step = fc.record({ afterMs: fc.integer({ min: 0, max: 400 }), failed: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 0, max: 1_000_000 }), (steps, beginMs) => {
        const window = new FailureWindow(1000);
        const seen: { part: number; failed: boolean }[] = [];
        let nowMs = beginMs;
        for (const { afterMs, failed } of steps) {
          nowMs += afterMs;
          window.add(nowMs, failed);
          const part = Math.floor(nowMs / 100);
          seen.push({ part, failed });
          const left = seen.filter((one) => one.part > part - 10);
          assert.equal(window.requests(nowMs), left.length);
          assert.equal(window.failures(nowMs), left.filter((one) => one.failed).length);
        }
      }),
    );
  });

  test('is empty after a window without anything', () => {
    const window = new FailureWindow(10_000);
    for (let i = 0; i < 50; i++) window.add(1000 * (i % 10), i % 2 === 0);
    assert.equal(window.requests(19_000), 0);
    assert.equal(window.failures(19_000), 0);
  });

  test('a clock that goes back counts for the newest part', () => {
    const window = new FailureWindow(1000);
    window.add(5000, true);
    window.add(4000, true);
    assert.equal(window.failures(5000), 2);
    assert.equal(window.failures(5999), 2);
    assert.equal(window.failures(6000), 0);
  });
});
