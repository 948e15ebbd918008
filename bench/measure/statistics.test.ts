import { strict as assert } from 'node:assert';
import { it } from 'node:test';
import { median, medianAndRange, percentile } from './statistics.ts';

it('percentiles are values of the list, by nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.deepEqual(
    [50, 95, 99, 100].map((percent) => percentile(hundred, percent)),
    [50, 95, 99, 100],
  );
  assert.equal(percentile([7], 99), 7);
  assert.ok(Number.isNaN(percentile([], 50)));
});

it('the median of an even number of values lies between the two in the middle', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(medianAndRange([3, 1, 2], 1), '2.0 (1.0-3.0)');
});
