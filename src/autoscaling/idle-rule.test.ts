import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { idleRule, span, type IdleInput } from './idle-rule.ts';

const QUIET: IdleInput = {
  nowMs: 100_000,
  idleAfterMs: 60_000,
  awakeSinceMs: 0,
  lastActivityMs: 40_000,
  inFlight: 0,
  held: 0,
  tunnels: 0,
  webSockets: 'awake',
  keptBy: [],
};

const CASES: { name: string; input: Partial<IdleInput>; decision: string; reason: RegExp }[] = [
  { name: 'quiet for exactly idleAfter', input: {}, decision: 'sleep', reason: /^no request for 60 s$/ },
  { name: 'one ms less', input: { nowMs: 99_999 }, decision: 'wait', reason: /the last activity was 60 s ago/ },
  { name: 'awake for too short a time', input: { awakeSinceMs: 90_000 }, decision: 'wait', reason: /10 s ago/ },
  { name: 'a request in flight', input: { inFlight: 1 }, decision: 'stay', reason: /^1 request in flight$/ },
  { name: 'held requests', input: { held: 3 }, decision: 'stay', reason: /^3 requests held$/ },
  { name: 'a tunnel', input: { tunnels: 1 }, decision: 'stay', reason: /^1 open WebSocket or tunnel$/ },
  {
    name: 'a tunnel that is ignored',
    input: { tunnels: 1, webSockets: 'ignore' },
    decision: 'sleep',
    reason: /no request/,
  },
  {
    name: 'a dependent',
    input: { keptBy: ['shop is awake and needs it'] },
    decision: 'stay',
    reason: /^shop is awake/,
  },
];

for (const { name, input, decision, reason } of CASES) {
  test(`idle rule: ${name}`, () => {
    const result = idleRule({ ...QUIET, ...input });
    assert.equal(result.decision, decision);
    assert.match(result.reason, reason);
  });
}

test('the moment that a wait names is the first at which it may sleep', () => {
  fc.assert(
    fc.property(
      fc.nat(100_000),
      fc.nat(100_000),
      fc.nat(100_000),
      fc.integer({ min: 1, max: 100_000 }),
      (nowMs, awakeSinceMs, lastActivityMs, idleAfterMs) => {
        const input = { ...QUIET, nowMs, awakeSinceMs, lastActivityMs, idleAfterMs };
        const result = idleRule(input);
        if (result.decision !== 'wait') return;
        assert.equal(idleRule({ ...input, nowMs: result.atMs }).decision, 'sleep');
        assert.equal(idleRule({ ...input, nowMs: result.atMs - 1 }).decision, 'wait');
      },
    ),
  );
});

test('spans for people', () => {
  assert.deepEqual([0, 143.4, 999, 1000, 2540, 60_000, 599_000, 3_600_000].map(span), [
    '0 ms',
    '143 ms',
    '999 ms',
    '1 s',
    '2.5 s',
    '60 s',
    '599 s',
    '60 min',
  ]);
});
