import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fallbackAnswer } from './fallback.ts';

test('without anything configured the fallback is a problem document that says when to come back', () => {
  const answer = fallbackAnswer({ status: 503, headers: {}, body: null }, 'shop', 12_300);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers, 'Retry-After: 13\r\nContent-Type: application/problem+json\r\n');
  assert.deepEqual(JSON.parse(answer.body), {
    type: 'about:blank',
    title: 'Service Unavailable',
    status: 503,
    detail: 'Too many requests to shop failed; it is left alone for a while.',
    code: 'breaker-open',
  });
});

test('a configured fallback is given as it stands', () => {
  const answer = fallbackAnswer(
    { status: 200, headers: { 'Content-Type': 'text/html', 'X-Stale': 'yes' }, body: '<p>old' },
    'shop',
    0,
  );
  assert.deepEqual(answer, { status: 200, headers: 'Content-Type: text/html\r\nX-Stale: yes\r\n', body: '<p>old' });
});

test('a body without a type is plain text, and a Retry-After of the configuration stays', () => {
  const answer = fallbackAnswer({ status: 503, headers: { 'retry-after': '7' }, body: 'later' }, 'shop', 1);
  assert.equal(answer.headers, 'retry-after: 7\r\nContent-Type: text/plain; charset=utf-8\r\n');
});
