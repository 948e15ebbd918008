import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SecondBuckets } from './second-buckets.ts';

const at = (second: number): number => second * 1000;

test('the average of what was written, over the seconds that there were', () => {
  const buckets = new SecondBuckets(60_000);
  assert.equal(buckets.average(at(5), 60_000), 0);
  buckets.record(at(10), 4);
  assert.equal(buckets.average(at(10), 60_000), 4, 'one second old: one bucket');
  buckets.record(at(11), 2);
  buckets.record(at(11) + 999, 2);
  assert.equal(buckets.average(at(11), 60_000), 4, 'values of one second add up');
  assert.equal(buckets.average(at(11), 1000), 4, 'a shorter window reads the same buckets');
  buckets.record(at(13), 0);
  assert.equal(buckets.average(at(13), 60_000), 2, 'a gap is filled with zeros');
});

test('a window that has passed the last write', () => {
  const buckets = new SecondBuckets(4000);
  for (const second of [1, 2, 3, 4]) buckets.record(at(second), second);
  assert.equal(buckets.average(at(4), 4000), 2.5);
  assert.equal(buckets.average(at(6), 4000), 3.5, '(3 + 4) / min(4, 4 - 2)');
  assert.equal(buckets.average(at(8), 4000), 0);
  assert.equal(buckets.isEmpty(at(8)), false);
  assert.equal(buckets.isEmpty(at(9)), true);
});

test('a gap of a window or more forgets what was before', () => {
  const buckets = new SecondBuckets(4000);
  buckets.record(at(1), 100);
  buckets.record(at(5), 8);
  assert.equal(buckets.average(at(5), 4000), 8, 'as if written first now');
});

test('a late value counts while its second is in the window', () => {
  const buckets = new SecondBuckets(4000);
  buckets.record(at(10), 6);
  buckets.record(at(7), 6);
  assert.equal(buckets.average(at(10), 4000), 3, '12 over the seconds 7 to 10');
  buckets.record(at(6), 100);
  assert.equal(buckets.average(at(10), 4000), 3);
});

/** The formula as it is written down, from the list of all writes. */
function naive(
  writes: { second: number; value: number }[],
  windowSeconds: number,
  nowSecond: number,
  span: number,
): number {
  let first = 0;
  let last = -Infinity;
  let kept: { second: number; value: number }[] = [];
  for (const write of writes) {
    if (last === -Infinity || write.second - last >= span) {
      first = write.second;
      last = write.second;
      kept = [];
    } else if (write.second + span <= last) continue;
    first = Math.min(first, write.second);
    last = Math.max(last, write.second);
    kept.push(write);
  }
  if (last === -Infinity) return 0;
  const now = Math.max(nowSecond, last);
  if (now - last >= windowSeconds) return 0;
  const total = kept
    .filter(({ second }) => second > now - windowSeconds && second <= now)
    .reduce((sum, { value }) => sum + value, 0);
  return Math.round((total / Math.min(last - first + 1, windowSeconds - (now - last))) * 1e6) / 1e6;
}

test('any window over any writes is what the formula says', () => {
  const write = fc.record({ step: fc.integer({ min: -8, max: 12 }), value: fc.integer({ min: 0, max: 1000 }) });
  fc.assert(
    fc.property(
      fc.array(write, { maxLength: 40 }),
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 0, max: 14 }),
      (steps, span, window, later) => {
        const windowSeconds = Math.min(window, span);
        const buckets = new SecondBuckets(at(span));
        const writes: { second: number; value: number }[] = [];
        let second = 100;
        let newest = 100;
        for (const { step, value } of steps) {
          second = Math.max(50, second + step);
          newest = Math.max(newest, second);
          buckets.record(at(second) + 500, value);
          writes.push({ second, value });
        }
        assert.equal(
          buckets.average(at(newest + later), at(windowSeconds)),
          naive(writes, windowSeconds, newest + later, span),
        );
      },
    ),
    { numRuns: 2000 },
  );
});
