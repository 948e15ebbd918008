/** One connection to NATS for a trigger: JetStream's API, subscriptions for one message, and what goes wrong in sentences with the next step. */
import type { NatsConnection as Connection, Subscription } from '@nats-io/transport-node';
import { readCredentials } from './credentials.ts';
import type { NatsJetStreamOptions } from './nats-jetstream.ts';
import { NoLook } from './polling.ts';
import { tlsOptions } from './tls.ts';
import type { TriggerContext } from './trigger.ts';

/** Connecting, and one answer, ms. */
export const NATS_BOUND_MS = 5000;
/** A connection that broke without a word is noticed after two of these. */
const PING_MS = 10_000;

export interface Listening {
  /** Resolves with the first message; rejects when the connection ends, or with NoLook. */
  first: Promise<void>;
  end(): void;
}

export class NatsConnection {
  /** Of the first server. */
  readonly address: string;
  readonly #nats: Connection;
  #denied: ((what: string, operation: string) => void) | null = null;

  private constructor(nats: Connection, address: string) {
    this.#nats = nats;
    this.address = address;
    void this.#watch();
  }

  /** Rejects with a sentence. */
  static async open(
    { servers, tls, credentials }: Pick<NatsJetStreamOptions, 'servers' | 'tls' | 'credentials'>,
    context: Pick<TriggerContext, 'readSecret'>,
    signal: AbortSignal,
  ): Promise<NatsConnection> {
    const address = servers.join(', ').replaceAll(/(nats|tls):\/\//g, '');
    const read = await readCredentials(credentials, context, signal);
    const { connect } = await import('@nats-io/transport-node');
    signal.throwIfAborted();
    try {
      const nats = await connect({
        servers,
        name: 'dormouse',
        timeout: NATS_BOUND_MS,
        reconnect: false,
        pingInterval: PING_MS,
        maxPingOut: 2,
        ignoreClusterUpdates: true,
        ...(read.username === undefined ? {} : { user: read.username }),
        ...(read.password === undefined ? {} : { pass: read.password }),
        ...(read.token === undefined ? {} : { token: read.token }),
        ...(tls === null ? {} : { tls: tlsOptions(tls, read) as object }),
      });
      const made = new NatsConnection(nats, address);
      if (signal.aborted) {
        made.close();
        signal.throwIfAborted();
      }
      return made;
    } catch (error) {
      throw new Error(sentence(error, address), { cause: error });
    }
  }

  /** What JetStream answers to `$JS.API.<subject>`; null: there is no such stream or consumer. Rejects with a sentence. */
  async api(subject: string, signal: AbortSignal): Promise<Record<string, unknown> | null> {
    signal.throwIfAborted();
    const { promise: denied, reject } = Promise.withResolvers<never>();
    denied.catch(() => {});
    const name = `$JS.API.${subject}`;
    const before = this.#denied;
    this.#denied = (what, operation) => {
      before?.(what, operation);
      if (what === name) reject(new Error(`PERMISSION ${operation} ${what}`));
    };
    try {
      const message = await Promise.race([this.#nats.request(name, '', { timeout: NATS_BOUND_MS }), denied]);
      const answer = message.json<Record<string, unknown>>();
      const error = answer['error'] as { code?: number; description?: string } | undefined;
      if (error === undefined) return answer;
      if (error.code === 404) return null;
      throw new Error(`JetStream says ${error.description ?? String(error.code)}`);
    } catch (error) {
      throw new Error(sentence(error, this.address, name), { cause: error });
    } finally {
      this.#denied = before;
    }
  }

  /** Resolves when the server has the subscriptions. */
  async listen(subjects: readonly string[], signal: AbortSignal): Promise<Listening> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {});
    const aborted = (): void => reject(signal.reason as Error);
    const subscriptions: Subscription[] = [];
    const end = (): void => {
      signal.removeEventListener('abort', aborted);
      for (const one of subscriptions) one.unsubscribe();
      subscriptions.length = 0;
    };
    signal.addEventListener('abort', aborted, { once: true });
    for (const subject of subjects) {
      subscriptions.push(
        this.#nats.subscribe(subject, {
          max: 1,
          callback: (error) => {
            if (error === null) resolve();
            else if (isPermission(error)) reject(new NoLook(`its account may not subscribe to ${subject}`));
            else reject(error);
          },
        }),
      );
    }
    void this.#nats
      .closed()
      .then((error) => reject(error instanceof Error ? error : new Error('the connection was closed')));
    try {
      await this.#nats.flush();
    } catch (error) {
      end();
      throw error;
    }
    return { first: promise, end };
  }

  close(): void {
    void this.#nats.close().catch(() => {});
  }

  /** What the server forbids comes beside the answers. */
  async #watch(): Promise<void> {
    for await (const status of this.#nats.status()) {
      if (status.type !== 'error') continue;
      const { error } = status as unknown as { error?: { subject?: string; operation?: string } };
      if (error?.subject !== undefined) this.#denied?.(error.subject, error.operation ?? 'publish');
    }
  }
}

function isPermission(error: Error): boolean {
  return error.name === 'PermissionViolationError';
}

function sentence(error: unknown, address: string, subject = ''): string {
  const { name = '', message: said = '', cause } = error as Error;
  const at = `NATS ${address}`;
  if (name === 'AuthorizationError' || /authorization violation/i.test(said))
    return `${at} refuses this user: give username and password, or token, in a cluster authentication`;
  if (name === 'PermissionViolationError' || said.startsWith('PERMISSION') || /permissions violation/i.test(said))
    return `${at}: its account may not ask for ${subject}: allow it to publish there and to subscribe to _INBOX.>`;
  if (name === 'NoRespondersError' || /no responders/i.test(said))
    return `${at} has no JetStream for this account: enable it (jetstream {}), or name another account`;
  if (said.startsWith('JetStream says')) return `${at}: ${said.slice(0, 160)}: see its own log`;
  if (name === 'TimeoutError' || /timeout/i.test(said))
    return `${at} does not answer within ${NATS_BOUND_MS / 1000} s: see that it runs and that its account may answer`;
  if (/tls|certificate|self.signed/i.test(`${name} ${said}`))
    return `${at}: TLS fails (${said.slice(0, 120)}): see enableTLS, caFile and serverName`;
  const code = (error as { code?: unknown }).code ?? (cause as { code?: unknown } | undefined)?.code;
  const why = typeof code === 'string' ? code : said.slice(0, 160) || name;
  return `${at} does not answer (${why}): see that it runs and that servers is right`;
}
