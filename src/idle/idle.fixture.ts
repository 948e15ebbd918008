/** Idle sources whose time and Prometheus are in a test's hands. */
import assert from 'node:assert/strict';
import { FakeTime } from '../controller/controller.fixture.ts';
import type { PrometheusIdleConfig } from '../model/config.ts';
import { silentLogger, type Logger } from '../model/ports.ts';
import { IdleRunner } from './idle-runner.ts';
import { IdleSources } from './idle-sources.ts';
import type { IdleSourcesConfig, IdleVerdict } from './idle-verdict.ts';
import { FakePrometheus, type Series } from './prometheus.fixture.ts';

export const SCRAPE_MS = 15_000;
export const IDLE_AFTER_MS = 60_000;
/** Its clock is not ours. */
export const SKEW_MS = 7_000_000;
export const QUERY = 'sum(rate(requests_total[1m]))';

export interface Setup extends AsyncDisposable {
  time: FakeTime;
  prometheus: FakePrometheus;
  log: string[];
  told: IdleVerdict[];
  /** What keeps it awake now. */
  kept: () => string[];
  start: (config?: Partial<PrometheusIdleConfig>, idleAfterMs?: number) => IdleSources;
  /** Lets this much time pass; every asking in it is done. */
  pass: (ms: number) => Promise<void>;
  runner: (onVerdict?: (backend: string, verdict: IdleVerdict | null) => void) => IdleRunner;
  config: (config?: Partial<PrometheusIdleConfig>) => IdleSourcesConfig;
}

export async function setup(series: Series = () => 0): Promise<Setup> {
  const time = new FakeTime();
  const prometheus = await FakePrometheus.start(() => time.wallMs() + SKEW_MS);
  prometheus.queries.set(QUERY, series);
  const told: IdleVerdict[] = [];
  const log: string[] = [];
  const note =
    (level: string) =>
    (message: string): void =>
      void log.push(`${level}: ${message}`);
  const logger: Logger = {
    ...silentLogger,
    info: note('info'),
    warn: note('warn'),
    error: note('error'),
    child: () => logger,
  };
  let open = 0;
  /** Over real connections; it is known when all is over. */
  const counted: typeof fetch = async (url, init) => {
    open++;
    try {
      const { body, status } = await fetch(url, init);
      return new Response(await new Response(body).bytes(), { status });
    } finally {
      open--;
    }
  };
  const deps = { clock: time, timers: time, random: () => 1, fetch: counted, logger };
  const ended = new AbortController();
  const config = (more: Partial<PrometheusIdleConfig> = {}): IdleSourcesConfig => ({
    prometheus: {
      serverAddress: prometheus.url,
      query: QUERY,
      threshold: 5,
      uptimeQuery: null,
      scrapeIntervalMs: SCRAPE_MS,
      ...more,
    },
    schedule: null,
    before: null,
  });
  const quiet = async (): Promise<void> => {
    for (let calm = 0; calm < 5; calm = open === prometheus.hanging ? calm + 1 : 0) await new Promise(setImmediate);
  };
  const close: (() => void)[] = [];
  return {
    time,
    prometheus,
    log,
    told,
    config,
    kept: () => told.at(-1)!.keptBy,
    start(more, idleAfterMs = IDLE_AFTER_MS) {
      const sources = new IdleSources(config(more), idleAfterMs, deps);
      sources.start(ended.signal, (verdict) => told.push(verdict));
      return sources;
    },
    async pass(ms) {
      const end = time.nowMs() + ms;
      while (time.nextIn !== null && time.nowMs() + time.nextIn <= end) {
        time.advance(time.nextIn);
        await quiet();
      }
      time.advance(end - time.nowMs());
    },
    runner(onVerdict = () => {}) {
      const runner = new IdleRunner({ ...deps, onVerdict });
      close.push(() => runner.close());
      return runner;
    },
    async [Symbol.asyncDispose]() {
      ended.abort();
      for (const one of close) one();
      assert.equal(time.pending, 0, 'no timer is left');
      await prometheus[Symbol.asyncDispose]();
    },
  };
}

/** As Prometheus shows the time, a little later. */
export const clockOf = (time: FakeTime, ms = 0): string =>
  `${new Date(time.wallMs() + SKEW_MS + ms).toISOString().slice(0, 19)}Z`;
