import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScheduleSource } from './schedule-source.ts';
import { WakeBefore } from './wake-before.ts';
import { ZoneClocks } from './zone-clock.ts';

const zones = new ZoneClocks();
const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number): string => new Date(ms).toISOString().slice(0, 16);

/** Minutes of the span at which it says something else than before, with what it says. */
function changes(
  source: { at(wallMs: number): { kept: string | null; wake: string | null; nextMs: number } },
  from: string,
  to: string,
): string[] {
  const found: string[] = [];
  let before: string | undefined;
  for (let ms = at(from); ms < at(to);) {
    const { kept, wake, nextMs } = source.at(ms);
    const says = wake !== null ? 'awake' : kept !== null ? 'kept' : 'free';
    if (says !== before) found.push(`${iso(ms)} ${says}`);
    before = says;
    assert.ok(nextMs > ms && nextMs <= ms + 3_600_000, 'looks again within an hour');
    ms = nextMs;
  }
  return found;
}

test('it may sleep in the minutes of allow, and is awake in those of awake, whatever allow says', () => {
  const source = new ScheduleSource(
    { timezone: 'UTC', allow: ['* 20-6 * * *', '* * * * SAT,SUN'], awake: ['30-44 22 * * *'] },
    zones,
  );
  // 2026-11-20 is a Friday.
  assert.deepEqual(changes(source, '2026-11-20T12:00Z', '2026-11-23T12:00Z'), [
    '2026-11-20T12:00 kept',
    '2026-11-20T20:00 free',
    '2026-11-20T22:30 awake',
    '2026-11-20T22:45 free',
    '2026-11-21T22:30 awake',
    '2026-11-21T22:45 free',
    '2026-11-22T22:30 awake',
    '2026-11-22T22:45 free',
    '2026-11-23T07:00 kept',
  ]);
  const kept = 'idle.schedule: it may sleep only in "* 20-6 * * *" or "* * * * SAT,SUN" (UTC)';
  assert.equal(source.at(at('2026-11-20T12:00Z')).kept, kept);
  const wake = 'idle.schedule: "30-44 22 * * *" (UTC) says that it is awake';
  const { nextMs, ...said } = source.at(at('2026-11-20T22:40:59Z'));
  assert.deepEqual([said, iso(nextMs)], [{ kept: wake, wake }, '2026-11-20T22:45']);
});

test('without allow it may sleep whenever it is not awake', () => {
  const source = new ScheduleSource({ timezone: 'Asia/Kolkata', allow: [], awake: ['* 8-17 * * 1-5'] }, zones);
  assert.deepEqual(changes(source, '2026-11-20T00:00Z', '2026-11-23T03:00Z'), [
    '2026-11-20T00:00 free',
    '2026-11-20T02:30 awake',
    '2026-11-20T12:30 free',
    '2026-11-23T02:30 awake',
  ]);
});

test('windows follow the clock of the zone: an hour that is left out is not there, one that is shown twice counts twice', () => {
  const night = new ScheduleSource({ timezone: 'Europe/Berlin', allow: ['* 2-3 * * *'], awake: [] }, zones);
  // 02:00 is 03:00 on 2026-03-29, at 01:00 UTC; 03:00 is 02:00 on 2026-10-25, at 01:00 UTC.
  assert.deepEqual(changes(night, '2026-03-28T12:00Z', '2026-03-30T12:00Z'), [
    '2026-03-28T12:00 kept',
    '2026-03-29T01:00 free',
    '2026-03-29T02:00 kept',
    '2026-03-30T00:00 free',
    '2026-03-30T02:00 kept',
  ]);
  assert.deepEqual(changes(night, '2026-10-24T12:00Z', '2026-10-26T12:00Z'), [
    '2026-10-24T12:00 kept',
    '2026-10-25T00:00 free',
    '2026-10-25T03:00 kept',
    '2026-10-26T01:00 free',
    '2026-10-26T03:00 kept',
  ]);
  // Its clocks move by half an hour.
  const island = new ScheduleSource({ timezone: 'Australia/Lord_Howe', allow: ['* 2 * * *'], awake: [] }, zones);
  assert.deepEqual(changes(island, '2026-10-03T12:00Z', '2026-10-03T20:00Z'), [
    '2026-10-03T12:00 kept',
    '2026-10-03T15:30 free',
    '2026-10-03T16:00 kept',
  ]);
});

test('wakes at the moment, and keeps awake for idleAfter from then on, also when it starts meanwhile', () => {
  const before = new WakeBefore({ cron: '50 7 * * 1-5', timezone: 'Europe/Berlin' }, 900_000, zones);
  assert.deepEqual(changes(before, '2026-11-20T00:00Z', '2026-11-23T12:00Z'), [
    '2026-11-20T00:00 free',
    '2026-11-20T06:50 awake',
    '2026-11-20T07:05 free',
    '2026-11-23T06:50 awake',
    '2026-11-23T07:05 free',
  ]);
  const says = 'wake.before: "50 7 * * 1-5" (Europe/Berlin) woke it';
  assert.equal(before.at(at('2026-11-20T07:04:59Z')).wake, says);
  assert.equal(before.at(at('2026-11-20T07:04:59Z')).kept, says);
  // Shorter than a minute is a minute.
  const short = new WakeBefore({ cron: '0 8 * * *', timezone: 'UTC' }, 0, zones);
  assert.deepEqual(changes(short, '2026-11-20T07:30Z', '2026-11-20T09:00Z'), [
    '2026-11-20T07:30 free',
    '2026-11-20T08:00 awake',
    '2026-11-20T08:01 free',
  ]);
});

test('a moment that clocks leave out comes when they go on, one that they show twice comes once', () => {
  const before = new WakeBefore({ cron: '30 2 * * *', timezone: 'Europe/Berlin' }, 60_000, zones);
  const moments = (from: string, to: string): string[] =>
    changes(before, from, to).filter((change) => change.endsWith('awake'));
  assert.deepEqual(moments('2026-03-28T00:00Z', '2026-03-30T12:00Z'), [
    '2026-03-28T01:30 awake',
    '2026-03-29T01:00 awake',
    '2026-03-30T00:30 awake',
  ]);
  assert.deepEqual(moments('2026-10-24T00:00Z', '2026-10-26T12:00Z'), [
    '2026-10-24T00:30 awake',
    '2026-10-25T00:30 awake',
    '2026-10-26T01:30 awake',
  ]);
  const island = new WakeBefore({ cron: '45 1 * * *', timezone: 'Australia/Lord_Howe' }, 60_000, zones);
  // 02:00 is 01:30 on 2026-04-05, at 15:00 UTC of the day before.
  assert.deepEqual(
    changes(island, '2026-04-04T12:00Z', '2026-04-04T18:00Z').filter((change) => change.endsWith('awake')),
    ['2026-04-04T14:45 awake'],
  );
});

test('what is no expression or no zone is said', () => {
  assert.throws(
    () => new ScheduleSource({ timezone: 'UTC', allow: ['* * *'], awake: [] }, zones),
    /"\* \* \*" has 3 fields in place of five: write minute/,
  );
  assert.throws(() => new WakeBefore({ cron: '0 8 * * *', timezone: 'Europe/Nowhere' }, 0, zones), RangeError);
});
