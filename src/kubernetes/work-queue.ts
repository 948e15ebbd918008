/** Work by key: each key at most once at a time, several keys at once; what is added while it waits counts once, what is added while it runs makes it run again. */
import type { Logger, RandomSource } from '../model/ports.ts';
import { backoffMs } from './backoff.ts';

export interface WorkQueueOptions {
  /**
   * Brings what the key names into the state that it should have. Resolves with a time to do it again after, ms; when it rejects it is done again after the
   * back-off. `signal` aborts when the queue is stopped or the time is over: it must end soon then.
   */
  work(key: string, signal: AbortSignal): Promise<{ afterMs: number } | void>;
  /** Keys at once. */
  concurrency: number;
  /** Keys that wait, are delayed or run: what is more is refused. */
  maxKeys: number;
  logger: Logger;
  random: RandomSource;
  /** For one run, ms; 5 minutes. */
  timeoutMs?: number;
  /** After the first failure in a row, ms; 5. */
  firstBackoffMs?: number;
  /** 5 minutes. */
  longestBackoffMs?: number;
}

/** Plain counters; the first three are of now. */
export interface WorkQueueCounts {
  /** Ready to run. */
  depth: number;
  delayed: number;
  running: number;
  /** Runs that ended well. */
  done: number;
  retries: number;
  /** Additions that did not fit. */
  refused: number;
}

interface Delay {
  timer: NodeJS.Timeout;
  dueAtMs: number;
  /** Only because a run failed: one that goes well makes it pointless. */
  isRetry: boolean;
}

/** What a timer of Node can hold. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  /** First in, first out, from #head on. */
  #ready: string[] = [];
  #head = 0;
  readonly #queued = new Set<string>();
  /** Whether it was added during its run. */
  readonly #running = new Map<string, { again: boolean; stop: AbortController }>();
  readonly #delays = new Map<string, Delay>();
  /** Failures in a row. */
  readonly #failures = new Map<string, number>();
  #state: 'new' | 'running' | 'stopped' = 'new';
  #done = 0;
  #retries = 0;
  #refused = 0;
  #idleWaiters: (() => void)[] = [];

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Begins to run what was and will be added. `signal` ends it as `stop` does, without grace. */
  start(signal?: AbortSignal): void {
    if (this.#state !== 'new') return;
    this.#state = 'running';
    if (signal?.aborted === true) void this.stop(0);
    else signal?.addEventListener('abort', () => void this.stop(0), { once: true });
    this.#fill();
  }

  /** As soon as there is room; at once also for a key whose back-off isn't over. False: refused, because the queue is full or stopped. */
  add(key: string): boolean {
    if (this.#state === 'stopped') return false;
    const run = this.#running.get(key);
    if (run !== undefined) {
      run.again = true;
      return true;
    }
    if (this.#queued.has(key)) return true;
    if (!this.#fits(key)) return false;
    this.#queued.add(key);
    this.#ready.push(key);
    if (this.#state === 'running') this.#fill();
    return true;
  }

  /** Not before `ms` from now; the earliest of several times holds. False as with `add`. */
  addAfter(key: string, ms: number): boolean {
    if (ms <= 0) return this.add(key);
    return this.#delay(key, ms, false);
  }

  get counts(): WorkQueueCounts {
    return {
      depth: this.#queued.size,
      delayed: this.#delays.size,
      running: this.#running.size,
      done: this.#done,
      retries: this.#retries,
      refused: this.#refused,
    };
  }

  /** Resolves when nothing is ready or runs (what is delayed may still come). */
  async idle(): Promise<void> {
    if (this.#queued.size === 0 && this.#running.size === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /**
   * Nothing new is begun, what is delayed is dropped. What runs has `graceMs` to end, then its signal aborts; resolves when all of it has ended, and at the
   * latest a second time `graceMs` (a second at least) after that.
   */
  async stop(graceMs = 5000): Promise<void> {
    this.#state = 'stopped';
    for (const { timer } of this.#delays.values()) clearTimeout(timer);
    this.#delays.clear();
    this.#queued.clear();
    this.#ready = [];
    this.#head = 0;
    if (!(await this.#endsWithin(graceMs))) {
      for (const { stop } of this.#running.values()) stop.abort(new Error('the queue was stopped'));
      if (!(await this.#endsWithin(Math.max(graceMs, 1000)))) {
        this.#options.logger.error('work goes on although it was stopped', {
          keys: [...this.#running.keys()].slice(0, 10),
        });
      }
    }
  }

  async #endsWithin(ms: number): Promise<boolean> {
    if (this.#running.size === 0) return true;
    if (ms <= 0) return false;
    let timer: NodeJS.Timeout;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([this.idle(), over]);
    clearTimeout(timer!);
    return this.#running.size === 0;
  }

  #fits(key: string): boolean {
    const size = this.#queued.size + this.#running.size + this.#delays.size;
    if (size < this.#options.maxKeys || this.#delays.has(key)) return true;
    this.#refused += 1;
    if (Number.isInteger(Math.log2(this.#refused))) {
      this.#options.logger.error('the work queue is full', {
        key,
        maxKeys: this.#options.maxKeys,
        refused: this.#refused,
      });
    }
    return false;
  }

  #delay(key: string, ms: number, isRetry: boolean): boolean {
    if (this.#state === 'stopped') return false;
    const dueAtMs = performance.now() + ms;
    const before = this.#delays.get(key);
    if (before !== undefined) {
      if (before.dueAtMs <= dueAtMs) return true;
      clearTimeout(before.timer);
    } else if (!isRetry && !this.#running.has(key) && !this.#queued.has(key) && !this.#fits(key)) {
      return false;
    }
    const timer = setTimeout(
      () => {
        this.#delays.delete(key);
        this.add(key);
      },
      Math.min(ms, LONGEST_TIMER_MS),
    );
    this.#delays.set(key, { timer, dueAtMs, isRetry });
    return true;
  }

  #fill(): void {
    while (this.#running.size < this.#options.concurrency && this.#head < this.#ready.length) {
      const key = this.#ready[this.#head]!;
      this.#head += 1;
      if (this.#head > 1000 && this.#head * 2 > this.#ready.length) {
        this.#ready = this.#ready.slice(this.#head);
        this.#head = 0;
      }
      this.#queued.delete(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const run = { again: false, stop: new AbortController() };
    this.#running.set(key, run);
    const timeoutMs = this.#options.timeoutMs ?? 300_000;
    const timer = setTimeout(() => run.stop.abort(new Error(`not done after ${timeoutMs} ms`)), timeoutMs);
    try {
      // Also what throws before its first await is a rejection.
      const next = await (async () => this.#options.work(key, run.stop.signal))();
      this.#done += 1;
      this.#failures.delete(key);
      const delay = this.#delays.get(key);
      if (delay?.isRetry === true) {
        clearTimeout(delay.timer);
        this.#delays.delete(key);
      }
      if (next !== undefined && !run.again) this.addAfter(key, next.afterMs);
    } catch (error) {
      if (this.#state !== 'stopped') this.#failed(key, error);
    } finally {
      clearTimeout(timer);
      this.#running.delete(key);
    }
    if (run.again) this.add(key);
    if (this.#state === 'running') this.#fill();
    if (this.#queued.size === 0 && this.#running.size === 0) {
      for (const resolve of this.#idleWaiters.splice(0)) resolve();
    }
  }

  #failed(key: string, error: unknown): void {
    const { random, logger, firstBackoffMs = 5, longestBackoffMs = 300_000 } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#retries += 1;
    const againInMs = backoffMs(failures, firstBackoffMs, longestBackoffMs, random);
    const fields = { key, failures: failures + 1, againInMs: Math.round(againInMs), error: (error as Error).message };
    // The first failures are mostly conflicts, which go away by themselves.
    if (failures < 3) logger.debug('work failed', fields);
    else logger.warn('work failed again', fields);
    this.#delay(key, againInMs, true);
  }
}
