/** What every trigger does, run against each with a source in the test's hands. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import type { z } from 'zod';
import { silentLogger, systemClock } from '../model/ports.ts';
import { triggers } from './registry.ts';
import type { TriggerReport } from './trigger.ts';
import { triggerSchemas } from './triggers.schema.ts';

/** A source with a trigger that asks it. */
export interface TriggerBench {
  type: string;
  /** As the file has them; polled often. */
  options: Record<string, unknown>;
  /** Work comes: the next report is active. null: it can't be made to. */
  work: (() => Promise<void>) | null;
  /** All of it is done: the next report is not active. */
  done: (() => Promise<void>) | null;
  /** Nobody answers any more, and then again. null: there is no source. */
  kill: (() => Promise<void>) | null;
  revive: (() => Promise<void>) | null;
  /** It hangs: connections are taken and nothing is answered; and goes on. Missing: not tried. */
  hang?: () => void;
  goOn?: () => void;
  close(): Promise<void>;
}

const WITHIN_MS = 15_000;

/** Runs one trigger, and keeps all that it says. */
export class TriggerRun {
  readonly reports: TriggerReport[] = [];
  readonly failures: string[] = [];
  /** When each report came, monotonic ms. */
  readonly atMs: number[] = [];
  readonly infos: string[] = [];
  ended = false;
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  /** null: it tells of changes by itself. */
  askAgain: (() => void) | null = null;

  constructor(type: string, given: Record<string, unknown>, secrets: Record<string, Record<string, string>> = {}) {
    const parsed = (triggerSchemas[type] as z.ZodType).parse(given);
    const logger = {
      ...silentLogger,
      info: (message: string, fields?: Record<string, unknown>) =>
        void this.infos.push(`${message} ${JSON.stringify(fields)}`),
    };
    const started = triggers[type]!.start(
      plain(parsed) as never,
      this.#end.signal,
      (report) => {
        this.reports.push(report);
        this.atMs.push(performance.now());
      },
      {
        backend: 'shop',
        name: 'jobs',
        clock: systemClock,
        logger,
        failed: (reason) => void this.failures.push(reason),
        onAsked: (listener) => void (this.askAgain = listener),
        readSecret: (name) => {
          const found = secrets[name];
          return found === undefined ? Promise.reject(new Error(`there is no Secret ${name}`)) : Promise.resolve(found);
        },
      },
    );
    this.#done = Promise.resolve(started).then(() => {
      this.ended = true;
    });
  }

  get last(): TriggerReport | undefined {
    return this.reports.at(-1);
  }

  /** Fails after 15 s with what was said. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const endMs = performance.now() + WITHIN_MS;
    while (!holds()) {
      if (performance.now() > endMs)
        assert.fail(
          `no ${what}; said last: ${JSON.stringify(this.last)}, failures: ${this.failures.slice(-2).join(' | ')}`,
        );
      await delay(2);
    }
  }

  /** Resolves when it has ended. */
  async stop(): Promise<void> {
    this.#end.abort(new Error('the test is over'));
    await this.#done;
  }
}

/** Files of options are paths once the configuration is read. */
function plain(options: unknown): unknown {
  return JSON.parse(
    JSON.stringify(options, (_key, value: unknown) =>
      typeof value === 'object' && value !== null && 'written' in value
        ? (value as { written: string }).written
        : value,
    ),
  );
}

/** Sockets and timers of this process. */
function held(): number {
  return process.getActiveResourcesInfo().filter((name) => /TCPSocketWrap|TLSWrap|ConnectWrap/.test(name)).length;
}

export function triggerContract(name: string, make: () => Promise<TriggerBench>): void {
  const scenario = (what: string, run: (bench: TriggerBench, begin: () => TriggerRun) => Promise<void>): void => {
    test(`${name}: ${what}`, { timeout: 60_000 }, async () => {
      const bench = await make();
      const runs: TriggerRun[] = [];
      try {
        await run(bench, () => {
          const begun = new TriggerRun(bench.type, bench.options);
          runs.push(begun);
          return begun;
        });
      } finally {
        for (const one of runs) await one.stop();
        await bench.close();
      }
    });
  };

  scenario(
    'it begins with a report of a value by a target, and nothing is lost of it in a sentence',
    async (_bench, begin) => {
      const run = begin();
      await run.until('report', () => run.reports.length > 0);
      const { metric, reason, desired } = run.reports[0]!;
      assert.ok(metric !== undefined && metric.target > 0 && metric.value >= 0);
      assert.ok(Math.abs(desired - metric.value / metric.target) < 1e-9);
      assert.ok(reason.length > 5);
      assert.deepEqual(run.failures, []);
    },
  );

  scenario('it tells when work comes and when it is done', async ({ work, done }, begin) => {
    if (work === null || done === null) return;
    const run = begin();
    await run.until('first report', () => run.reports.length > 0);
    assert.equal(run.last!.active, false, run.last!.reason);
    await work();
    await run.until('active report', () => run.last!.active);
    assert.ok(run.last!.desired > 0);
    await done();
    await run.until('quiet report', () => !run.last!.active);
    await work();
    await run.until('active report', () => run.last!.active);
    assert.deepEqual(run.failures, []);
  });

  scenario('it ends within its bound, holds no socket then, and says nothing more', async ({ work }, begin) => {
    const before = held();
    const run = begin();
    await run.until('report', () => run.reports.length > 0);
    const beganMs = performance.now();
    await run.stop();
    assert.ok(performance.now() - beganMs < 2000, 'it ends at once');
    const said = run.reports.length;
    await work?.();
    const endMs = performance.now() + 5000;
    while (held() > before && performance.now() < endMs) await delay(5);
    assert.ok(held() <= before, `${held()} sockets, ${before} before`);
    assert.equal(run.reports.length, said);
  });

  scenario(
    'a dead source is told of with the next step, is no report, and is taken up again',
    async ({ kill, revive }, begin) => {
      if (kill === null || revive === null) return;
      const run = begin();
      await run.until('report', () => run.reports.length > 0);
      await kill();
      await run.until('two failures', () => run.failures.length >= 2);
      assert.match(run.failures.at(-1)!, /: \S.{10}/, 'what to do stands behind a colon');
      const said = run.reports.length;
      await run.until('another failure', () => run.failures.length >= 3);
      assert.equal(run.reports.length, said, 'nothing was reported meanwhile');
      await revive();
      await run.until('report', () => run.reports.length > said);
    },
  );

  scenario('one that hangs does not keep it from ending', async ({ hang, goOn }, begin) => {
    if (hang === undefined || goOn === undefined) return;
    const run = begin();
    await run.until('report', () => run.reports.length > 0);
    hang();
    try {
      const beganMs = performance.now();
      await run.until('failure', () => run.failures.length > 0);
      assert.ok(performance.now() - beganMs < 12_000);
      await run.stop();
    } finally {
      goOn();
    }
  });

  scenario('one that is dead from the start ends it at once too', async ({ kill, revive }, begin) => {
    if (kill === null || revive === null) return;
    await kill();
    const run = begin();
    await run.until('failure', () => run.failures.length > 0);
    assert.deepEqual(run.reports, []);
    const beganMs = performance.now();
    await run.stop();
    assert.ok(performance.now() - beganMs < 2000);
    await revive();
  });
}
