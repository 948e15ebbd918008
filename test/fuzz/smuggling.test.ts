import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from './outcome.ts';
import { describe, Direction } from './outcome.ts';
import { readWithDormouse } from './read-with-dormouse.ts';
import type { SmugglingCase } from './smuggling.ts';
import { SMUGGLING_CASES } from './smuggling.ts';

for (const payload of SMUGGLING_CASES) {
  test(`${payload.name} (${payload.source})`, () => {
    const bytes = Buffer.from(payload.bytes, 'latin1');
    check(payload, readWithDormouse(bytes, Direction.REQUESTS, []));
    // A byte at a time, and every split in two: what is refused is refused however it arrives.
    check(payload, readWithDormouse(bytes, Direction.REQUESTS, Array.from(bytes.keys())));
    for (let cut = 1; cut < bytes.length; cut++) check(payload, readWithDormouse(bytes, Direction.REQUESTS, [cut]));
  });
}

test('no two payloads have the same name', () => {
  assert.equal(new Set(SMUGGLING_CASES.map((payload) => payload.name)).size, SMUGGLING_CASES.length);
});

function check({ expect }: SmugglingCase, outcome: Outcome): void {
  const messages = outcome.messages.map((message) => `${message.start.slice(0, -2)}|${message.body}`);
  if ('refused' in expect) {
    assert.equal(outcome.end, 'refused', describe(outcome));
    assert.equal(outcome.reason, expect.refused);
    assert.deepEqual(messages, expect.after ?? []);
    return;
  }
  assert.deepEqual(messages, expect.messages, describe(outcome));
  assert.equal(outcome.end, expect.rest ?? 'complete', describe(outcome));
}
