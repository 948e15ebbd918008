/**
 * Whether Prometheus says that a backend is idle. It is when every sample of the query has been below the threshold for the whole of idleAfter, and
 * Prometheus itself has been up for as long. Whatever else there is (nothing, NaN, an error, no answer) keeps the backend awake.
 *
 * "For the whole of idleAfter" is known from what was seen at every asking, or, when nothing was seen yet (a start), from one look back at what Prometheus
 * has stored, so that a restart of ours doesn't begin the time again. All times of these rules are of Prometheus' own clock, as its answers give it.
 */
import type { PrometheusIdleConfig } from '../model/config.ts';
import type { Fault, Samples } from './prometheus-answer.ts';
import { freshFor, type Place, type PrometheusPool } from './prometheus-pool.ts';
import { moment, seconds, type IdleDeps } from './idle-verdict.ts';

/** Prometheus refuses a range of more than 11,000 points. */
const MAX_STEPS = 10_000;
/** A restart of Prometheus is noticed this much later at most, in a regular asking. */
const UPTIME_KEPT_MS = 5000;
/** How long a scrape may take to be there, beside a tenth of the interval. */
const MARGIN_MS = 500;
const MAX_MARGIN_MS = 5000;

/** What is known of the time before an answer. */
interface Past {
  /** When it was last known to be below; -Infinity: it was not, at the last answer. */
  lastMs: number;
  /** It has been below since. */
  belowSinceMs: number;
}

interface Judged {
  /** Why it may not sleep; null: it may. */
  kept: string | null;
  /** Two of a kind are the same reason, though the sentence may have other numbers. */
  kind: string;
  /** null: nothing is known. */
  past: Past | null;
  /** Prometheus did not answer. */
  silent: boolean;
}

const NOT_BELOW: Past = { lastMs: -Infinity, belowSinceMs: Infinity };

export class PrometheusSource {
  readonly #config: PrometheusIdleConfig;
  readonly #idleAfterMs: number;
  readonly #pool: PrometheusPool;
  readonly #deps: IdleDeps;
  readonly #changed: () => void;
  readonly #place: Place;
  #judged: Judged;
  /** Counts judgements that were begun: a later one wins over those that were begun before. */
  #turn = 0;
  #closed = false;
  #unwatch: (() => void) | null = null;
  /** When an uptime query last said 1, by Prometheus' clock. */
  #oneAtMs: number | null = null;

  /** Throws an Error when the address is no URL. `changed` is called when `kept` has another value. */
  constructor(
    config: PrometheusIdleConfig,
    idleAfterMs: number,
    pool: PrometheusPool,
    deps: IdleDeps,
    changed: () => void,
  ) {
    this.#config = config;
    this.#idleAfterMs = idleAfterMs;
    this.#pool = pool;
    this.#deps = deps;
    this.#changed = changed;
    this.#place = pool.use(config.serverAddress);
    this.#judged = unasked();
  }

  /** Why it may not sleep; null: it may. */
  get kept(): string | null {
    return this.#judged.kept;
  }

  /** Begins to ask. */
  start(): void {
    if (this.#unwatch !== null) return;
    const { serverAddress, query, scrapeIntervalMs } = this.#config;
    this.#unwatch = this.#pool.watch(serverAddress, query, scrapeIntervalMs, async (answer) => {
      const turn = ++this.#turn;
      this.#take(turn, await this.#judge(answer, Math.min(UPTIME_KEPT_MS, scrapeIntervalMs / 2)));
    });
  }

  /** Asks no more, and forgets what it knew. */
  pause(): void {
    if (this.#unwatch === null) return;
    this.#unwatch();
    this.#unwatch = null;
    this.#take(++this.#turn, unasked());
  }

  close(): void {
    this.#closed = true;
    this.#unwatch?.();
    this.#place.leave();
  }

  /**
   * Asks now, once the scrapes after `sinceMs` (monotonic clock) are there: waits up to one scrape interval and a margin for that, and up to a second one
   * while they are missing. The same as `kept` otherwise. Bounded: two scrape intervals and 20 s. Never rejects.
   */
  async askAgain(sinceMs: number, signal: AbortSignal): Promise<string | null> {
    const { clock } = this.#deps;
    const { query, scrapeIntervalMs } = this.#config;
    const since = Math.min(sinceMs, clock.nowMs());
    const margin = Math.min(MAX_MARGIN_MS, MARGIN_MS + scrapeIntervalMs / 10);
    let atMs = since + scrapeIntervalMs + margin;
    const lastMs = atMs + scrapeIntervalMs;
    for (;;) {
      if (!(await this.#wait(atMs - clock.nowMs(), signal))) return GIVEN_UP;
      // Samples before `since` don't count; the difference of two times of ours, so that it holds by Prometheus' clock too.
      const freshMs = Math.min(freshFor(scrapeIntervalMs), Math.max(1, clock.nowMs() - since));
      const turn = ++this.#turn;
      const answer = await orAborted(this.#place.server.instant(query, freshMs), signal);
      if (answer === null) return GIVEN_UP;
      // A scrape that is late is not there yet.
      if ('fault' in answer && !answer.silent && atMs < lastMs) {
        atMs = Math.min(lastMs, clock.nowMs() + scrapeIntervalMs / 4);
        continue;
      }
      const judged = await orAborted(this.#judge(answer, 0), signal);
      if (judged === null) return GIVEN_UP;
      this.#take(turn, judged);
      return judged.kept;
    }
  }

  #take(turn: number, judged: Judged): void {
    if (turn !== this.#turn || this.#closed) return;
    const before = this.#judged;
    // The sentence stays as it was when the reason is the same, so that nobody is told of every new number.
    this.#judged = judged.kind === before.kind ? { ...judged, kept: before.kept } : judged;
    if (this.#judged.kept !== before.kept) this.#changed();
  }

  async #judge(answer: Samples | Fault, uptimeKeptMs: number): Promise<Judged> {
    const { threshold } = this.#config;
    if ('fault' in answer) return this.#fault(answer);
    const { atMs, greatest, labels } = answer;
    if (!(greatest < threshold)) {
      const whose = labels === '' ? '' : ` of {${labels}}`;
      return {
        kept: `idle.prometheus: ${greatest}${whose} is not below ${threshold} (at ${moment(atMs)})`,
        kind: 'above',
        past: NOT_BELOW,
        silent: false,
      };
    }
    const up = await this.#uptime(atMs, uptimeKeptMs);
    if (up !== null) return up;
    const belowSinceMs = await this.#belowSince(atMs);
    const past = { lastMs: atMs, belowSinceMs };
    if (atMs - belowSinceMs >= this.#idleAfterMs) return { kept: null, kind: 'idle', past, silent: false };
    return {
      kept: `idle.prometheus: below ${threshold} only since ${moment(belowSinceMs)}, and scale.idleAfter is ${seconds(this.#idleAfterMs)}`,
      kind: `since ${belowSinceMs}`,
      past,
      silent: false,
    };
  }

  #fault({ fault, silent }: Fault): Judged {
    return {
      kept: `idle.prometheus: ${silent ? `${this.#place.server.shown} ` : ''}${fault}`,
      kind: fault,
      past: silent ? this.#judged.past : NOT_BELOW,
      silent,
    };
  }

  /** Nothing is known against the query itself. */
  #uptimeFault(fault: Fault): Judged {
    return { ...this.#fault(fault), past: this.#judged.past };
  }

  /** null: Prometheus was up for the whole time, at least. */
  async #uptime(atMs: number, keptMs: number): Promise<Judged | null> {
    const { uptimeQuery, scrapeIntervalMs } = this.#config;
    const { server } = this.#place;
    let upMs: number;
    if (uptimeQuery === null) {
      const started = await server.started(keptMs);
      if (started === 'unknown') {
        const fault = `${server.shown} does not tell when it started: give uptimeQuery, the seconds that it has been up`;
        return this.#uptimeFault({ fault, silent: false });
      }
      if (typeof started === 'object') return this.#uptimeFault(started);
      upMs = atMs - started;
    } else {
      const answer = await server.uptime(uptimeQuery, freshFor(scrapeIntervalMs), keptMs);
      if ('fault' in answer) return this.#uptimeFault(answer);
      upMs = this.#read(answer);
    }
    if (upMs >= this.#idleAfterMs) return null;
    // Known to ten seconds, so that it is the same at the next asking.
    const since = Math.round((atMs - upMs) / 10_000) * 10_000;
    return {
      kept: `idle.prometheus: Prometheus itself runs only since about ${moment(since)}, and scale.idleAfter is ${seconds(this.#idleAfterMs)}`,
      kind: `up ${since}`,
      past: this.#judged.past,
      silent: false,
    };
  }

  /** Milliseconds. 1 says "all the time" when it says so twice: an uptime grows. */
  #read({ atMs, least }: Samples): number {
    if (least !== 1) {
      this.#oneAtMs = null;
      return least * 1000;
    }
    const before = this.#oneAtMs;
    this.#oneAtMs = Math.min(atMs, before ?? Infinity);
    return before !== null && before < atMs ? Infinity : 1000;
  }

  /** It is below at `atMs`: since when, as far as is known or matters. */
  async #belowSince(atMs: number): Promise<number> {
    const { past, silent } = this.#judged;
    if (past === null) return this.#lookBack(atMs);
    if (past.lastMs === -Infinity) return atMs;
    const goneMs = atMs - past.lastMs;
    const freshMs = freshFor(this.#config.scrapeIntervalMs);
    // Its clock was put back, or another replica answers.
    if (goneMs < 0) return goneMs < -freshMs ? atMs : Math.min(past.belowSinceMs, atMs);
    if (!silent) return goneMs <= freshMs ? past.belowSinceMs : this.#lookBack(atMs);
    // What it did not see while it was away it can't tell later, and shows old samples instead.
    return goneMs <= freshMs ? this.#lookBack(atMs) : atMs;
  }

  async #lookBack(atMs: number): Promise<number> {
    const { query, scrapeIntervalMs, threshold } = this.#config;
    const stepMs = Math.max(scrapeIntervalMs, Math.ceil(this.#idleAfterMs / MAX_STEPS));
    const back = Math.ceil(this.#idleAfterMs / stepMs);
    const steps = await this.#place.server.range(query, atMs, stepMs, back + 1, freshFor(scrapeIntervalMs));
    if ('fault' in steps) return atMs;
    let good = 0;
    while (good < steps.length) {
      const value = steps[steps.length - 1 - good];
      if (value === null || value === undefined || !(value < threshold)) break;
      good++;
    }
    // The last is now, which is below.
    return atMs - Math.max(0, good - 1) * stepMs;
  }

  #wait(ms: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (ms <= 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (whole: boolean): void => {
        cancel();
        signal.removeEventListener('abort', gone);
        resolve(whole);
      };
      const gone = (): void => end(false);
      const cancel = this.#deps.timers.setTimer(ms, () => end(true));
      signal.addEventListener('abort', gone);
    });
  }
}

const GIVEN_UP = 'idle.prometheus: it was not asked to the end';

function unasked(): Judged {
  return { kept: 'idle.prometheus: it has not been asked yet', kind: 'unasked', past: null, silent: false };
}

/** null: whoever waits has given up. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) return null;
  const aborted = Promise.withResolvers<null>();
  const gone = (): void => aborted.resolve(null);
  signal.addEventListener('abort', gone);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', gone);
  }
}
