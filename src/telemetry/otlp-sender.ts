/** Posts to an OTLP/HTTP receiver, and tries again where the protocol says that this may help (OpenTelemetry Protocol Specification, OTLP/HTTP). */
import type { Agent } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

/** Answers after which the same may be sent again. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 5000;
const PAUSE_GROWS_BY = 1.5;

export interface OtlpSenderOptions {
  url: URL;
  headers: Readonly<Record<string, string>>;
  /** For one export with all its tries, ms. */
  withinMs: number;
  random(): number;
}

interface Outcome {
  /** '' when the receiver took it. */
  problem: string;
  retryable: boolean;
  /** Retry-After, ms; -1: none. */
  afterMs: number;
}

export class OtlpSender {
  readonly #options: OtlpSenderOptions;
  readonly #closing = new AbortController();
  #agent: Agent | null = null;

  constructor(options: OtlpSenderOptions) {
    this.#options = options;
  }

  /** Resolves when the receiver took it. Rejects with an Error that says why it did not, at the latest after `withinMs`, or when the sender is closed. */
  async send(json: Uint8Array): Promise<void> {
    const { withinMs, random } = this.#options;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(withinMs)]);
    const untilMs = performance.now() + withinMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_GROWS_BY)) {
      const { problem, retryable, afterMs } = await this.#post(json, signal);
      if (problem === '') return;
      const waitMs = afterMs >= 0 ? afterMs : pauseMs * (0.8 + 0.4 * random());
      if (!retryable || signal.aborted || performance.now() + waitMs >= untilMs) throw new Error(problem);
      try {
        await pause(waitMs, undefined, { signal });
      } catch {
        throw new Error(problem);
      }
    }
  }

  /** Gives up what is on its way. */
  close(): void {
    this.#closing.abort();
    this.#agent?.destroy();
  }

  async #post(json: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    const { url, headers } = this.#options;
    // Not by import: the modules' ESM face touches every part of node:http, which costs some 15 MB.
    const { request, Agent } = process.getBuiltinModule(url.protocol === 'https:' ? 'node:https' : 'node:http');
    // Idle connections of an agent don't keep the process alive.
    const agent = (this.#agent ??= new Agent({ keepAlive: true, maxSockets: 1 }));
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const failed = (error: NodeJS.ErrnoException): void => {
      const late = signal.aborted ? 'it did not answer in time' : error.code || error.message;
      resolve({ problem: late, retryable: !signal.aborted, afterMs: -1 });
    };
    try {
      const outgoing = request(
        url,
        {
          method: 'POST',
          agent,
          signal,
          headers: { ...headers, 'content-type': 'application/json', 'content-length': String(json.length) },
        },
        (response) => {
          // What it says is of no use; it is read so that the connection can be used again.
          response.on('error', () => {}).resume();
          const status = response.statusCode ?? 0;
          const problem = status >= 200 && status < 300 ? '' : `it answered ${status}`;
          const after = /^\d{1,6}$/.exec(response.headers['retry-after'] ?? '');
          resolve({
            problem,
            retryable: RETRYABLE.has(status),
            afterMs: after === null ? -1 : Number(after[0]) * 1000,
          });
        },
      );
      outgoing.on('error', failed);
      outgoing.end(json);
    } catch (error) {
      failed(error as Error);
    }
    return promise;
  }
}
