/** One connection to a Redis for a trigger: bounded commands, and what goes wrong in sentences with the next step. */
import { addressText } from '../model/address-text.ts';
import type { CredentialSources } from '../model/credentials.ts';
import { readCredentials } from './credentials.ts';
import { tlsOptions, type TlsOptions } from './tls.ts';
import type { TriggerContext } from './trigger.ts';

export interface RedisServerOptions {
  host: string;
  port: number;
  database: number;
  /** null: without. */
  tls: TlsOptions | null;
  credentials: CredentialSources;
}

/** Connection, TLS, password, and one command, ms. */
export const REDIS_BOUND_MS = 5000;

/** What is used of the library's client. */
interface Client {
  connect(): Promise<unknown>;
  sendCommand(args: readonly string[]): Promise<unknown>;
  destroy(): void;
  on(event: 'connect' | 'error' | 'end', listener: (error?: unknown) => void): unknown;
}

export class RedisClient {
  /** Host and port. */
  readonly address: string;
  readonly #client: Client;
  #lost: Error | null = null;
  #closed = false;
  #hasSocket = false;
  readonly #ended = new AbortController();

  private constructor(client: Client, address: string) {
    this.#client = client;
    this.address = address;
    const lost = (error: unknown): void => {
      this.#lost ??= error instanceof Error ? error : new Error('the connection was closed');
      this.#ended.abort(this.#lost);
    };
    client.on('error', lost);
    client.on('end', lost);
    // Told when there is a socket: what is destroyed before that connects all the same, and stays.
    client.on('connect', () => {
      this.#hasSocket = true;
      if (this.#closed) this.#destroy();
    });
  }

  /** Rejects with a sentence. */
  static async open(
    server: RedisServerOptions,
    context: Pick<TriggerContext, 'readSecret'>,
    signal: AbortSignal,
  ): Promise<RedisClient> {
    const address = addressText(server);
    const credentials = await readCredentials(server.credentials, context, signal);
    const { createClient } = await import('redis');
    signal.throwIfAborted();
    const { username, password } = credentials;
    const client = createClient({
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(server.database === 0 ? {} : { database: server.database }),
      RESP: 2,
      disableOfflineQueue: true,
      disableClientInfo: true,
      socket: {
        host: server.host,
        port: server.port,
        connectTimeout: REDIS_BOUND_MS,
        reconnectStrategy: false,
        ...(server.tls === null ? {} : { tls: true as const, ...tlsOptions(server.tls, credentials) }),
      },
    } as Parameters<typeof createClient>[0]) as unknown as Client;
    const made = new RedisClient(client, address);
    try {
      await made.#bounded(client.connect(), REDIS_BOUND_MS, signal);
      return made;
    } catch (error) {
      made.close();
      throw new Error(redisSentence(error, address), { cause: error });
    }
  }

  /** Rejects as Redis does, with an Error that begins with Redis' code, or as the connection does. */
  command(args: readonly string[], signal: AbortSignal, boundMs = REDIS_BOUND_MS): Promise<unknown> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    return this.#bounded(this.#client.sendCommand(args), boundMs, signal);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#hasSocket) this.#destroy();
  }

  #destroy(): void {
    try {
      this.#client.destroy();
    } catch {
      // It was closed already.
    }
  }

  async #bounded<T>(answer: Promise<T>, boundMs: number, signal: AbortSignal): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    answer.catch(() => {});
    const timer = setTimeout(() => reject(new Error(`TIMEOUT ${boundMs / 1000}`)), boundMs);
    const aborted = (): void => reject(signal.reason as Error);
    const lost = (): void => reject(this.#ended.signal.reason as Error);
    signal.addEventListener('abort', aborted, { once: true });
    this.#ended.signal.addEventListener('abort', lost, { once: true });
    try {
      signal.throwIfAborted();
      return await Promise.race([answer, promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      this.#ended.signal.removeEventListener('abort', lost);
    }
  }
}

/** `key`: what was asked about, and of which type the trigger takes it to be. */
export function redisSentence(
  error: unknown,
  address: string,
  key?: { name: string; type: string; option: string },
): string {
  const said = error instanceof Error ? error.message : String(error);
  const [code = ''] = said.split(' ', 1);
  const at = `Redis ${address}`;
  const named = key === undefined ? 'it' : key.name;
  switch (code) {
    case 'WRONGTYPE':
      return `${named} in ${at} is no ${key?.type ?? 'value of this type'}: correct ${key?.option ?? 'its name'}; redis-cli TYPE ${named} says what it is`;
    case 'NOAUTH':
      return `${at} wants a password: give password or passwordFile, in a cluster authentication`;
    case 'WRONGPASS':
      return `${at} refuses user and password: correct username and password, or the Secret or file that they are in`;
    case 'NOPERM':
      return `${at}: its user may not do this (${said.slice(0, 120)}): allow it with ACL SETUSER`;
    case 'MOVED':
    case 'ASK':
      return `${at} is one node of a Redis Cluster, and ${named} is at ${said.split(' ')[2] ?? 'another one'}: write that as address`;
    case 'CLUSTERDOWN':
    case 'LOADING':
    case 'MASTERDOWN':
    case 'BUSY':
      return `${at} can't answer now (${said.slice(0, 120)}): it is asked again; its own log says more`;
    case 'NOGROUP':
      return `${named} in ${at} has no such group any more: make it with XGROUP CREATE ${named} GROUP 0 MKSTREAM`;
    case 'TIMEOUT':
      return `${at} does not answer within ${said.split(' ')[1]} s: see that it runs and is not overloaded`;
    default:
  }
  if (/CERT|certificate|self.signed|TLS|SSL|wrong version number/i.test(said))
    return `${at}: TLS fails (${said.slice(0, 120)}): see enableTLS, caFile and serverName`;
  if (/AUTH.*without any password|ERR AUTH/i.test(said)) return `${at} has no password: remove password`;
  const system = (error as { code?: unknown }).code;
  const why = typeof system === 'string' ? system : said.slice(0, 160) || 'it closed the connection';
  return `${at} does not answer (${why}): see that it runs and that address is right`;
}
