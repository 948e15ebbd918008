/** One request to the API server, until it is answered: bounded in time and size, repeated where that can do no harm. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { DormouseError } from '../model/errors.ts';
import type { RandomSource } from '../model/ports.ts';
import { isTlsFault } from '../tls/tls-fault.ts';
import { failureOf, subjectOf, type Asked } from './api-failure.ts';
import type { ApiError } from './api-error.ts';
import { backoffMs } from './backoff.ts';
import { BoundedSignal } from './bounded-signal.ts';
import { readBody, type Connection, type Exchange } from './connection.ts';

export interface Request extends Pick<Exchange, 'method' | 'path' | 'body' | 'contentType'> {
  asked: Omit<Asked, 'source'>;
  /** Whether twice is as good as once. What the server certainly hasn't done is repeated anyway. */
  idempotent: boolean;
  maxBytes?: number;
  signal?: AbortSignal | undefined;
}

export interface Answer {
  status: number;
  body: Buffer;
  /** A try before this one may have been done although no answer came. */
  maybeDoneBefore: boolean;
}

/** Plain counters. */
export interface RequestCounts {
  reads: number;
  writes: number;
  watches: number;
  repeats: number;
  failures: number;
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;
const MAX_ERROR_BYTES = 1024 * 1024;
const TRIES = 3;
const BACKOFF_MS = { first: 100, longest: 5000 };
/** The request has not left this machine. */
const NOT_SENT =
  /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ECONNABORTED|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT)$/;

export class Requester {
  readonly counts: RequestCounts = { reads: 0, writes: 0, watches: 0, repeats: 0, failures: 0 };
  readonly #connection: Connection;
  readonly #source: string;
  readonly #server: string;
  readonly #timeoutMs: number;
  readonly #random: RandomSource;

  constructor(
    connection: Connection,
    options: { source: string; server: string; timeoutMs: number; random: RandomSource },
  ) {
    this.#connection = connection;
    this.#source = options.source;
    this.#server = options.server;
    this.#timeoutMs = options.timeoutMs;
    this.#random = options.random;
  }

  /** Rejects with ApiError, with DORMOUSE_API_UNREACHABLE, with DORMOUSE_API_ANSWER (too large), or with the reason of `signal`. */
  async request(request: Request): Promise<Answer> {
    const { signal } = request;
    if (request.method === 'GET') this.counts.reads += 1;
    else this.counts.writes += 1;
    const timer = new BoundedSignal(signal, this.#timeoutMs);
    try {
      return await this.#untilAnswered(request, timer);
    } catch (error) {
      this.counts.failures += 1;
      throw signal?.aborted === true ? signal.reason : error;
    } finally {
      timer.end();
    }
  }

  async #untilAnswered(request: Request, timer: BoundedSignal): Promise<Answer> {
    const asked = { ...request.asked, source: this.#source };
    let maybeDone = false;
    let freshCredentials = false;
    for (let tries = 1; ; tries += 1) {
      let failure: ApiError | DormouseError;
      let waitMs = backoffMs(tries - 1, BACKOFF_MS.first, BACKOFF_MS.longest, this.#random);
      try {
        const response = await this.#connection.exchange({ ...request, signal: timer.signal, freshCredentials });
        const success = response.statusCode < 300;
        const body = await readBody(response.body, success ? (request.maxBytes ?? MAX_BODY_BYTES) : MAX_ERROR_BYTES);
        if (success) {
          if (body === null) throw tooLarge(asked, request.maxBytes ?? MAX_BODY_BYTES);
          return { status: response.statusCode, body, maybeDoneBefore: maybeDone };
        }
        const answer = failureOf(asked, response.statusCode, body ?? Buffer.alloc(0), retryAfterOf(response));
        if (answer.status === 404 && maybeDone && request.method === 'DELETE')
          return { status: 404, body: Buffer.alloc(0), maybeDoneBefore: true };
        if (answer.status === 401 && !freshCredentials) {
          // The token may have been replaced within the last minute.
          freshCredentials = true;
          tries -= 1;
          continue;
        }
        // With 429 nothing was done; the API server's 503 with Retry-After says the same.
        const notDone = answer.status === 429 || (answer.status === 503 && answer.retryAfterMs > 0);
        if (!notDone && !(answer.status >= 500 && request.idempotent)) throw answer;
        maybeDone ||= !notDone;
        waitMs = Math.max(waitMs, answer.retryAfterMs);
        failure = answer;
      } catch (error) {
        if (error instanceof DormouseError) throw error;
        const code = codeOf(error);
        failure = this.#unreachable(asked, error, timer);
        if (timer.over || isTlsFault(code) || !(request.idempotent || NOT_SENT.test(code))) throw failure;
        maybeDone ||= !NOT_SENT.test(code);
      }
      if (tries >= TRIES || waitMs >= timer.leftMs()) throw failure;
      this.counts.repeats += 1;
      await pause(waitMs, undefined, { signal: timer.signal }).catch(() => {
        throw failure;
      });
    }
  }

  /** The body of a watch, which goes on until `signal` aborts or the server ends it. The head is waited for as long as for any request. */
  async watch(asked: Omit<Asked, 'source'>, path: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    this.counts.watches += 1;
    const timer = new BoundedSignal(signal, this.#timeoutMs);
    const whole = { ...asked, source: this.#source };
    try {
      for (let fresh = false; ; fresh = true) {
        const response = await this.#connection.exchange({
          method: 'GET',
          path,
          signal: timer.signal,
          longLived: true,
          freshCredentials: fresh,
        });
        if (response.statusCode === 200) {
          timer.liftBound();
          return endingTimer(response.body, timer);
        }
        const body = (await readBody(response.body, MAX_ERROR_BYTES)) ?? Buffer.alloc(0);
        const failure = failureOf(whole, response.statusCode, body, retryAfterOf(response));
        if (failure.status !== 401 || fresh) throw failure;
      }
    } catch (error) {
      this.counts.failures += 1;
      timer.end();
      if (signal.aborted) throw signal.reason;
      throw error instanceof DormouseError ? error : this.#unreachable(whole, error, timer);
    }
  }

  #unreachable(asked: Asked, error: unknown, timer: BoundedSignal): DormouseError {
    const code = codeOf(error);
    const reason = timer.over
      ? `no answer within ${this.#timeoutMs} ms`
      : (error as Error).message || code || 'the connection broke';
    const next = isTlsFault(code)
      ? `look at the certificates of ${this.#source}`
      : `see whether ${this.#server} is the API server and is reached from here`;
    return new DormouseError('DORMOUSE_API_UNREACHABLE', `${subjectOf(asked)}: ${reason}; ${next}`, { cause: error });
  }
}

async function* endingTimer(body: AsyncIterable<Buffer>, timer: BoundedSignal): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } finally {
    timer.end();
  }
}

function codeOf(error: unknown): string {
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  if (typeof code === 'string' && code !== 'UND_ERR_SOCKET') return code;
  return typeof cause === 'object' && cause !== null ? codeOf(cause) : String(code ?? '');
}

function retryAfterOf(response: Dispatcher.ResponseData): string | undefined {
  const value = response.headers['retry-after'];
  return Array.isArray(value) ? value[0] : value;
}

function tooLarge(asked: Asked, maxBytes: number): DormouseError {
  return new DormouseError(
    'DORMOUSE_API_ANSWER',
    `${subjectOf(asked)}: the answer is larger than ${maxBytes} bytes; choose fewer objects by namespace or label`,
  );
}
