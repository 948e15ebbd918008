/** The other end of the admin API, for commands: over the control socket, or over TCP with a token. Problems come back as DormouseErrors. */
import { randomUUID } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { DormouseError } from '../../model/errors.ts';
import { isLoopback } from '../../model/loopback.ts';
import { errorOf } from '../control/problem.ts';
import { findSocketPath } from '../control/socket-path.ts';
import type { BackendView, Removal } from './admin-target.ts';

const LONGEST_ANSWER_BYTES = 64 * 1024 * 1024;
/** A change reads the whole configuration anew; on a cluster it waits for objects to go. */
const ANSWER_MS = 180_000;
const PER_PAGE = 1000;
/** A creation whose answer was lost is asked for again, with the same key. */
const MOST_TRIES = 3;

export type AdminPlace =
  /** `notRunning`: what is said when nobody listens. */
  | { kind: 'socket'; stateDir: string; notRunning: string }
  | {
      kind: 'tcp';
      url: URL;
      token: string;
      /** PEM. */
      ca: Buffer | null;
      cert: Buffer | null;
      key: Buffer | null;
    };

export interface BackendPage {
  items: BackendView[];
  next: string | null;
  /** What the API works on. */
  on: 'machine' | 'cluster';
}

export class AdminClient {
  readonly #place: AdminPlace;
  readonly #timeoutMs: number;

  /** `timeoutMs`: for each answer. */
  constructor(place: AdminPlace, timeoutMs = ANSWER_MS) {
    this.#place = place;
    this.#timeoutMs = timeoutMs;
  }

  get isLocal(): boolean {
    return this.#place.kind === 'socket';
  }

  /** All of them. */
  async list(): Promise<{ items: BackendView[]; on: 'machine' | 'cluster' }> {
    const items: BackendView[] = [];
    let after = '';
    for (;;) {
      const page = (await this.#json('GET', `/v1/backends?limit=${PER_PAGE}${after}`)) as BackendPage;
      items.push(...page.items);
      if (page.next === null) return { items, on: page.on };
      after = `&after=${encodeURIComponent(page.next)}`;
    }
  }

  async on(): Promise<'machine' | 'cluster'> {
    return ((await this.#json('GET', '/v1/backends?limit=1')) as BackendPage).on;
  }

  async get(name: string, namespace: string): Promise<BackendView> {
    return (await this.#json('GET', pathOf(name, namespace))) as BackendView;
  }

  async create(body: Record<string, unknown>): Promise<BackendView> {
    const headers = { 'idempotency-key': randomUUID() };
    for (let tries = 1; ; tries++) {
      try {
        return (await this.#json('POST', '/v1/backends', body, headers)) as BackendView;
      } catch (error) {
        const isLost = error instanceof DormouseError && error.code === 'DORMOUSE_CONTROL_LOST';
        if (!isLost || tries === MOST_TRIES) throw error;
      }
    }
  }

  async replace(name: string, namespace: string, spec: Record<string, unknown>): Promise<BackendView> {
    return (await this.#json('PUT', pathOf(name, namespace), spec)) as BackendView;
  }

  async patch(name: string, namespace: string, patch: Record<string, unknown>): Promise<BackendView> {
    const headers = { 'content-type': 'application/merge-patch+json' };
    return (await this.#json('PATCH', pathOf(name, namespace), patch, headers)) as BackendView;
  }

  async remove(name: string, namespace: string): Promise<Removal> {
    return (await this.#json('DELETE', pathOf(name, namespace))) as Removal;
  }

  /** `until`: RFC 3339; null: takes it back. */
  async keepAwake(name: string, namespace: string, until: string | null): Promise<{ awakeUntil: string | null }> {
    const path = pathOf(name, namespace, '/awake');
    const answer = until === null ? await this.#json('DELETE', path) : await this.#json('PUT', path, { until });
    return answer as { awakeUntil: string | null };
  }

  async #json(
    method: string,
    path: string,
    body?: Record<string, unknown>,
    headers: Record<string, string> = {},
  ): Promise<unknown> {
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const text = body === undefined ? undefined : JSON.stringify(body);
    try {
      const response = await this.#send(method, path, text, headers, deadline);
      const answer = await readAll(response);
      if (response.statusCode! >= 300) throw errorOf(response.statusCode!, answer);
      return JSON.parse(answer);
    } catch (error) {
      if (!deadline.aborted) throw error instanceof SyntaxError ? noApi() : error;
      throw new DormouseError(
        'DORMOUSE_CONTROL_TIMEOUT',
        `the admin API did not answer ${method} ${path} within ${this.#timeoutMs} ms`,
        { cause: error },
      );
    }
  }

  async #send(
    method: string,
    path: string,
    text: string | undefined,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const place = this.#place;
    const own: Record<string, string> = {
      ...(text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
      ...headers,
    };
    const { options, start } = await connectionTo(place, path, own);
    return new Promise((resolve, reject) => {
      const request = start({ ...options, method, signal });
      request.once('response', resolve);
      request.once('error', (error) => reject(connectError(error, place)));
      request.end(text);
    });
  }
}

type Start = (options: RequestOptions) => ReturnType<typeof httpRequest>;

async function connectionTo(
  place: AdminPlace,
  path: string,
  headers: Record<string, string>,
): Promise<{ options: RequestOptions; start: Start }> {
  if (place.kind === 'socket') {
    const socketPath = await findSocketPath(place.stateDir);
    const options = { socketPath, path: `/admin${path}`, headers: { ...headers, host: 'dormouse' } };
    return { options: { ...options, agent: new Agent({ keepAlive: false }) }, start: httpRequest };
  }
  const { url, token, ca, cert, key } = place;
  const options = {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
    path: `${url.pathname.replace(/\/$/, '')}${path}`,
    headers: { ...headers, host: url.host, authorization: `Bearer ${token}` },
  };
  if (url.protocol === 'http:') return { options: { ...options, agent: false }, start: httpRequest };
  const { request } = await import('node:https');
  const secure = {
    ...(ca === null ? {} : { ca }),
    ...(cert === null ? {} : { cert }),
    ...(key === null ? {} : { key }),
  };
  return { options: { ...options, ...secure, agent: false } as RequestOptions, start: request as Start };
}

/** `http://` alone on this machine: a token would be read by everybody on the way. Throws DORMOUSE_USAGE. */
export function apiUrl(text: string): URL {
  const wrong = (why: string): DormouseError =>
    new DormouseError('DORMOUSE_USAGE', `the address of the admin API ${why}`, { userFault: true });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong('is no URL; write https://HOST:PORT');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw wrong('begins with https:// or http://');
  if (url.username !== '' || url.password !== '') throw wrong('has a password in it; give a token with --token-file');
  if (url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[|\]$/g, '')))
    throw wrong('is http:// of another machine, which would send the token unencrypted; write https://');
  return url;
}

function pathOf(name: string, namespace: string, action = ''): string {
  const query = namespace === '' ? '' : `?namespace=${encodeURIComponent(namespace)}`;
  return `/v1/backends/${encodeURIComponent(name)}${action}${query}`;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (bytes > LONGEST_ANSWER_BYTES) throw noApi();
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function noApi(): DormouseError {
  return new DormouseError('DORMOUSE_CONTROL_PROTOCOL', 'what answers there is not the admin API; check its address');
}

function connectError(error: Error, place: AdminPlace): Error {
  const { code } = error as NodeJS.ErrnoException;
  const fault = (kind: `DORMOUSE_${string}`, message: string): DormouseError =>
    new DormouseError(kind, message, { cause: error, userFault: true });
  if (place.kind === 'socket') {
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR')
      return fault('DORMOUSE_NOT_RUNNING', place.notRunning);
    if (code === 'EACCES' || code === 'EPERM')
      return fault(
        'DORMOUSE_CONTROL_DENIED',
        'no right to open the control socket; run this as the user that dormouse runs as',
      );
  }
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return fault('DORMOUSE_CONTROL_LOST', 'the connection to dormouse broke before it had answered');
  if (place.kind === 'tcp' && code !== undefined && code !== 'ABORT_ERR')
    return fault('DORMOUSE_NOT_RUNNING', `the admin API at ${place.url.origin} can't be reached: ${error.message}`);
  return error;
}
