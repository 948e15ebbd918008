/** A connection to one of a trigger's NATS servers: JetStream's API, and what goes wrong in sentences with the next step. */
import { askJetStream, CONSUMER_NOT_FOUND, JetStreamError, STREAM_NOT_FOUND } from '../nats/jetstream.ts';
import { NatsConnection } from '../nats/nats-connection.ts';
import type { NatsLogin } from '../nats/nats-credentials.ts';
import { readCredentials } from './credentials.ts';
import type { NatsJetStreamOptions } from './nats-jetstream.ts';
import { tlsOptions } from './tls.ts';
import type { TriggerContext } from './trigger.ts';

/** Connecting, and one answer, ms. */
export const NATS_BOUND_MS = 5000;

export class NatsClient {
  /** Host and port. */
  readonly address: string;
  readonly #connection: NatsConnection;
  readonly #lost: Promise<Error>;

  private constructor(connection: NatsConnection, address: string, lost: Promise<Error>) {
    this.#connection = connection;
    this.address = address;
    this.#lost = lost;
  }

  /** To the first server that takes it in. Rejects with a sentence about the last one. */
  static async open(
    { servers, tls, credentials }: Pick<NatsJetStreamOptions, 'servers' | 'tls' | 'credentials'>,
    context: Pick<TriggerContext, 'readSecret'>,
    signal: AbortSignal,
  ): Promise<NatsClient> {
    const read = await readCredentials(credentials, context, signal);
    const login: NatsLogin =
      read.token !== undefined
        ? { kind: 'token', token: read.token }
        : read.username === undefined
          ? { kind: 'none' }
          : { kind: 'password', user: read.username, password: read.password ?? '' };
    let last: Error | null = null;
    for (const server of servers) {
      const { hostname, port, protocol } = new URL(server);
      const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
      const address = `${hostname}:${port || '4222'}`;
      const { promise: lost, resolve: lose } = Promise.withResolvers<Error>();
      try {
        signal.throwIfAborted();
        const connection = await NatsConnection.open({
          host,
          port: Number(port || 4222),
          tls:
            tls === null
              ? protocol === 'tls:'
                ? tlsOptions({ insecure: false, serverName: null }, read)
                : null
              : tlsOptions(tls, read),
          login,
          name: 'dormouse',
          connectMs: Math.floor(NATS_BOUND_MS / Math.min(servers.length, 5)),
          onLost: lose,
        });
        if (signal.aborted) connection.close();
        signal.throwIfAborted();
        return new NatsClient(connection, address, lost);
      } catch (error) {
        last = new Error(natsSentence(error, address), { cause: error });
      }
    }
    throw last ?? new Error('servers is empty');
  }

  /** What JetStream answers to `$JS.API.<what>`; null: there is no such stream or consumer. Rejects with a sentence. */
  async ask(what: string): Promise<Record<string, unknown> | null> {
    try {
      return await askJetStream<Record<string, unknown>>(this.#connection, what);
    } catch (error) {
      if (error instanceof JetStreamError && (error.code === STREAM_NOT_FOUND || error.code === CONSUMER_NOT_FOUND))
        return null;
      throw new Error(natsSentence(error, this.address, `$JS.API.${what}`), { cause: error });
    }
  }

  /** Resolves when the server has the subscriptions. `first` resolves with the first message; it rejects when the connection ends, as it does where the account may not subscribe. */
  async listen(subjects: readonly string[], signal: AbortSignal): Promise<{ first: Promise<void>; end(): void }> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    const aborted = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', aborted, { once: true });
    void this.#lost.then(reject);
    const ends = subjects.map((subject) => this.#connection.subscribe(subject, () => resolve()));
    const end = (): void => {
      signal.removeEventListener('abort', aborted);
      for (const one of ends) one();
    };
    try {
      await Promise.race([this.#connection.flush(), promise]);
      return { first: promise, end };
    } catch (error) {
      end();
      throw error;
    }
  }

  close(): void {
    this.#connection.close();
  }
}

export function isDenied(error: unknown): boolean {
  return error instanceof Error && /permissions violation/i.test(error.message);
}

function natsSentence(error: unknown, address: string, subject = ''): string {
  const said = error instanceof Error ? error.message : String(error);
  const at = `NATS ${address}`;
  if (/authorization violation|authentication|NKEY/i.test(said))
    return `${at} refuses this user: give username and password, or token, in a cluster authentication`;
  if (isDenied(error))
    return `${at}: its account may not do this (${said.slice(0, 140)}): allow it to publish to $JS.API.> and to subscribe to _INBOX.>`;
  if (error instanceof JetStreamError)
    return `${at}: JetStream refuses (${said.slice(0, 140)}): see the server's own log`;
  if (/no responders/i.test(said))
    return `${at} has no JetStream for this account: enable it (jetstream {}), or name another account`;
  if (said.startsWith('no answer'))
    return `${at} does not answer ${subject}: see that JetStream runs, and that the account may ask for it and subscribe to _INBOX.>`;
  if (/no connection within/.test(said))
    return `${at} does not answer (${said}): see that it runs and that servers is right`;
  if (/tls|certificate|self.signed|wrong version/i.test(said))
    return `${at}: TLS fails (${said.slice(0, 120)}): see enableTLS, caFile and serverName`;
  const { code } = error as { code?: unknown };
  return `${at} does not answer (${typeof code === 'string' ? code : said.slice(0, 160)}): see that it runs and that servers is right`;
}
