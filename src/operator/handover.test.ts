/** The way of a Service to the gateways and back, with everything around it made up; the rest is tested on a real cluster (test/cluster). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdleVerdict } from '../model/demand.ts';
import { silentLogger, systemClock } from '../model/ports.ts';
import type { BackendStatus } from '../model/status.ts';
import type { HandoverStep } from '../model/handover-step.ts';
import { Handover, type HandoverHost } from './handover.ts';

const SINCE_MS = 1_700_000_000_000;
const NO_DEMAND = { concurrency: 0, requestsPerSecond: 0, inFlight: 0, held: 0, tunnels: 0 };

/** An awake backend that nothing keeps awake, whose Service is redirected as soon as it is asked for; `reached` is told each step as it is recorded. */
function made(reached: (step: HandoverStep) => void) {
  const redirect = {
    gatewayEndpoints: 1,
    podEndpoints: 0,
    isTurnedAway: true,
    service: undefined,
    standIn: async () => {},
    turnAway: async () => {},
    takeBack: async () => {},
    standBack: async () => {},
  };
  const world = {
    phase: 'awake' as BackendStatus['phase'],
    verdict: { keptBy: [], wake: null } as IdleVerdict,
    clock: systemClock,
    idleAfterMs: 0,
    replicas: 1,
  };
  const host = {
    clock: { nowMs: () => world.clock.nowMs(), wallMs: () => world.clock.wallMs() },
    random: () => 0.5,
    logger: silentLogger,
    redirect,
    autoscaler: {
      check: () => ({ ok: true }),
      isPausedByOthers: false,
      pause: async () => {},
      isPaused: async () => true,
      resume: async () => {},
    },
    plan: () => ({
      ports: [],
      allocated: [],
      idleAfterMs: world.idleAfterMs,
      settleMs: 0,
      scrapeMs: 0,
      ignoresTunnels: false,
    }),
    backend: () => ({ phase: world.phase, sinceMs: SINCE_MS, crash: null, demand: NO_DEMAND, lastActivityMs: 0 }),
    verdict: () => world.verdict,
    askAgain: async () => world.verdict,
    direct: () => {},
    keep: () => {},
    gatewaysListen: () => true,
    seeRedirect: async () => true,
    replicas: async () => world.replicas,
    record: async ({ step }: { step: HandoverStep }) => reached(step),
    event: () => {},
  };
  return { world, host: host as unknown as HandoverHost };
}

test(
  'a sleep begins also when the time that it has to be awake ends between two looks',
  { timeout: 5000 },
  async () => {
    const recorded = Promise.withResolvers<HandoverStep>();
    const { world, host } = made(recorded.resolve);
    world.idleAfterMs = 3000;
    // The monotonic clock has fractions of a millisecond, the other one has none: it stands just where the time is over.
    let nowMs = 0;
    world.clock = { nowMs: () => (nowMs += 0.001), wallMs: () => SINCE_MS + world.idleAfterMs };
    const end = new AbortController();
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

test('a Service is not handed back to pods that are being ended', { timeout: 5000 }, async () => {
  const steps: HandoverStep[] = [];
  const back = Promise.withResolvers<void>();
  const { world, host } = made((step) => {
    steps.push(step);
    // The controller begins at once; then something wants it awake, too late: its scale is written already.
    if (step === 'sleeping') {
      world.phase = 'falling-asleep';
      setTimeout(() => {
        world.verdict = { keptBy: [], wake: 'the schedule wants it awake' };
        handover.notify();
        setTimeout(() => {
          world.phase = 'waking';
          handover.notify();
        }, 50);
      }, 20);
    }
    if (step === 'asleep')
      setTimeout(() => {
        world.phase = 'awake';
        handover.notify();
      }, 20);
    if (step === 'handing-back') back.resolve();
  });
  const end = new AbortController();
  const handover = new Handover(host, undefined);
  const run = handover.run(end.signal);
  await back.promise;
  end.abort(new Error('over'));
  await assert.rejects(run, /over/);
  const way = steps.slice(steps.indexOf('sleeping'), steps.indexOf('handing-back') + 1);
  assert.deepEqual(way, ['sleeping', 'asleep', 'handing-back']);
});

test(
  'a Service is not handed back while its target is at zero, whatever was seen of its pods',
  { timeout: 5000 },
  async () => {
    const steps: HandoverStep[] = [];
    const back = Promise.withResolvers<void>();
    const { world, host } = made((step) => {
      steps.push(step);
      if (step === 'sleeping') {
        // A scale to zero was not answered, and done all the same; pods were not heard of since.
        world.replicas = 0;
        world.verdict = { keptBy: [], wake: 'the schedule wants it awake' };
        setImmediate(() => handover.notify());
      }
      if (step === 'asleep')
        setTimeout(() => {
          assert.equal(steps.at(-1), 'asleep');
          world.replicas = 1;
          handover.notify();
        }, 50);
      if (step === 'handing-back') back.resolve();
    });
    const end = new AbortController();
    const handover = new Handover(host, undefined);
    const run = handover.run(end.signal);
    await back.promise;
    end.abort(new Error('over'));
    await assert.rejects(run, /over/);
    const way = steps.slice(steps.indexOf('sleeping'), steps.indexOf('handing-back') + 1);
    assert.deepEqual(way, ['sleeping', 'asleep', 'handing-back']);
    assert.equal(world.replicas, 1);
  },
);

test('a target that was at zero before is handed back at once when its Backend goes', { timeout: 5000 }, async () => {
  const steps: string[] = [];
  const host = {
    clock: { nowMs: () => performance.now(), wallMs: () => Date.now() },
    random: () => 0.5,
    logger: silentLogger,
    redirect: {
      service: {},
      podEndpoints: 0,
      gatewayEndpoints: 2,
      takeBack: () => Promise.resolve(),
      standBack: () => Promise.resolve(),
    },
    autoscaler: { resume: () => Promise.resolve() },
    backend: () => ({ phase: 'asleep', crash: null }) as unknown as BackendStatus,
    direct: () => {},
    keep: () => {},
    record: ({ step }: { step: string }) => {
      steps.push(step);
      return Promise.resolve();
    },
  } as unknown as HandoverHost;
  const handover = new Handover(host, { step: 'asleep', since: '2026-01-01T00:00:00Z' });
  await handover.restore(async () => assert.fail('it is woken'), new AbortController().signal);
  assert.deepEqual(steps, ['handing-back', 'resuming', 'serving']);
});

test('a target that nobody can wake is handed back at once when its Backend goes', { timeout: 5000 }, async () => {
  const steps: HandoverStep[] = [];
  const { world, host } = made((step) => steps.push(step));
  world.phase = 'asleep';
  const handover = new Handover(host, { step: 'asleep', since: '2026-01-01T00:00:00Z', replicasBefore: 1 });
  await handover.restore(() => Promise.reject(new Error('there is no such backend')), new AbortController().signal);
  assert.deepEqual(steps, ['handing-back', 'resuming', 'serving']);
});
