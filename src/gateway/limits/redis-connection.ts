/**
 * One connection to a Redis, with a circuit: whoever asks waits at most its time; when the Redis is gone or hangs the connection is thrown away, from then
 * on everybody is told so at once, and a new connection is tried now and then. The client library is loaded when the first connection is made.
 */
import { createHash } from 'node:crypto';
import type { Logger } from '../../model/ports.ts';
import type { SourceTimers } from './supervisor-source.ts';
import { TAKE_SCRIPT } from './redis-script.ts';

/** A connection that isn't there after this is given up, ms: TCP, TLS, password. */
const CONNECT_MS = 2000;
/** Between two tries while the Redis is gone, ms. */
const RETRY_MS = 1000;
/** Commands under way; beyond it nobody is asked. */
const MAX_COMMANDS = 10_000;
const SHA = createHash('sha1').update(TAKE_SCRIPT).digest('hex');

/** What is used of the library's client. */
interface Client {
  connect(): Promise<unknown>;
  sendCommand(args: string[]): Promise<unknown>;
  destroy(): void;
  on(event: 'error' | 'end', listener: (error?: unknown) => void): unknown;
}

type State =
  /** Nobody has been told yet that it is gone: askers wait for it. */
  { kind: 'connecting' } | { kind: 'up'; client: Client } | { kind: 'down' } | { kind: 'closed' };

export class RedisConnection {
  readonly #url: string;
  /** Without the password. */
  readonly #address: string;
  readonly #logger: Logger;
  readonly #timers: SourceTimers;
  #state: State = { kind: 'connecting' };
  /** Those that wait for the first connection. */
  #waiting: ((client: Client | null) => void)[] = [];
  #commands = 0;
  #client: Client | null = null;
  #cancelRetry: (() => void) | null = null;
  /** Commands and connections that failed or took too long. */
  errors = 0;
  /** Commands that were sent. */
  calls = 0;

  constructor(url: string, deps: { logger: Logger; timers: SourceTimers }) {
    this.#url = url;
    this.#address = addressOf(url);
    this.#logger = deps.logger;
    this.#timers = deps.timers;
    void this.#connect();
  }

  get ready(): boolean {
    return (
      (this.#state.kind === 'up' || this.#state.kind === 'connecting') &&
      this.#commands + this.#waiting.length < MAX_COMMANDS
    );
  }

  /** The script's answer; null when there was none within `timeoutMs` (for the first connection: 2 s). Never rejects. */
  async take(key: string, args: readonly number[], timeoutMs: number): Promise<[number, number, number] | null> {
    const client = this.#state.kind === 'up' ? this.#state.client : await this.#first();
    if (client === null) return null;
    this.calls++;
    this.#commands++;
    const { promise: timeout, resolve: expire } = Promise.withResolvers<'timeout'>();
    const cancel = this.#timers.later(timeoutMs, () => expire('timeout'));
    try {
      const reply = await Promise.race([this.#evaluate(client, key, args), timeout]);
      if (reply !== 'timeout') {
        if (isAnswer(reply)) return reply;
        throw new Error('its answer to the script is not three numbers');
      }
      this.#failed(client, `no answer within ${timeoutMs} ms`);
    } catch (error) {
      this.#failed(client, String((error as Error).message));
    } finally {
      cancel();
      this.#commands--;
    }
    return null;
  }

  close(): void {
    this.#state = { kind: 'closed' };
    this.#cancelRetry?.();
    this.#drop();
    this.#tell(null);
  }

  async #evaluate(client: Client, key: string, args: readonly number[]): Promise<unknown> {
    const rest = ['1', key, ...args.map(String)];
    try {
      return await client.sendCommand(['EVALSHA', SHA, ...rest]);
    } catch (error) {
      // Redis forgets its scripts when it restarts.
      if (!String((error as Error).message).startsWith('NOSCRIPT')) throw error;
      return client.sendCommand(['EVAL', TAKE_SCRIPT, ...rest]);
    }
  }

  #first(): Promise<Client | null> {
    if (this.#state.kind !== 'connecting') return Promise.resolve(null);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #tell(client: Client | null): void {
    for (const resolve of this.#waiting.splice(0)) resolve(client);
  }

  async #connect(): Promise<void> {
    const { promise: timeout, reject } = Promise.withResolvers<never>();
    const cancel = this.#timers.later(CONNECT_MS, () => reject(new Error(`no connection within ${CONNECT_MS} ms`)));
    timeout.catch(() => {});
    try {
      const { createClient } = await import('redis');
      if (this.#state.kind === 'closed') return;
      const client = createClient({
        url: this.#url,
        name: 'dormouse-limits',
        disableOfflineQueue: true,
        socket: { connectTimeout: CONNECT_MS, reconnectStrategy: false },
      }) as unknown as Client;
      this.#client = client;
      client.on('error', (error) => this.#failed(client, error instanceof Error ? error.message : 'connection lost'));
      client.on('end', () => this.#failed(client, 'connection closed'));
      await Promise.race([client.connect(), timeout]);
      if (this.#client !== client) return;
      if (this.#state.kind === 'down')
        this.#logger.info('rate limits are counted in Redis again', { redis: this.#address });
      this.#state = { kind: 'up', client };
      this.#tell(client);
    } catch (error) {
      this.#failed(this.#client, String((error as Error).message));
    } finally {
      cancel();
    }
  }

  /** Once per connection: what else fails on it fails because of this. */
  #failed(client: Client | null, reason: string): void {
    if (this.#state.kind === 'closed' || client !== this.#client) return;
    this.errors++;
    this.#drop();
    if (this.#state.kind !== 'down') {
      this.#logger.warn(
        'Redis does not answer: rate limits that are counted there fail open or closed, as configured',
        {
          redis: this.#address,
          reason,
        },
      );
    }
    this.#state = { kind: 'down' };
    this.#tell(null);
    this.#cancelRetry?.();
    this.#cancelRetry = this.#timers.later(RETRY_MS, () => void this.#connect());
  }

  #drop(): void {
    const client = this.#client;
    this.#client = null;
    try {
      client?.destroy();
    } catch {
      // It was closed already.
    }
  }
}

function isAnswer(reply: unknown): reply is [number, number, number] {
  return Array.isArray(reply) && reply.length === 3 && reply.every((part) => Number.isFinite(part));
}

/** For the log: host, port and database; no user and no password. */
export function addressOf(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return 'an address that is none';
  }
}
