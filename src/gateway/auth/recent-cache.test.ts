import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RecentCache } from './recent-cache.ts';

test('keeps at most as many as it may, and among them always the most recent half', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 20 }),
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 30 })), { maxLength: 200 }),
      (max, steps) => {
        const cache = new RecentCache<number>(max);
        const half = Math.floor(max / 2);
        const used: number[] = [];
        for (const [isSet, key] of steps) {
          if (isSet) cache.set(String(key), key);
          else if (cache.get(String(key)) === undefined) continue;
          used.push(key);
          assert.ok(cache.size <= max);
          const recent = [...new Set(used.toReversed())].slice(0, half);
          // To look them up in this order keeps them the most recent.
          for (const known of recent.toReversed()) assert.equal(cache.get(String(known)), known);
        }
      },
    ),
  );
});

test('forgets', () => {
  const cache = new RecentCache<number>(4);
  cache.set('a', 1);
  cache.set('a', 2);
  assert.equal(cache.get('a'), 2);
  cache.delete('a');
  assert.equal(cache.get('a'), undefined);
  cache.set('b', 1);
  cache.clear();
  assert.equal(cache.size, 0);
});
