/**
 * One Prometheus, or what speaks as one, asked over its HTTP API. However many backends ask: a few requests at a time, a bounded number that wait, and
 * five seconds for each from the moment that it is asked for, so that an answer is never older than that. Nothing here rejects.
 */
import {
  errorOf,
  readSamples,
  readStart,
  readSteps,
  type Fault,
  type Samples,
  type Steps,
} from './prometheus-answer.ts';
import { seconds, type IdleDeps } from './idle-verdict.ts';

export const TIMEOUT_MS = 5000;
const AT_ONCE = 4;
const MAX_WAITING = 10_000;
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Answers that are used again for a moment: when it started, and what uptime queries gave. */
const MAX_KEPT = 1000;

/** Keys below idle.prometheus. */
const QUERY = 'query';
const UPTIME_QUERY = 'uptimeQuery';
const ADDRESS = 'serverAddress';

/** A connection that was kept from the last time may have been closed meanwhile. */
const STALE_CONNECTION: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

interface Request {
  path: string;
  /** null: GET. */
  form: Record<string, string> | null;
  /** The key that names the query in what is said. */
  key: string;
}

type Answer = { json: unknown } | (Fault & { status?: number });

interface Kept {
  /** When it was there; null: it is being asked for. */
  atMs: number | null;
  answer: Promise<unknown>;
}

export class PrometheusServer {
  /** Its address without user and password. */
  readonly shown: string;
  readonly #authorization: string | null;
  readonly #deps: IdleDeps;
  readonly #running = new Set<AbortController>();
  readonly #waiting = new Set<() => void>();
  readonly #kept = new Map<string, Kept>();
  #busy = 0;
  #silent = false;
  #closed = false;

  /** Throws an Error when the address is no URL. */
  constructor(address: string, deps: IdleDeps) {
    const url = URL.parse(address);
    if (url === null) throw new Error('serverAddress is not a URL: write http://host:9090');
    this.#deps = deps;
    const { username, password } = url;
    const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    this.#authorization = login === ':' ? null : `Basic ${Buffer.from(login).toString('base64')}`;
    this.shown = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  }

  close(): void {
    this.#closed = true;
    for (const controller of this.#running) controller.abort(new Error('nobody asks any more'));
    this.#kept.clear();
  }

  /** What a query gives now. `freshMs`: older samples don't count, for a server that takes `lookback_delta` (others take no notice of it). */
  async instant(query: string, freshMs: number, key = QUERY): Promise<Samples | Fault> {
    const form = { query, lookback_delta: decimal(freshMs), timeout: decimal(TIMEOUT_MS) };
    const answer = await this.#ask({ path: '/api/v1/query', form, key });
    return 'fault' in answer ? answer : readSamples(answer.json, key);
  }

  /** What an uptime query gives; an answer that came less than `keptMs` ago is used again. */
  uptime(query: string, freshMs: number, keptMs: number): Promise<Samples | Fault> {
    return this.#keep(`uptime ${query}`, keptMs, () => this.instant(query, freshMs, UPTIME_QUERY));
  }

  /** What a query gave at `count` steps of `stepMs`, the last at `endMs` of Prometheus' clock. */
  range(query: string, endMs: number, stepMs: number, count: number, freshMs: number): Promise<Steps | Fault> {
    const startMs = endMs - (count - 1) * stepMs;
    return this.#keep(`range ${endMs} ${stepMs} ${count} ${query}`, 0, async () => {
      const span = { start: decimal(startMs), end: decimal(endMs), step: decimal(stepMs) };
      const form = { query, ...span, lookback_delta: decimal(freshMs), timeout: decimal(TIMEOUT_MS) };
      const answer = await this.#ask({ path: '/api/v1/query_range', form, key: QUERY });
      return 'fault' in answer ? answer : readSteps(answer.json, QUERY, startMs, stepMs, count);
    });
  }

  /** When it started, ms by its own clock; 'unknown': it doesn't tell, as Thanos and Mimir don't. An answer that came less than `keptMs` ago is used again. */
  started(keptMs: number): Promise<number | 'unknown' | Fault> {
    return this.#keep('started', keptMs, async () => {
      const answer = await this.#ask({ path: '/api/v1/status/runtimeinfo', form: null, key: ADDRESS });
      if (!('fault' in answer)) return readStart(answer.json);
      return answer.status === 404 || answer.status === 405 || answer.status === 501 ? 'unknown' : answer;
    });
  }

  /** Who asks the same while it is being asked for gets the same answer. Faults are not kept. */
  #keep<T>(key: string, keptMs: number, ask: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(key);
    const { clock } = this.#deps;
    if (known !== undefined && (known.atMs === null || clock.nowMs() - known.atMs < keptMs))
      return known.answer as Promise<T>;
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!);
    const answer = ask();
    const kept: Kept = { atMs: null, answer };
    this.#kept.set(key, kept);
    void answer.then((value) => {
      kept.atMs = clock.nowMs();
      const fault = typeof value === 'object' && value !== null && 'fault' in value;
      if ((fault || keptMs === 0) && this.#kept.get(key) === kept) this.#kept.delete(key);
    });
    return answer;
  }

  async #ask(request: Request): Promise<Answer> {
    if (this.#closed) return { fault: 'nobody asks any more', silent: true };
    const controller = new AbortController();
    this.#running.add(controller);
    let timedOut = false;
    const cancel = this.#deps.timers.setTimer(TIMEOUT_MS, () => {
      timedOut = true;
      controller.abort(new Error('timeout'));
    });
    let answer: Answer;
    try {
      answer = await this.#inTurn(request, controller.signal);
    } catch (error) {
      const why = timedOut ? `within ${seconds(TIMEOUT_MS)}` : `(${reasonOf(error)})`;
      answer = silent(`does not answer ${why}: see that it runs and that ${ADDRESS} is right`);
    } finally {
      cancel();
      this.#running.delete(controller);
    }
    this.#note(answer);
    return answer;
  }

  async #inTurn(request: Request, signal: AbortSignal): Promise<Answer> {
    if (this.#busy >= AT_ONCE) {
      if (this.#waiting.size >= MAX_WAITING)
        return silent(`has ${MAX_WAITING} other queries waiting: use fewer or a longer scrapeInterval`);
      await this.#turn(signal);
    } else this.#busy++;
    try {
      return await this.#send(request, signal).catch((error: unknown) => {
        if (signal.aborted || !STALE_CONNECTION.has(codeOf(error))) throw error;
        return this.#send(request, signal);
      });
    } finally {
      const [next] = this.#waiting;
      // Whoever comes next takes over the place.
      if (next === undefined) this.#busy--;
      else next();
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(start);
        signal.removeEventListener('abort', gone);
      };
      const start = (): void => {
        leave();
        resolve();
      };
      const gone = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', gone);
      this.#waiting.add(start);
    });
  }

  async #send({ path, form, key }: Request, signal: AbortSignal): Promise<Answer> {
    const response = await this.#deps.fetch(`${this.shown}${path}`, {
      method: form === null ? 'GET' : 'POST',
      body: form === null ? null : new URLSearchParams(form),
      headers: {
        accept: 'application/json',
        'user-agent': 'dormouse',
        ...(this.#authorization === null ? {} : { authorization: this.#authorization }),
      },
      // A login page, or an address that nobody meant to be asked.
      redirect: 'manual',
      signal,
    });
    const { status } = response;
    const written = await readBody(response);
    if (written === null)
      return {
        fault: `the answer to ${key} is larger than 4 MiB: write one that gives fewer series, for example sum(…)`,
        silent: false,
      };
    const json = parsed(written);
    if (status >= 200 && status < 300) return { json };
    const error = errorOf(json);
    const said = error === null ? '' : ` (${error})`;
    if ((status === 400 || status === 422) && error !== null)
      return { fault: `it refuses ${key}${said}: correct it`, silent: false };
    return { ...silent(`answers ${status}${said}: ${ADVICE[status] ?? adviceFor(status)}`), status };
  }

  /** Told once when it falls silent and once when it is back, not for each query. */
  #note(answer: Answer): void {
    const isSilent = 'fault' in answer && answer.silent && answer.status !== 404;
    // It may be another one that comes back.
    if (isSilent) this.#kept.clear();
    if (isSilent === this.#silent || this.#closed) return;
    this.#silent = isSilent;
    const { logger } = this.#deps;
    const server = this.shown;
    if (isSilent) logger.warn(`Prometheus ${answer.fault}; what asks it stays awake`, { server });
    else logger.info('Prometheus answers again', { server });
  }
}

const ADVICE: Readonly<Record<number, string>> = {
  401: `give user and password in ${ADDRESS}, as in http://user:password@host:9090`,
  403: `see that dormouse may ask it`,
  404: `see that ${ADDRESS} is that of Prometheus' HTTP API, with its path`,
  429: 'use fewer queries or a longer scrapeInterval',
};

function adviceFor(status: number): string {
  return status >= 300 && status < 400
    ? `it sends to another address, give that as ${ADDRESS}`
    : 'its own log says more';
}

function silent(what: string): Fault {
  return { fault: what, silent: true };
}

/** null: it is too large. Rejects when it breaks off. */
async function readBody(response: Response): Promise<string | null> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    // Leaving the loop cancels the rest.
    if (bytes > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString();
}

/** undefined: it is no JSON. */
function parsed(written: string): unknown {
  try {
    return JSON.parse(written);
  } catch {
    return undefined;
  }
}

/** fetch says only "fetch failed"; what failed is its cause. */
function codeOf(error: unknown): unknown {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return typeof code === 'string' ? code : cause === undefined ? undefined : codeOf(cause);
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  if (typeof code === 'string') return code;
  const { cause } = error as { cause?: unknown };
  return cause instanceof Error ? reasonOf(cause) : error instanceof Error ? error.message : String(error);
}

/** Seconds with three digits, as the API takes times and durations. */
function decimal(ms: number): string {
  return (ms / 1000).toFixed(3);
}
