import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTime } from '../controller/controller.fixture.ts';
import { silentLogger, type Logger } from '../model/ports.ts';
import { IdleSources } from './idle-sources.ts';
import type { IdleVerdict } from './idle-verdict.ts';

test('are looked at when they may change, not every minute', () => {
  const time = new FakeTime();
  const told: [string, IdleVerdict][] = [];
  const ended = new AbortController();
  const before = { cron: '30 22 * * *', timezone: 'UTC' };
  const schedule = { timezone: 'UTC', allow: [], awake: ['0-9 23 * * *'] };
  const deps = { clock: time, timers: time, logger: silentLogger };
  const sources = new IdleSources({ prometheus: null, schedule, before }, 300_000, deps);
  sources.start(ended.signal, (verdict) => told.push([new Date(time.wallMs()).toISOString().slice(11, 19), verdict]));
  // It is 22:13:21.
  let timers = 0;
  while (new Date(time.wallMs()).getUTCHours() !== 12) {
    timers++;
    time.advance(time.nextIn!);
  }
  const before1 = 'wake.before: "30 22 * * *" (UTC) woke it';
  const awake = 'idle.schedule: "0-9 23 * * *" (UTC) says that it is awake';
  assert.deepEqual(told, [
    ['22:13:21', { keptBy: [], wake: null, configured: true }],
    ['22:30:00', { keptBy: [before1], wake: before1, configured: true }],
    ['22:35:00', { keptBy: [], wake: null, configured: true }],
    ['23:00:00', { keptBy: [awake], wake: awake, configured: true }],
    ['23:10:00', { keptBy: [], wake: null, configured: true }],
  ]);
  assert.ok(timers < 40, `${timers} timers`);
  ended.abort();
  assert.equal(time.pending, 0);
});

test('what is wrong keeps awake; waking before is no source; what is told may throw', () => {
  const time = new FakeTime();
  const log: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (text) => log.push(text), error: (text) => log.push(text) };
  const deps = { clock: time, timers: time, logger };
  const ended = new AbortController();
  const wrong = new IdleSources(
    { prometheus: null, schedule: { timezone: 'Nowhere', allow: ['* * * * *'], awake: [] }, before: null },
    0,
    deps,
  );
  wrong.start(ended.signal, () => {
    throw new Error('nobody listens');
  });
  assert.deepEqual(wrong.verdict, {
    keptBy: ['idle.schedule: Invalid time zone specified: Nowhere'],
    wake: null,
    configured: true,
  });
  assert.equal(log.length, 2);
  const before = { cron: '0 8 * * *', timezone: 'UTC' };
  const only = new IdleSources({ prometheus: null, schedule: null, before }, 0, deps);
  only.start(ended.signal, () => {});
  assert.equal(only.verdict.configured, false);
  ended.abort();
});
