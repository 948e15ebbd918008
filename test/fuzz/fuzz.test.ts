import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz, summary } from './fuzz.ts';

// A sample; `node test/fuzz/run.ts --seconds N` is the long run.
test('what we take for messages, llhttp takes for the same messages', () => {
  const result = fuzz({ seconds: 3, seed: 20_261_121, stopAfterFailures: 1 });
  assert.equal(result.failures.length, 0, summary(result));
  assert.ok(result.cases > 0 && result.same > result.cases / 2, summary(result));
  // The generator still reaches what it is for.
  assert.ok(result.stricter.size > 5 && result.explained.size > 0, summary(result));
});
