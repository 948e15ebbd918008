import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { pause } from './pause.ts';

test('a pause ends with its time, or at once with one of its signals, and leaves nothing on them', async () => {
  const [a, b] = [new AbortController(), new AbortController()];
  await pause(1, a.signal, b.signal);
  const long = pause(1e9, a.signal, b.signal);
  assert.equal(getEventListeners(a.signal, 'abort').length, 1);
  b.abort();
  await long;
  assert.equal(getEventListeners(a.signal, 'abort').length, 0);
  await pause(1e9, a.signal, b.signal);
  assert.equal(getEventListeners(a.signal, 'abort').length, 0);
});
