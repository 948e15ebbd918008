import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CronWindow, type CronOptions } from './cron.ts';

const window = (start: string, end: string, timezone = 'UTC'): CronWindow =>
  new CronWindow({ timezone, start, end, desired: 1 } satisfies CronOptions);
const at = (text: string): number => Date.parse(text);

test('it is active from the minute of start to that of end, and knows until when', () => {
  const office = window('0 8 * * 1-5', '30 17 * * 1-5');
  for (const [moment, active, until] of [
    ['2026-11-20T07:59:59Z', false, '2026-11-20T08:00:00Z'],
    ['2026-11-20T08:00:00Z', true, '2026-11-20T17:30:00Z'],
    ['2026-11-20T17:29:59Z', true, '2026-11-20T17:30:00Z'],
    // A Friday evening: until Monday.
    ['2026-11-20T17:30:00Z', false, '2026-11-23T08:00:00Z'],
    ['2026-11-22T12:00:00Z', false, '2026-11-23T08:00:00Z'],
  ] as const)
    assert.deepEqual(office.at(at(moment)), { active, untilMs: at(until) }, moment);
});

test('over midnight, over a year, and on the clock of its zone', () => {
  const night = window('0 22 * * *', '0 6 * * *', 'Europe/Berlin');
  assert.deepEqual(night.at(at('2026-11-20T22:30:00Z')), { active: true, untilMs: at('2026-11-21T05:00:00Z') });
  // The night in which clocks go back lasts an hour longer.
  assert.deepEqual(night.at(at('2026-10-24T21:00:00Z')), { active: true, untilMs: at('2026-10-25T05:00:00Z') });
  const leapDay = window('0 0 29 2 *', '0 0 1 3 *');
  assert.deepEqual(leapDay.at(at('2026-03-02T00:00:00Z')), { active: false, untilMs: at('2028-02-29T00:00:00Z') });
  assert.equal(leapDay.at(at('2028-02-29T12:00:00Z')).active, true);
  // 29 February on a Tuesday, told soon although it is years away.
  const rare = window('0 0 29 2 */2', '0 0 1 3 *');
  const beganMs = performance.now();
  assert.equal(rare.at(at('2026-03-02T00:00:00Z')).active, false);
  assert.ok(performance.now() - beganMs < 2000);
});

test('an end that comes more often than a start ends only what has begun', () => {
  const mondays = window('0 8 * * 1', '0 18 * * *');
  assert.equal(mondays.at(at('2026-11-23T12:00:00Z')).active, true);
  assert.deepEqual(mondays.at(at('2026-11-24T12:00:00Z')), { active: false, untilMs: at('2026-11-30T08:00:00Z') });
});

test('a clock that is set back or forth is believed', () => {
  const office = window('0 8 * * *', '0 18 * * *');
  assert.equal(office.at(at('2026-11-20T12:00:00Z')).active, true);
  assert.equal(office.at(at('2026-11-20T07:00:00Z')).active, false);
  assert.equal(office.at(at('2027-11-20T12:00:00Z')).active, true);
});

test('it agrees with looking at every minute', () => {
  const hour = fc.integer({ min: 0, max: 23 });
  const minute = fc.integer({ min: 0, max: 59 });
  fc.assert(
    fc.property(hour, minute, hour, minute, fc.integer({ min: 0, max: 14 * 1440 }), (h1, m1, h2, m2, offset) => {
      if (h1 === h2 && m1 === m2) return;
      const zone = 'America/New_York';
      const first = at('2026-10-25T00:00:00Z');
      const moment = first + offset * 60_000;
      const { active, untilMs } = window(`${m1} ${h1} * * *`, `${m2} ${h2} * * *`, zone).at(moment);
      const shown = new Intl.DateTimeFormat('en-US', {
        timeZone: zone,
        hour: '2-digit',
        minute: '2-digit',
        hourCycle: 'h23',
      });
      let back = moment;
      for (; ; back -= 60_000) {
        const [h, m] = shown.format(back).split(':').map(Number) as [number, number];
        if (h === h1 && m === m1) return assert.equal(active, true);
        if (h === h2 && m === m2) return assert.equal(active, false);
        if (moment - back > 3 * 86_400_000) return;
        assert.ok(untilMs > moment);
      }
    }),
    { numRuns: 60 },
  );
});
