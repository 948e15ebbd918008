/** The other end of the control socket, for commands. Every call is bounded and takes an AbortSignal; problems come back as DormouseErrors. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { DormouseError } from '../../model/errors.ts';
import type { BackendEvent, Status } from '../../model/status.ts';
import type { ControlLogLine, ReloadResult, WakeResult } from './control-target.ts';
import { errorOf } from './problem.ts';
import { findSocketPath } from './socket-path.ts';

/** A status of 5,000 backends has about 5 MB. */
const LONGEST_ANSWER_BYTES = 64 * 1024 * 1024;
const LONGEST_LINE_CHARS = 4 * 1024 * 1024;
const ANSWER_TIMEOUT_MS = 10_000;
/** Above the server's own longest wait. */
const LONGEST_WAIT_MS = 11 * 60_000;

export interface ControlClientOptions {
  stateDir: string;
  /** What DORMOUSE_NOT_RUNNING says; default: a sentence with the state folder. */
  notRunning?: string;
  /** For answers that should come at once. */
  timeoutMs?: number;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export class ControlClient {
  readonly #stateDir: string;
  readonly #notRunning: string;
  readonly #timeoutMs: number;

  constructor(options: ControlClientOptions) {
    this.#stateDir = options.stateDir;
    this.#notRunning =
      options.notRunning ?? `dormouse is not running for the state folder ${options.stateDir} (no control socket)`;
    this.#timeoutMs = options.timeoutMs ?? ANSWER_TIMEOUT_MS;
  }

  async status(options: CallOptions = {}): Promise<Status> {
    return (await this.#json('GET', '/v1/status', options, this.#timeoutMs)) as Status;
  }

  /** `waitMs: 0` does not wait. Without it, waits as long as the backend's wake.timeout lets it. */
  async wake(name: string, options: CallOptions & { waitMs?: number } = {}): Promise<WakeResult> {
    const query = options.waitMs === undefined ? '' : `?wait=${Math.max(0, Math.round(options.waitMs))}`;
    return (await this.#json(
      'POST',
      `/v1/backends/${encodeURIComponent(name)}/wake${query}`,
      options,
      LONGEST_WAIT_MS,
    )) as WakeResult;
  }

  async sleep(name: string, options: CallOptions = {}): Promise<void> {
    await this.#json('POST', `/v1/backends/${encodeURIComponent(name)}/sleep`, options, LONGEST_WAIT_MS);
  }

  async reload(options: CallOptions = {}): Promise<ReloadResult> {
    return (await this.#json('POST', '/v1/reload', options, 60_000)) as ReloadResult;
  }

  async traceToken(options: CallOptions = {}): Promise<string> {
    const answer = (await this.#json('GET', '/v1/trace-token', options, this.#timeoutMs)) as { token: string };
    return answer.token;
  }

  /** Ends when the program ends or the signal is aborted. */
  events(options: CallOptions & { onOpen?: () => void } = {}): AsyncGenerator<BackendEvent> {
    return this.#lines('/v1/events', options) as AsyncGenerator<BackendEvent>;
  }

  /** The last `lines` lines, oldest first, and with `follow` whatever comes. */
  logs(name: string, options: CallOptions & { lines?: number; follow?: boolean } = {}): AsyncGenerator<ControlLogLine> {
    const query = new URLSearchParams({ follow: String(options.follow ?? false) });
    if (options.lines !== undefined) query.set('lines', String(options.lines));
    return this.#lines(
      `/v1/backends/${encodeURIComponent(name)}/logs?${query}`,
      options,
    ) as AsyncGenerator<ControlLogLine>;
  }

  async #json(method: 'GET' | 'POST', path: string, options: CallOptions, timeoutMs: number): Promise<unknown> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
    try {
      const response = await this.#send(method, path, signal);
      const body = await readAll(response);
      if (response.statusCode! >= 300) throw errorOf(response.statusCode!, body);
      return JSON.parse(body);
    } catch (error) {
      if (deadline.aborted && options.signal?.aborted !== true) {
        throw new DormouseError(
          'DORMOUSE_CONTROL_TIMEOUT',
          `dormouse did not answer ${method} ${path} within ${timeoutMs} ms`,
          { cause: error },
        );
      }
      throw error;
    }
  }

  async *#lines(path: string, options: CallOptions & { onOpen?: () => void }): AsyncGenerator<unknown> {
    const signal = options.signal ?? new AbortController().signal;
    const response = await this.#send('GET', path, signal);
    if (response.statusCode! >= 300) throw errorOf(response.statusCode!, await readAll(response));
    options.onOpen?.();
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response) {
        const lines = (rest + (chunk as string)).split('\n');
        rest = lines.pop()!;
        if (rest.length > LONGEST_LINE_CHARS)
          throw new DormouseError('DORMOUSE_CONTROL_PROTOCOL', 'the control socket sent an endless line');
        for (const line of lines) yield JSON.parse(line) as unknown;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isConnectionLoss(error)) {
        throw new DormouseError(
          'DORMOUSE_CONTROL_LOST',
          'the connection to dormouse broke: it has ended, or this program read too slowly',
          { cause: error },
        );
      }
      throw error;
    } finally {
      response.destroy();
    }
  }

  async #send(method: 'GET' | 'POST', path: string, signal: AbortSignal): Promise<IncomingMessage> {
    signal.throwIfAborted();
    const socketPath = await findSocketPath(this.#stateDir);
    return new Promise((resolve, reject) => {
      // An agent of its own without keep-alive: a command's last call must not hold the process.
      const request = httpRequest({
        socketPath,
        method,
        path,
        signal,
        agent: new Agent({ keepAlive: false }),
        headers: { host: 'dormouse' },
      });
      request.once('response', resolve);
      request.once('error', (error) => reject(this.#connectError(error, socketPath)));
      request.end();
    });
  }

  #connectError(error: Error, socketPath: string): Error {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
      case 'ENOTDIR':
        return new DormouseError('DORMOUSE_NOT_RUNNING', this.#notRunning, { cause: error, userFault: true });
      case 'EACCES':
      case 'EPERM':
        return new DormouseError(
          'DORMOUSE_CONTROL_DENIED',
          `no right to open ${socketPath}; run this as the user that dormouse runs as`,
          {
            cause: error,
            userFault: true,
          },
        );
      case 'ECONNRESET':
      case 'EPIPE':
        return new DormouseError('DORMOUSE_CONTROL_LOST', 'the connection to dormouse broke before it had answered', {
          cause: error,
        });
      default:
        return error;
    }
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > LONGEST_ANSWER_BYTES)
      throw new DormouseError('DORMOUSE_CONTROL_PROTOCOL', 'the control socket sent an endless answer');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function isConnectionLoss(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}
