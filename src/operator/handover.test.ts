/** The way of a Service to the gateways and back, with everything around it made up; the rest is tested on a real cluster (test/cluster). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../model/ports.ts';
import type { BackendStatus } from '../model/status.ts';
import { Handover, type HandoverHost } from './handover.ts';

test(
  'a sleep begins also when the time that it has to be awake ends between two looks',
  { timeout: 5000 },
  async () => {
    const IDLE_AFTER_MS = 3000;
    const sinceMs = 1_700_000_000_000;
    // The monotonic clock has fractions of a millisecond, the other one has none: it stands just where the time is over.
    let nowMs = 0;
    const clock = { nowMs: () => (nowMs += 0.001), wallMs: () => sinceMs + IDLE_AFTER_MS };
    const end = new AbortController();
    const recorded = Promise.withResolvers<string>();
    const host = {
      clock,
      random: () => 0.5,
      logger: silentLogger,
      redirect: {},
      autoscaler: {},
      plan: () => ({
        ports: [],
        allocated: [],
        idleAfterMs: IDLE_AFTER_MS,
        settleMs: 0,
        scrapeMs: 0,
        ignoresTunnels: false,
      }),
      backend: () => ({ phase: 'awake', sinceMs, crash: null, demand: { tunnels: 0 } }) as unknown as BackendStatus,
      verdict: () => ({ keptBy: [], wake: null }),
      direct: () => {},
      keep: () => {},
      gatewaysListen: () => true,
      record: (status: { step: string }, signal: AbortSignal) => {
        recorded.resolve(status.step);
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      },
    } as unknown as HandoverHost;
    const run = new Handover(host, undefined).run(end.signal);
    assert.equal(await recorded.promise, 'listening');
    end.abort(new Error('over'));
    await assert.rejects(run, /over/);
  },
);

test(
  'a target whose pods the controller has not met yet is not taken for one that is at zero',
  { timeout: 10_000 },
  async () => {
    const end = new AbortController();
    const recorded = Promise.withResolvers<string>();
    const answers = [2, null, new Error('no answer'), 0];
    let asked = 0;
    const host = {
      clock: { nowMs: () => performance.now(), wallMs: () => Date.now() },
      random: () => 0.5,
      logger: silentLogger,
      redirect: {},
      autoscaler: {},
      plan: () => ({ ports: [], allocated: [], idleAfterMs: 0, settleMs: 0, scrapeMs: 0, ignoresTunnels: false }),
      backend: () => ({ phase: 'asleep', sinceMs: 0, crash: null, demand: { tunnels: 0 } }) as unknown as BackendStatus,
      verdict: () => ({ keptBy: [], wake: null }),
      direct: () => {},
      keep: () => {},
      gatewaysListen: () => true,
      replicas: () => {
        const answer = answers[asked++]!;
        // Something changes: it looks again at once.
        setImmediate(() => handover.notify());
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      record: (status: { step: string }, signal: AbortSignal) => {
        recorded.resolve(status.step);
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      },
    } as unknown as HandoverHost;
    const handover = new Handover(host, undefined);
    const run = handover.run(end.signal);
    assert.equal(await recorded.promise, 'listening');
    assert.equal(asked, answers.length);
    end.abort(new Error('over'));
    await assert.rejects(run, /over/);
  },
);
