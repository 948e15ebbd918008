/** What a real Prometheus that scrapes a real application says of it being idle: at work, at rest, and with everything that can go wrong in between. */
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort, startProgram, untilListening, type Program } from '../../bench/processes.ts';
import { IdleSources } from '../../src/idle/idle-sources.ts';
import type { IdleVerdict } from '../../src/idle/idle-verdict.ts';
import type { PrometheusIdleConfig } from '../../src/model/config.ts';
import { silentLogger } from '../../src/model/ports.ts';
import { until } from '../e2e/fixtures/until.ts';

const SCRAPE_MS = 500;
const IDLE_AFTER_MS = 3000;
const QUERY = 'sum(rate(app_requests_total[2s]))';
const PATIENCE_MS = 30_000;

/** Counts its requests and tells how many there were. */
class Application {
  readonly #server = http.createServer((request, response) => {
    if (request.url === '/') this.#count++;
    response.end(`# TYPE app_requests_total counter\napp_requests_total ${this.#count}\n`);
  });
  #count = 0;
  port = 0;

  async listen(): Promise<void> {
    this.#server.listen(this.port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async use(): Promise<void> {
    await (await fetch(`http://127.0.0.1:${this.port}/`)).text();
  }
}

/** Scrapes an application and itself every half second, and can be stopped and started again on what it has stored. */
class Prometheus {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dormouse-idle-'));
  #port = 0;
  #program: Program | undefined;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get program(): Program {
    return this.#program!;
  }

  async start(targetPort: number): Promise<void> {
    this.#port ||= await freePort();
    const file = join(this.#folder, 'prometheus.yml');
    const job = (name: string, port: number): object => ({
      job_name: name,
      static_configs: [{ targets: [`127.0.0.1:${port}`] }],
    });
    const jobs = [job('app', targetPort), job('prometheus', this.#port)];
    writeFileSync(file, JSON.stringify({ global: { scrape_interval: `${SCRAPE_MS}ms` }, scrape_configs: jobs }));
    const data = `--storage.tsdb.path=${join(this.#folder, 'data')}`;
    const listen = `--web.listen-address=127.0.0.1:${this.#port}`;
    this.#program = startProgram(['prometheus', `--config.file=${file}`, data, listen, '--log.level=warn'], {
      core: null,
    });
    await untilListening(this.#program, this.#port, PATIENCE_MS);
  }

  async kill(): Promise<void> {
    this.program.child.kill('SIGKILL');
    await this.program.ended;
  }

  async close(): Promise<void> {
    this.#program?.child.kill('SIGCONT');
    await this.#program?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

describe('idle.prometheus', { timeout: 180_000 }, () => {
  const application = new Application();
  const prometheus = new Prometheus();
  const ended = new AbortController();
  let first: Watched;

  class Watched {
    readonly sources: IdleSources;
    readonly startedMs = performance.now();
    readonly told: { atMs: number; verdict: IdleVerdict }[] = [];

    constructor(config: Partial<PrometheusIdleConfig> = {}) {
      const asked = {
        serverAddress: prometheus.url,
        query: QUERY,
        threshold: 0.1,
        uptimeQuery: null,
        scrapeIntervalMs: SCRAPE_MS,
        ...config,
      };
      const none = { schedule: null, before: null };
      this.sources = new IdleSources({ prometheus: asked, ...none }, IDLE_AFTER_MS, { logger: silentLogger });
      this.sources.start(ended.signal, (verdict) => this.told.push({ atMs: performance.now(), verdict }));
    }

    /** When it first said so after `sinceMs`. */
    async keptBy(reason: RegExp, sinceMs = 0): Promise<number> {
      return this.#said(String(reason), ({ keptBy }) => keptBy.some((text) => reason.test(text)), sinceMs);
    }

    async idle(sinceMs = 0): Promise<number> {
      return this.#said('idle', ({ keptBy }) => keptBy.length === 0, sinceMs);
    }

    async #said(what: string, is: (verdict: IdleVerdict) => boolean, sinceMs: number): Promise<number> {
      const found = (): number | undefined =>
        this.told.find(({ atMs, verdict }) => atMs >= sinceMs && is(verdict))?.atMs;
      return until(what, found, PATIENCE_MS).catch((error: Error) => {
        throw new Error(`${error.message}; it said ${JSON.stringify(this.told.map(({ verdict }) => verdict.keptBy))}`);
      });
    }
  }

  before(async () => {
    await application.listen();
    await prometheus.start(application.port);
    first = new Watched();
  });

  after(async () => {
    ended.abort();
    await prometheus.close();
    await application.close();
  });

  it('is not idle before Prometheus has been up for idleAfter, then it is', async () => {
    await first.keptBy(/Prometheus itself runs only since|query gives nothing/);
    const idleMs = await first.idle();
    assert.ok(idleMs - first.startedMs > IDLE_AFTER_MS - SCRAPE_MS, 'it listens a moment after its start');
  });

  it('traffic keeps it awake, and idleAfter begins when it ends', async () => {
    const sinceMs = performance.now();
    let lastMs = 0;
    const traffic = setInterval(() => {
      lastMs = performance.now();
      void application.use();
    }, 50);
    await first.keptBy(/^idle.prometheus: [\d.]+ is not below 0.1/, sinceMs);
    clearInterval(traffic);
    const idleMs = await first.idle(lastMs);
    assert.ok(idleMs - lastMs >= IDLE_AFTER_MS, `idle after ${idleMs - lastMs} ms`);
  });

  it('whoever starts anew does not begin the time again', async () => {
    const again = new Watched();
    const tookMs = (await again.idle()) - again.startedMs;
    assert.ok(tookMs < IDLE_AFTER_MS - 500, `${tookMs} ms`);
  });

  it('asked again, it has seen what came after the moment', async () => {
    const { sources } = first;
    const { signal } = new AbortController();
    assert.deepEqual((await sources.askAgain(signal)).keptBy, []);
    const sinceMs = performance.now();
    await application.use();
    assert.match((await sources.askAgain(signal, sinceMs)).keptBy[0] ?? '', /is not below 0.1/);
    await first.idle(sinceMs + 1);
  });

  it('an uptimeQuery, a scalar, and what is wrong with a query', async () => {
    const said: [Partial<PrometheusIdleConfig>, RegExp | null][] = [
      [{ uptimeQuery: 'time() - process_start_time_seconds{job="prometheus"}' }, null],
      [{ uptimeQuery: 'min_over_time(up{job="prometheus"}[3s])' }, null],
      [{ uptimeQuery: 'process_start_time_seconds{job="gone"}' }, /: uptimeQuery gives nothing/],
      [{ uptimeQuery: 'vector(2)' }, /Prometheus itself runs only since/],
      [{ query: `scalar(${QUERY})` }, null],
      [{ query: 'app_requests_total{instance="gone"}' }, /: query gives nothing/],
      [{ query: `${QUERY} / 0` }, /: query gives NaN/],
      [{ query: 'sum(rate(app_requests_total))' }, /: it refuses query \(bad_data: .*expected type range vector/],
      [{ query: 'app_requests_total[1m]' }, /: the answer to query is a matrix/],
      [{ query: '"idle"' }, /: the answer to query is a string/],
      [{ serverAddress: `${prometheus.url}/elsewhere` }, /answers 404: see that serverAddress is that/],
      [{ serverAddress: `http://127.0.0.1:${application.port}` }, /the answer is not of Prometheus' HTTP API/],
    ];
    await Promise.all(
      said.map(async ([config, reason]) => {
        const watched = new Watched(config);
        await (reason === null ? watched.idle() : watched.keptBy(reason));
      }),
    );
  });

  it('one that stands still, and goes on', async () => {
    const sinceMs = performance.now();
    prometheus.program.child.kill('SIGSTOP');
    await first.keptBy(/does not answer within 5 s/, sinceMs);
    prometheus.program.child.kill('SIGCONT');
    const againMs = performance.now();
    const idleMs = await first.idle(againMs);
    assert.ok(idleMs - againMs >= IDLE_AFTER_MS - SCRAPE_MS, 'nobody knows what was while it stood still');
  });

  it('one that dies, and is started again on what it has stored', async () => {
    const sinceMs = performance.now();
    await prometheus.kill();
    await first.keptBy(/does not answer \(ECONNREFUSED\)/, sinceMs);
    await prometheus.start(application.port);
    const againMs = performance.now();
    await first.keptBy(/Prometheus itself runs only since|query gives nothing/, againMs);
    const fresh = new Watched();
    await fresh.keptBy(/Prometheus itself runs only since|query gives nothing/);
    // It listens a moment after its start.
    const tookMs = Math.min(await first.idle(againMs), await fresh.idle()) - againMs;
    assert.ok(tookMs > IDLE_AFTER_MS - SCRAPE_MS, `${tookMs} ms`);
  });

  it('a target that is gone is not idle', async () => {
    const sinceMs = performance.now();
    await application.close();
    await first.keptBy(/query gives nothing/, sinceMs);
    await application.listen();
    const againMs = performance.now();
    const idleMs = await first.idle(againMs);
    assert.ok(idleMs - againMs >= IDLE_AFTER_MS, 'what was not seen does not count');
  });
});
