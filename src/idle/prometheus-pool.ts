/** Everything that is asked of Prometheus, by any backend: one server for each address, and one query of many backends is asked once. */
import type { Fault, Samples } from './prometheus-answer.ts';
import { PrometheusServer } from './prometheus-server.ts';
import type { IdleDeps } from './idle-verdict.ts';

/** The first ones are spread over this long at most. */
const FIRST_WITHIN_MS = 5000;
const SHORTEST_MS = 100;
/** Two intervals and a half: a scrape may come late, or fail once. */
const FRESH_INTERVALS = 2.5;

/** Older samples don't count, ms. */
export function freshFor(scrapeIntervalMs: number): number {
  return Math.max(1000, scrapeIntervalMs * FRESH_INTERVALS);
}

/** Told of each answer; the next is asked for when all who were told are done. Must not reject. */
type Listener = (answer: Samples | Fault) => Promise<void>;

export interface Place {
  server: PrometheusServer;
  leave: () => void;
}

export class PrometheusPool {
  readonly #deps: IdleDeps;
  readonly #servers = new Map<string, { server: PrometheusServer; users: number }>();
  readonly #queries = new Map<string, SharedQuery>();

  constructor(deps: IdleDeps) {
    this.#deps = deps;
  }

  /** Until `leave` is called. Throws an Error when the address is no URL. */
  use(address: string): Place {
    let entry = this.#servers.get(address);
    if (entry === undefined) {
      entry = { server: new PrometheusServer(address, this.#deps), users: 0 };
      this.#servers.set(address, entry);
    }
    const used = entry;
    used.users++;
    return {
      server: used.server,
      leave: once(() => {
        if (--used.users > 0) return;
        used.server.close();
        this.#servers.delete(address);
      }),
    };
  }

  /** Has the query asked every `scrapeIntervalMs`, until the function that it returns is called. */
  watch(address: string, query: string, scrapeIntervalMs: number, listener: Listener): () => void {
    const key = JSON.stringify([address, query, scrapeIntervalMs]);
    let shared = this.#queries.get(key);
    if (shared === undefined) {
      shared = new SharedQuery(this.use(address), query, scrapeIntervalMs, this.#deps);
      this.#queries.set(key, shared);
    }
    const watched = shared;
    watched.listeners.add(listener);
    return once(() => {
      watched.listeners.delete(listener);
      if (watched.listeners.size > 0) return;
      watched.close();
      this.#queries.delete(key);
    });
  }
}

class SharedQuery {
  readonly listeners = new Set<Listener>();
  readonly #place: Place;
  readonly #query: string;
  readonly #intervalMs: number;
  readonly #deps: IdleDeps;
  #cancel: () => void;
  #closed = false;

  constructor(place: Place, query: string, intervalMs: number, deps: IdleDeps) {
    this.#place = place;
    this.#query = query;
    this.#intervalMs = intervalMs;
    this.#deps = deps;
    this.#cancel = this.#in(deps.random() * Math.min(intervalMs, FIRST_WITHIN_MS));
  }

  close(): void {
    this.#closed = true;
    this.#cancel();
    this.#place.leave();
  }

  #in(ms: number): () => void {
    return this.#deps.timers.setTimer(ms, () => void this.#ask());
  }

  async #ask(): Promise<void> {
    const { clock, random } = this.#deps;
    const startMs = clock.nowMs();
    const answer = await this.#place.server.instant(this.#query, freshFor(this.#intervalMs));
    await Promise.all([...this.listeners].map((listener) => listener(answer)));
    if (this.#closed) return;
    // Never longer than the interval: each scrape is to be seen.
    const pauseMs = this.#intervalMs * (0.9 + 0.1 * random()) - (clock.nowMs() - startMs);
    this.#cancel = this.#in(Math.max(SHORTEST_MS, pauseMs));
  }
}

function once(fn: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    fn();
  };
}
