/** HTTP to one API server: pools of connections that are made anew when certificates rotate, credentials on each request. */
import { Pool, type Dispatcher } from 'undici';
import { DormouseError } from '../model/errors.ts';
import type { ClusterConfig, Credentials } from './cluster-config.ts';
import { resettingConnector } from './connector.ts';

export interface Exchange {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query. */
  path: string;
  /** JSON. */
  body?: string;
  contentType?: string;
  signal: AbortSignal;
  /** A watch: its answer comes for minutes, and it must not take a request's connection. */
  longLived?: boolean;
  /** Reads credentials from their files again. */
  freshCredentials?: boolean;
}

export interface ConnectionOptions {
  userAgent: string;
  /** At most this many requests at once; the next wait. */
  connections: number;
  /** At most this many watches at once. */
  watchConnections: number;
  connectTimeoutMs: number;
}

interface Pools {
  revision: number;
  requests: Pool;
  watches: Pool;
}

export class Connection {
  readonly #config: ClusterConfig;
  readonly #options: ConnectionOptions;
  readonly #origin: string;
  /** What a proxy in front of the API server wants before each path. */
  readonly #prefix: string;
  #pools: Pools | null = null;
  #closed = false;

  constructor(config: ClusterConfig, options: ConnectionOptions) {
    this.#config = config;
    this.#options = options;
    const url = new URL(config.server);
    this.#origin = url.origin;
    this.#prefix = url.pathname === '/' ? '' : url.pathname;
  }

  /** Resolves with the head of the answer, whatever its status. Rejects with what the signal or the socket says, or DormouseError of the credentials. */
  async exchange(exchange: Exchange): Promise<Dispatcher.ResponseData> {
    const credentials = await this.#config.credentials(exchange.freshCredentials);
    exchange.signal.throwIfAborted();
    const pools = this.#poolsFor(credentials);
    const headers: Record<string, string | string[]> = {
      accept: 'application/json',
      'user-agent': this.#options.userAgent,
    };
    if (credentials.token !== null) headers['authorization'] = `Bearer ${credentials.token}`;
    if (exchange.body !== undefined) headers['content-type'] = exchange.contentType ?? 'application/json';
    const { impersonate } = this.#config;
    if (impersonate !== undefined) {
      headers['impersonate-user'] = impersonate.user;
      if (impersonate.groups.length > 0) headers['impersonate-group'] = [...impersonate.groups];
    }
    return await (exchange.longLived === true ? pools.watches : pools.requests).request({
      method: exchange.method,
      path: this.#prefix + exchange.path,
      headers,
      body: exchange.body ?? null,
      signal: exchange.signal,
    });
  }

  #poolsFor({ tls, tlsRevision }: Credentials): Pools {
    if (this.#closed) throw new DormouseError('DORMOUSE_API_UNREACHABLE', 'the client of the API server was closed');
    if (this.#pools?.revision === tlsRevision) return this.#pools;
    const { connections, watchConnections, connectTimeoutMs } = this.#options;
    const connect = resettingConnector({
      timeout: connectTimeoutMs,
      rejectUnauthorized: !tls.insecure,
      ...(tls.ca === null ? {} : { ca: tls.ca }),
      ...(tls.cert === null || tls.key === null ? {} : { cert: tls.cert, key: tls.key }),
      ...(tls.serverName === null ? {} : { servername: tls.serverName }),
    });
    // Timeouts of head and body are those of the signal. The API server keeps an idle connection for 90 s or longer.
    const pool = (bound: number): Pool =>
      new Pool(this.#origin, {
        connections: bound,
        allowH2: false,
        headersTimeout: 0,
        bodyTimeout: 0,
        keepAliveTimeout: 30_000,
        keepAliveMaxTimeout: 60_000,
        connect,
      });
    const before = this.#pools;
    this.#pools = { revision: tlsRevision, requests: pool(connections), watches: pool(watchConnections) };
    // What is under way on them ends of itself: a watch within its ten minutes.
    if (before !== null) void Promise.allSettled([before.requests.close(), before.watches.close()]);
    return this.#pools;
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    const pools = this.#pools;
    this.#pools = null;
    if (pools !== null) await Promise.allSettled([pools.requests.destroy(), pools.watches.destroy()]);
  }
}

/** The whole body, or null when it is longer than `maxBytes` (the connection is given up then). */
export async function readBody(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += (chunk as Buffer).length;
    if (size > maxBytes) return null;
    chunks.push(chunk as Buffer);
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size);
}
