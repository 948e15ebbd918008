/**
 * The control socket: HTTP/1.1 with JSON on a unix socket in the state folder. Who may open the file (mode 0600 in a folder of 0700) may do everything,
 * so there are no tokens here. Requests carry no body; errors are problem+json.
 *
 *   GET  /v1/status
 *   POST /v1/backends/{name}/wake?wait=MS    waits until it is awake; wait=0 does not wait (202)
 *   POST /v1/backends/{name}/sleep
 *   GET  /v1/backends/{name}/logs?lines=N&follow=true    JSON lines
 *   GET  /v1/events    JSON lines
 *   POST /v1/reload
 *   /admin/v1/…    the admin API (apis/admin), whose requests may carry bodies
 *   GET  /v1/trace-token    who sends it in `x-dormouse-trace` is told the times of his request
 */
import { chmod, rm } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { DormouseError } from '../../model/errors.ts';
import { silentLogger, systemClock, type Clock, type Logger } from '../../model/ports.ts';
import type { ControlTarget, WakeResult } from './control-target.ts';
import { LineStream, SLOW_CLIENT_BYTES } from './line-stream.ts';
import { nearestName } from '../../model/nearest-name.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';
import { prepareSocketPath, removeSocketPath } from './socket-path.ts';

// Not by import: the module's ESM face touches every part of node:http, and costs the supervisor 8 MB.
const { createServer } = process.getBuiltinModule('node:http');

const MOST_CONNECTIONS = 64;
const LONGEST_BODY_BYTES = 64 * 1024;
/** Longer waits are cut to this; a backend's own wake.timeout ends most of them earlier. */
const LONGEST_WAIT_MS = 10 * 60_000;
const MOST_LOG_LINES = 100_000;
const DEFAULT_LOG_LINES = 100;

export interface ControlServerOptions {
  /** Made with mode 0700 when it is not there. */
  stateDir: string;
  target: ControlTarget;
  logger?: Logger;
  clock?: Clock;
  /** What answers requests below /admin, bodies and all. */
  admin?: { serve(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> };
  /** Where the socket goes when the state folder's path is too long for one. */
  temporaryDir?: string;
  /** Unread bytes at which a client of a stream is cut off. */
  slowClientBytes?: number;
}

export class ControlServer {
  readonly #stateDir: string;
  readonly #target: ControlTarget;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #admin: ControlServerOptions['admin'];
  readonly #temporaryDir: string | undefined;
  readonly #slowClientBytes: number;
  readonly #server: Server;
  /** Ends waits and streams on close. */
  readonly #closing = new AbortController();
  #path: string | null = null;

  constructor(options: ControlServerOptions) {
    this.#stateDir = options.stateDir;
    this.#target = options.target;
    this.#logger = options.logger ?? silentLogger;
    this.#clock = options.clock ?? systemClock;
    this.#admin = options.admin;
    this.#temporaryDir = options.temporaryDir;
    this.#slowClientBytes = options.slowClientBytes ?? SLOW_CLIENT_BYTES;
    this.#server = createServer({
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 1000,
      maxHeaderSize: 16 * 1024,
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('request', (request, response) => void this.#serve(request, response));
  }

  /** The socket's path; null before `start`. */
  get path(): string | null {
    return this.#path;
  }

  /** Listens. A socket that a killed program left is removed. Throws DORMOUSE_ALREADY_RUNNING, DORMOUSE_CONTROL_SOCKET. */
  async start(): Promise<void> {
    const path = await prepareSocketPath(this.#stateDir, this.#temporaryDir);
    if (await answers(path)) {
      throw new DormouseError(
        'DORMOUSE_ALREADY_RUNNING',
        `another dormouse answers at ${path}; end it first, or set another stateDir`,
        {
          userFault: true,
        },
      );
    }
    try {
      await rm(path, { force: true });
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(path, () => {
          this.#server.off('error', reject);
          resolve();
        });
      });
      await chmod(path, 0o600);
    } catch (error) {
      throw new DormouseError(
        'DORMOUSE_CONTROL_SOCKET',
        `cannot listen on ${path}: ${(error as Error).message}; check stateDir and its rights`,
        {
          cause: error,
          userFault: true,
        },
      );
    }
    this.#server.on('error', (error) => this.#logger.warn('control socket', { error: error.message }));
    this.#path = path;
  }

  /** Ends streams and waits, and removes the socket. */
  async close(): Promise<void> {
    this.#closing.abort(new DormouseError('DORMOUSE_STOPPING', 'dormouse is stopping'));
    if (this.#path === null) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // What was answered gets a moment to go out; then the rest is cut.
    const cut = setTimeout(() => this.#server.closeAllConnections(), 500);
    this.#server.closeIdleConnections();
    await closed;
    clearTimeout(cut);
    await removeSocketPath(this.#stateDir, this.#path);
    this.#path = null;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#admin !== undefined && request.url?.startsWith('/admin/') === true && !this.#closing.signal.aborted) {
      await this.#admin.serve(request, response, request.url.slice('/admin'.length));
      return;
    }
    response.on('error', () => {});
    request.on('error', () => {});
    const ended = new AbortController();
    const onClosing = (): void => ended.abort(this.#closing.signal.reason);
    this.#closing.signal.addEventListener('abort', onClosing, { once: true });
    response.once('close', () => {
      this.#closing.signal.removeEventListener('abort', onClosing);
      ended.abort(new DormouseError('DORMOUSE_CONTROL_CLIENT_GONE', 'the client of the control socket went away'));
    });
    if (this.#closing.signal.aborted) onClosing();
    try {
      await drainBody(request);
      await this.#route(request, response, ended.signal);
    } catch (error) {
      if (!(error instanceof DormouseError)) {
        this.#logger.error('control request failed', { method: request.method, path: request.url, error });
      }
      const problem = problemOf(error);
      if (response.headersSent) response.destroy();
      else {
        if (problem.status === 413) response.setHeader('connection', 'close');
        answer(response, problem.status, problem, PROBLEM_TYPE);
      }
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://dormouse');
    if (url.pathname === '/v1/status') {
      requireMethod(request, 'GET');
      return answer(response, 200, await this.#target.status());
    }
    if (url.pathname === '/v1/events') {
      requireMethod(request, 'GET');
      return this.#stream(response, signal, (send) => this.#target.onEvent(send));
    }
    if (url.pathname === '/v1/reload') {
      requireMethod(request, 'POST');
      return answer(response, 200, await this.#target.reload());
    }
    if (url.pathname === '/v1/trace-token') {
      requireMethod(request, 'GET');
      return answer(response, 200, { token: this.#target.traceToken() });
    }
    const backend = /^\/v1\/backends\/([^/]+)\/(wake|sleep|logs)$/.exec(url.pathname);
    if (backend === null) {
      throw new DormouseError('DORMOUSE_CONTROL_PATH', `the control socket has no ${url.pathname.slice(0, 100)}`, {
        userFault: true,
      });
    }
    const name = this.#knownName(backend[1]!);
    switch (backend[2]) {
      case 'wake':
        requireMethod(request, 'POST');
        return this.#wake(name, numberIn(url, 'wait', LONGEST_WAIT_MS, LONGEST_WAIT_MS), response, signal);
      case 'sleep':
        requireMethod(request, 'POST');
        await this.#target.sleep(name, signal);
        return answer(response, 200, { name });
      default: {
        requireMethod(request, 'GET');
        const lines = numberIn(url, 'lines', DEFAULT_LOG_LINES, MOST_LOG_LINES);
        const follow = url.searchParams.get('follow') === 'true';
        return this.#logs(name, lines, follow, response, signal);
      }
    }
  }

  async #wake(name: string, waitMs: number, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const began = this.#clock.nowMs();
    const result = (awake: boolean): WakeResult => ({
      name,
      awake,
      tookMs: Math.round((this.#clock.nowMs() - began) * 1000) / 1000,
    });
    // The wake itself goes on when this client has gone or does not wait; only the waiting ends.
    const woken = this.#target.wake(name, this.#closing.signal);
    woken.catch(() => {});
    if (waitMs === 0) return answer(response, 202, result(false));
    const patience = AbortSignal.any([signal, AbortSignal.timeout(waitMs)]);
    const awake = await new Promise<boolean>((resolve, reject) => {
      const giveUp = (): void => (this.#closing.signal.aborted ? reject(this.#closing.signal.reason) : resolve(false));
      patience.addEventListener('abort', giveUp, { once: true });
      woken.then(
        () => resolve(true),
        (error) => reject(error),
      );
    });
    answer(response, awake ? 200 : 202, result(awake));
  }

  #logs(name: string, lines: number, follow: boolean, response: ServerResponse, signal: AbortSignal): void {
    const past = lines === 0 ? [] : this.#target.logs(name, lines);
    if (!follow) {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.end(past.map((line) => `${JSON.stringify(line)}\n`).join(''));
      return;
    }
    // Lines of the past are no fault of the client's slowness: they come on top of its bound.
    const pastBytes = past.reduce((sum, line) => sum + line.text.length * 4 + 200, 0);
    this.#stream(
      response,
      signal,
      (send) => {
        for (const line of past) send(line);
        return this.#target.onLog(name, send);
      },
      this.#slowClientBytes + pastBytes,
    );
  }

  #stream(
    response: ServerResponse,
    signal: AbortSignal,
    open: (send: (value: unknown) => void) => () => void,
    limitBytes = this.#slowClientBytes,
  ): void {
    const stream = new LineStream(response, limitBytes);
    const stop = open((value) => void stream.write(value));
    const end = (): void => {
      stop();
      stream.end();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  }

  #knownName(raw: string): string {
    let name = raw;
    try {
      name = decodeURIComponent(raw);
    } catch {
      // Not encoded properly: then it is no name either.
    }
    const names = this.#target.backendNames();
    if (names.includes(name)) return name;
    const shown = name.slice(0, 100);
    const nearest = nearestName(name, names);
    const hint =
      nearest === null
        ? names.length === 0
          ? 'there are none'
          : 'dormouse status lists them'
        : `did you mean "${nearest}"?`;
    throw new DormouseError('DORMOUSE_BACKEND_UNKNOWN', `there is no backend "${shown}"; ${hint}`, { userFault: true });
  }
}

function requireMethod(request: IncomingMessage, method: 'GET' | 'POST'): void {
  if (request.method === method) return;
  throw new DormouseError('DORMOUSE_CONTROL_METHOD', `${request.url?.slice(0, 100)} takes ${method} only`, {
    userFault: true,
  });
}

function numberIn(url: URL, name: string, otherwise: number, most: number): number {
  const text = url.searchParams.get(name);
  if (text === null) return otherwise;
  if (!/^\d{1,12}$/.test(text)) {
    throw new DormouseError('DORMOUSE_CONTROL_QUERY', `${name}=${text.slice(0, 50)} is not a whole number`, {
      userFault: true,
    });
  }
  return Math.min(Number(text), most);
}

function answer(response: ServerResponse, status: number, body: unknown, type = 'application/json'): void {
  if (response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(text);
}

/** No request needs a body: a short one is read and forgotten, a long one refused. */
async function drainBody(request: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    if (bytes > LONGEST_BODY_BYTES) {
      throw new DormouseError('DORMOUSE_CONTROL_BODY', `the control socket takes at most ${LONGEST_BODY_BYTES} bytes`, {
        userFault: true,
      });
    }
  }
}

/** Whether a living program accepts at this socket; a file that a killed one left refuses. Bounded: 1 s. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.setTimeout(1000);
    const decide = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.once('connect', () => decide(true));
    socket.once('timeout', () => decide(true));
    socket.once('error', () => decide(false));
  });
}
