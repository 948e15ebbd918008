/**
 * What may say, besides the gateways' own demand, that one backend is idle: a Prometheus query and a schedule. All of them have to agree. Who can't say
 * (Prometheus is away, an expression is wrong) does not agree.
 */
import { isDeepStrictEqual } from 'node:util';
import { systemClock, type Clock, type Logger, type RandomSource } from '../model/ports.ts';
import { NOTHING_SAID, systemIdleTimers, type IdleDeps, type IdleSourcesConfig } from './idle-verdict.ts';
import type { IdleTimers, IdleVerdict } from './idle-verdict.ts';
import { PrometheusPool } from './prometheus-pool.ts';
import { PrometheusSource } from './prometheus-source.ts';
import { ScheduleSource, type Scheduled } from './schedule-source.ts';
import { WakeBefore } from './wake-before.ts';
import { ZoneClocks } from './zone-clock.ts';

export interface IdleSourcesDeps {
  logger: Logger;
  clock?: Clock;
  random?: RandomSource;
  fetch?: typeof fetch;
  timers?: IdleTimers;
  /** Shared by the backends of one process: one query of many is asked once. */
  pool?: PrometheusPool;
  zones?: ZoneClocks;
}

/** A timer of Node may fire a little before the wall clock is there. */
const SHORTEST_MS = 10;

export class IdleSources {
  readonly #deps: IdleDeps;
  readonly #pool: PrometheusPool;
  readonly #config: IdleSourcesConfig;
  readonly #idleAfterMs: number;
  /** What is wrong with the configuration, a sentence each; the backend stays awake. */
  readonly #broken: string[] = [];
  readonly #scheduled: { at(wallMs: number): Scheduled }[] = [];
  #prometheus: PrometheusSource | null = null;
  #started = false;
  #ended = false;
  #asked = true;
  #cancel: (() => void) | null = null;
  /** null: nothing has been told yet. */
  #said: IdleVerdict | null = null;
  #changed: (verdict: IdleVerdict) => void = () => {};

  constructor(config: IdleSourcesConfig, idleAfterMs: number, deps: IdleSourcesDeps) {
    this.#deps = completed(deps);
    this.#pool = deps.pool ?? new PrometheusPool(this.#deps);
    this.#config = config;
    this.#idleAfterMs = idleAfterMs;
    const { schedule, before } = config;
    const zones = deps.zones ?? new ZoneClocks();
    if (schedule !== null) {
      this.#try('idle.schedule', () => this.#scheduled.push(new ScheduleSource(schedule, zones)));
    }
    if (before !== null) {
      this.#try('wake.before', () => this.#scheduled.push(new WakeBefore(before, idleAfterMs, zones)));
    }
  }

  /** As last told; before `start` it has nothing to say. */
  get verdict(): IdleVerdict {
    return this.#said ?? { ...NOTHING_SAID };
  }

  /**
   * Tells the first verdict before it returns (Prometheus has not been asked then, which keeps the backend awake), and each that differs from the one before,
   * until `signal` is aborted. `changed` is called with equal verdicts never twice, and what it throws is logged.
   */
  start(signal: AbortSignal, changed: (verdict: IdleVerdict) => void): void {
    if (this.#started || signal.aborted) return;
    this.#started = true;
    this.#changed = changed;
    const { prometheus } = this.#config;
    if (prometheus !== null) {
      this.#try('idle.prometheus', () => {
        const tell = (): void => this.#tell();
        this.#prometheus = new PrometheusSource(prometheus, this.#idleAfterMs, this.#pool, this.#deps, tell);
        if (this.#asked) this.#prometheus.start();
      });
    }
    signal.addEventListener('abort', () => this.#end(), { once: true });
    this.#look();
  }

  /** Whether Prometheus is asked: nobody has to know whether a backend is idle that sleeps already. At first it is. */
  ask(needed: boolean): void {
    this.#asked = needed;
    if (this.#ended) return;
    if (needed) this.#prometheus?.start();
    else this.#prometheus?.pause();
  }

  /**
   * The verdict of now, with a fresh answer of Prometheus for which only scrapes after `sinceMs` count (monotonic clock, default: now): waits for them
   * where they can't be there yet, one scrape interval and a margin. Bounded: two scrape intervals and 20 s. Never rejects; after an abort it says that
   * Prometheus was not asked to the end.
   */
  async askAgain(signal: AbortSignal, sinceMs: number = this.#deps.clock.nowMs()): Promise<IdleVerdict> {
    const prometheus = this.#prometheus;
    const kept = prometheus === null ? null : await prometheus.askAgain(sinceMs, signal);
    return this.#verdict(kept);
  }

  #end(): void {
    this.#ended = true;
    this.#cancel?.();
    this.#prometheus?.close();
  }

  #look(): void {
    const { clock, timers } = this.#deps;
    if (this.#ended) return;
    if (this.#scheduled.length > 0) {
      const wallMs = clock.wallMs();
      const nextMs = Math.min(...this.#scheduled.map((source) => source.at(wallMs).nextMs));
      this.#cancel = timers.setTimer(Math.max(SHORTEST_MS, nextMs - wallMs), () => this.#look());
    }
    this.#tell();
  }

  #tell(): void {
    if (this.#ended) return;
    const verdict = this.#verdict(this.#prometheus?.kept ?? null);
    if (isDeepStrictEqual(verdict, this.#said)) return;
    this.#said = verdict;
    try {
      this.#changed(verdict);
    } catch (error) {
      this.#deps.logger.error('an idle verdict could not be delivered', { error: String(error) });
    }
  }

  #verdict(prometheusKept: string | null): IdleVerdict {
    const { prometheus, schedule } = this.#config;
    const wallMs = this.#deps.clock.wallMs();
    const said = this.#scheduled.map((source) => source.at(wallMs));
    const keptBy = [prometheusKept, ...said.map(({ kept }) => kept)].filter((sentence) => sentence !== null);
    return {
      keptBy: [...this.#broken, ...keptBy],
      wake: said.find(({ wake }) => wake !== null)?.wake ?? null,
      configured: prometheus !== null || schedule !== null,
    };
  }

  #try(key: string, make: () => void): void {
    try {
      make();
    } catch (error) {
      const what = `${key}: ${error instanceof Error ? error.message : String(error)}`;
      this.#broken.push(what);
      this.#deps.logger.warn(`${what}; it stays awake`);
    }
  }
}

/** What the sources of all backends of one process share, so that one query of many backends is asked once: made once, and handed to each. */
export function sharedIdleDeps(deps: IdleSourcesDeps): IdleSourcesDeps {
  const whole = completed(deps);
  return { ...whole, pool: deps.pool ?? new PrometheusPool(whole), zones: deps.zones ?? new ZoneClocks() };
}

/** The system's own where none is given. */
function completed({ logger, clock, random, fetch, timers }: IdleSourcesDeps): IdleDeps {
  return {
    logger,
    clock: clock ?? systemClock,
    random: random ?? Math.random,
    fetch: fetch ?? globalThis.fetch,
    timers: timers ?? systemIdleTimers,
  };
}
