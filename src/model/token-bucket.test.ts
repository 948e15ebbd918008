import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenBucket, TOP_TERMS, type BucketTerms } from './token-bucket.ts';

const terms = fc.record({
  limit: fc.integer({ min: 1, max: 1000 }),
  windowMs: fc.integer({ min: 1, max: 100_000 }),
  burst: fc.integer({ min: 1, max: 200 }),
});

/** What each request at these times was told. */
function run(of: BucketTerms, gapsMs: readonly number[]): { atMs: number; allowed: boolean; waitMs: number }[] {
  const bucket = new TokenBucket(0);
  let atMs = 0;
  return gapsMs.map((gapMs) => {
    atMs += gapMs;
    bucket.advance(of, atMs);
    const allowed = bucket.tokens(of) >= 1;
    const waitMs = bucket.waitMs(of, 1);
    if (allowed) bucket.take(of, 1);
    return { atMs, allowed, waitMs };
  });
}

test('between any two requests never more than burst + rate x time are allowed', () => {
  fc.assert(
    fc.property(terms, fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 120 }), (of, gapsMs) => {
      const times = run(of, gapsMs).flatMap(({ atMs, allowed }) => (allowed ? [atMs] : []));
      for (let from = 0; from < times.length; from++) {
        for (let to = from; to < times.length; to++) {
          const passed = to - from + 1;
          // passed <= burst + elapsed x limit / window, without a division.
          assert.ok((passed - of.burst) * of.windowMs <= (times[to]! - times[from]!) * of.limit);
        }
      }
    }),
  );
});

test('whoever is refused was over it: from some earlier moment on, one more would have been more than burst + rate x time', () => {
  fc.assert(
    fc.property(terms, fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 120 }), (of, gapsMs) => {
      const told = run(of, gapsMs);
      told.forEach(({ allowed, atMs }, index) => {
        if (allowed) return;
        const before = told.slice(0, index).filter((one) => one.allowed);
        const justified = before.some(
          (first, from) => (before.length - from + 1 - of.burst) * of.windowMs > (atMs - first.atMs) * of.limit,
        );
        assert.ok(justified, `refused at ${atMs}`);
      });
    }),
  );
});

test('the told wait is exact: after it one is allowed, a millisecond before it none', () => {
  fc.assert(
    fc.property(terms, fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 60 }), (of, gapsMs) => {
      const told = run(of, gapsMs);
      const last = told.at(-1);
      if (last === undefined || last.allowed) return;
      const at = (ms: number): boolean => {
        const bucket = new TokenBucket(0);
        for (const one of told) {
          bucket.advance(of, one.atMs);
          if (one.allowed) bucket.take(of, 1);
        }
        bucket.advance(of, ms);
        return bucket.tokens(of) >= 1;
      };
      const readyMs = Math.ceil(last.atMs + last.waitMs);
      assert.equal(at(readyMs), true);
      assert.equal(at(readyMs - 1), false);
    }),
  );
});

test('the largest terms are exact: each of a million tokens is there once', () => {
  const bucket = new TokenBucket(0);
  bucket.take(TOP_TERMS, TOP_TERMS.burst - 1);
  assert.equal(bucket.tokens(TOP_TERMS), 1);
  bucket.take(TOP_TERMS, 1);
  assert.equal(bucket.tokens(TOP_TERMS), 0);
  bucket.advance(TOP_TERMS, 86);
  assert.equal(bucket.tokens(TOP_TERMS), 0);
  bucket.advance(TOP_TERMS, 87);
  assert.equal(bucket.tokens(TOP_TERMS), 1);
  assert.ok(TOP_TERMS.burst * TOP_TERMS.windowMs * 2 < Number.MAX_SAFE_INTEGER);
});

test('a clock that stands or goes back gives nothing', () => {
  const of = { limit: 10, windowMs: 1000, burst: 1 };
  const bucket = new TokenBucket(5000);
  bucket.take(of, 1);
  bucket.advance(of, 5000);
  bucket.advance(of, 100);
  assert.equal(bucket.tokens(of), 0);
  bucket.advance(of, 5100);
  assert.equal(bucket.tokens(of), 1);
});

test('other terms: as many tokens are missing as before', () => {
  const from = { limit: 100, windowMs: 60_000, burst: 100 };
  const to = { limit: 10, windowMs: 1000, burst: 80 };
  const bucket = new TokenBucket(0);
  bucket.take(from, 30);
  bucket.change(from, to, 0);
  assert.equal(bucket.tokens(to), 50);
  bucket.change(to, from, 0);
  assert.equal(bucket.tokens(from), 70);
});
