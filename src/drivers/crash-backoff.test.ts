import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { CrashBackoff } from './crash-backoff.ts';

test('each failed attempt doubles the wait up to the maximum', () => {
  const backoff = new CrashBackoff({ backoffMs: 1000, maxBackoffMs: 6000 });
  const waits: number[] = [];
  for (let nowMs = 0; waits.length < 5; nowMs += 10_000) {
    const crash = backoff.failed(nowMs, nowMs + 5, nowMs, 'x', []);
    waits.push(backoff.remainingMs(nowMs + 5));
    assert.equal(crash.attempts, waits.length);
    assert.equal(crash.retryAtMs, nowMs + waits.at(-1)!);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 6000, 6000]);
  backoff.reset();
  assert.equal(backoff.failed(90_000, 90_001, 0, 'x', []).attempts, 1);
});

test('a start that was under way when another failed is the same attempt', () => {
  const backoff = new CrashBackoff({ backoffMs: 100, maxBackoffMs: 6000 });
  backoff.failed(0, 50, 0, 'first', []);
  const second = backoff.failed(10, 80, 30, 'second', []);
  assert.equal(second.attempts, 1);
  assert.equal(second.reason, 'second');
  assert.equal(backoff.remainingMs(80), 70);
  assert.equal(second.retryAtMs, 100);
});

test('the wait is a number within its bounds for any count', () => {
  fc.assert(
    fc.property(
      fc.nat(100_000),
      fc.nat(10_000_000),
      fc.integer({ min: 1, max: 1_000_000 }),
      (backoffMs, maxBackoffMs, attempts) => {
        const delayMs = new CrashBackoff({ backoffMs, maxBackoffMs }).delayMs(attempts);
        assert.ok(delayMs >= 0 && delayMs <= maxBackoffMs);
      },
    ),
  );
});
