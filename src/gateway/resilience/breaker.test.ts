import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { BreakerState } from '../../model/backend.ts';
import type { BreakerConfig } from '../../model/config.ts';
import { Breaker, BREAKER_TRANSITIONS, REFUSED } from './breaker.ts';
import type { BreakerEvent, BreakerTransition } from './breaker.ts';

const CONFIG: BreakerConfig = {
  failurePercent: 50,
  windowMs: 10_000,
  minimumRequests: 10,
  openForMs: 30_000,
  trials: 4,
  fallback: { status: 503, headers: {}, body: null },
};

function breakerWith(more: Partial<BreakerConfig> = {}): { breaker: Breaker; moves: BreakerTransition[] } {
  const moves: BreakerTransition[] = [];
  return { breaker: new Breaker({ ...CONFIG, ...more }, (transition) => moves.push(transition)), moves };
}

/** One request that is admitted and ends at once. False: it was refused. */
function request(breaker: Breaker, failed: boolean, nowMs: number): boolean {
  const generation = breaker.admit(nowMs);
  if (generation === REFUSED) return false;
  breaker.record(generation, failed, nowMs);
  return true;
}

/** Brings a new breaker into a state at time 0; half open at 30 s. */
function inState(state: BreakerState): { breaker: Breaker; nowMs: number } {
  const { breaker } = breakerWith();
  if (state === 'closed') return { breaker, nowMs: 0 };
  for (let i = 0; i < 10; i++) request(breaker, true, 0);
  if (state === 'open') return { breaker, nowMs: 0 };
  breaker.tick(30_000);
  return { breaker, nowMs: 30_000 };
}

describe('the transitions of a circuit breaker', () => {
  /** What makes each event happen, from any state. */
  const causes: Record<BreakerEvent, (breaker: Breaker, nowMs: number) => void> = {
    tripped: (breaker, nowMs) => {
      for (let i = 0; i < 10; i++) breaker.record(breaker.generation, true, nowMs);
    },
    waited: (breaker, nowMs) => breaker.tick(nowMs + 30_000),
    failed: (breaker, nowMs) => {
      for (let i = 0; i < 2; i++) request(breaker, true, nowMs);
    },
    recovered: (breaker, nowMs) => {
      for (let i = 0; i < 3; i++) request(breaker, false, nowMs);
    },
  };

  /** Every state with every event. */
  const table: [BreakerState, BreakerEvent, BreakerState][] = [
    ['closed', 'tripped', 'open'],
    ['closed', 'waited', 'closed'],
    ['closed', 'failed', 'closed'],
    ['closed', 'recovered', 'closed'],
    ['open', 'tripped', 'open'],
    ['open', 'waited', 'half-open'],
    ['open', 'failed', 'open'],
    ['open', 'recovered', 'open'],
    // Ten failures are more than two trials that failed.
    ['half-open', 'tripped', 'open'],
    ['half-open', 'waited', 'half-open'],
    ['half-open', 'failed', 'open'],
    ['half-open', 'recovered', 'closed'],
  ];
  for (const [from, event, to] of table) {
    test(`${from}, ${event}: ${to}`, () => {
      const { breaker, nowMs } = inState(from);
      assert.equal(breaker.state, from);
      causes[event](breaker, nowMs);
      assert.equal(breaker.state, to);
      const listed = BREAKER_TRANSITIONS[from][event];
      if (listed !== undefined) assert.equal(listed, to);
    });
  }

  test('each one is told once, with its reason', () => {
    const { breaker, moves } = breakerWith();
    for (let i = 0; i < 10; i++) request(breaker, i >= 5, 0);
    breaker.tick(30_000);
    request(breaker, true, 30_000);
    request(breaker, true, 30_000);
    breaker.tick(60_000);
    for (let i = 0; i < 3; i++) request(breaker, false, 60_000);
    assert.deepEqual(moves, [
      { from: 'closed', to: 'open', reason: '5 of 10 requests failed in 10 s' },
      { from: 'open', to: 'half-open', reason: 'it was open for 30 s' },
      { from: 'half-open', to: 'open', reason: '2 of 2 trials failed' },
      { from: 'open', to: 'half-open', reason: 'it was open for 30 s' },
      { from: 'half-open', to: 'closed', reason: '3 of 3 trials went well' },
    ]);
  });
});

describe('a circuit breaker', () => {
  test('looks at the rate, never at failures in a row', () => {
    const { breaker } = breakerWith({ minimumRequests: 20 });
    for (let i = 0; i < 40; i++) request(breaker, false, 0);
    for (let i = 0; i < 39; i++) assert.ok(request(breaker, true, 0), `failure ${i} of 39 in a row`);
    assert.equal(breaker.state, 'closed');
    request(breaker, true, 0);
    assert.equal(breaker.state, 'open');
  });

  test('stays closed below the minimum of requests', () => {
    const { breaker } = breakerWith();
    for (let i = 0; i < 9; i++) request(breaker, true, 0);
    assert.equal(breaker.state, 'closed');
  });

  test('forgets what is older than its window', () => {
    const { breaker } = breakerWith();
    for (let i = 0; i < 9; i++) request(breaker, true, 0);
    for (let i = 0; i < 9; i++) request(breaker, true, 11_000);
    assert.equal(breaker.state, 'closed');
  });

  test('refuses while open, and says for how long', () => {
    const { breaker } = inState('open');
    assert.equal(breaker.admit(29_999), REFUSED);
    assert.equal(breaker.openForMs(20_000), 10_000);
    assert.notEqual(breaker.admit(30_000), REFUSED);
    assert.equal(breaker.state, 'half-open');
    assert.equal(breaker.openForMs(30_000), 0);
  });

  test('lets at most the trials through while half open, and the answers of older requests say nothing', () => {
    const { breaker } = breakerWith();
    const old = breaker.admit(0);
    for (let i = 0; i < 10; i++) request(breaker, true, 0);
    const trials = [1, 2, 3, 4].map(() => breaker.admit(30_000));
    assert.ok(trials.every((generation) => generation !== REFUSED));
    assert.equal(breaker.admit(30_000), REFUSED);
    for (let i = 0; i < 20; i++) breaker.record(old, true, 30_000);
    assert.equal(breaker.state, 'half-open');
    breaker.record(trials[0]!, false, 30_000);
    assert.equal(breaker.admit(30_000), REFUSED, 'a trial that went well is used up');
  });

  test('a trial whose client left goes to another request', () => {
    const { breaker, nowMs } = inState('half-open');
    const trials = [1, 2, 3, 4].map(() => breaker.admit(nowMs));
    assert.equal(breaker.admit(nowMs), REFUSED);
    breaker.withdraw(trials[0]!);
    assert.notEqual(breaker.admit(nowMs), REFUSED);
    assert.equal(breaker.admit(nowMs), REFUSED);
  });

  test('trials that never tell anything are given to others after openFor', () => {
    const { breaker, nowMs } = inState('half-open');
    for (let i = 0; i < 4; i++) breaker.admit(nowMs);
    assert.equal(breaker.admit(nowMs + 29_999), REFUSED);
    assert.ok(request(breaker, false, nowMs + 30_000));
    assert.equal(breaker.state, 'half-open');
  });

  test('a window after it closed begins empty', () => {
    const { breaker, nowMs } = inState('half-open');
    for (let i = 0; i < 3; i++) request(breaker, false, nowMs);
    for (let i = 0; i < 9; i++) request(breaker, true, nowMs);
    assert.equal(breaker.state, 'closed');
  });

  test('a reload keeps its state', () => {
    const { breaker } = inState('open');
    breaker.configure({ ...CONFIG, windowMs: 5000, failurePercent: 10 });
    assert.equal(breaker.state, 'open');
    assert.equal(breaker.admit(29_999), REFUSED);
  });

  test('whatever happens, moves only as the table says and lets no more than the trials through while half open', () => {
    const step = fc.record({
      afterMs: fc.integer({ min: 0, max: 12_000 }),
      what: fc.constantFrom('begin', 'pass', 'fail', 'leave', 'tick'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const { breaker, moves } = breakerWith({ minimumRequests: 3, openForMs: 20_000 });
        const open: number[] = [];
        let nowMs = 0;
        let given = 0;
        let sinceMs = 0;
        for (const { afterMs, what } of steps) {
          nowMs += afterMs;
          const before = moves.length;
          if (what === 'begin') {
            const generation = breaker.admit(nowMs);
            if (moves.length > before || nowMs - sinceMs >= 20_000) {
              given = 0;
              sinceMs = nowMs;
            }
            if (generation !== REFUSED) {
              open.push(generation);
              if (breaker.state === 'half-open') given++;
            }
          } else if (what === 'tick') breaker.tick(nowMs);
          else {
            const generation = open.shift();
            if (generation === undefined) continue;
            if (what === 'leave') {
              const counts = generation === breaker.generation && breaker.state === 'half-open';
              breaker.withdraw(generation);
              if (counts) given = Math.max(0, given - 1);
            } else breaker.record(generation, what === 'fail', nowMs);
          }
          if (moves.length > before) {
            const last = moves.at(-1)!;
            assert.ok(Object.values(BREAKER_TRANSITIONS[last.from]).includes(last.to));
            if (what !== 'begin') {
              given = 0;
              sinceMs = nowMs;
            }
          }
          if (breaker.state === 'half-open') assert.ok(given <= 4, `${given} trials`);
        }
      }),
    );
  });
});
