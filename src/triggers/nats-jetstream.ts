/**
 * How much a consumer of a JetStream stream has before it: what was not delivered to it yet, and what was delivered and not acknowledged, which is in work. Told
 * by the server's monitoring endpoint, as KEDA asks, or over a connection of a client, which sees a message at once: by a plain subscription to the stream's
 * subjects, which takes nothing from anybody.
 */
import type { CredentialSources } from '../model/credentials.ts';
import { readCredentials } from './credentials.ts';
import { ask } from './http-client.ts';
import { NATS_BOUND_MS, NatsClient, isDenied } from './nats-client.ts';
import { pause } from '../model/pause.ts';
import { NoLook, measured, poll, some, type Source } from './polling.ts';
import { tlsOptions, type TlsOptions } from './tls.ts';
import type { TriggerContext, TriggerDefinition, TriggerReport } from './trigger.ts';

export interface NatsJetStreamOptions {
  /** nats://host:port each; empty with `monitoring`. */
  servers: string[];
  /** URL without a path, and the account's name or id; null with `servers`. */
  monitoring: { url: string; account: string } | null;
  /** null: without, unless the server asks for it. */
  tls: TlsOptions | null;
  credentials: CredentialSources;
  stream: string;
  consumer: string;
  /** Messages that one instance is meant to have. */
  target: number;
  activation: number;
  pollingMs: number;
}

export const natsJetStream: TriggerDefinition = {
  start(options: NatsJetStreamOptions, signal, report, context) {
    // Over all connections: what was there and is gone has vanished, what never was has not begun.
    const seen: Seen = { consumer: false, stream: false };
    return poll({
      pollingMs: options.pollingMs,
      boundMs: NATS_BOUND_MS,
      open: async (bound) =>
        options.monitoring === null
          ? new Connected(options, await NatsClient.open(options, context, bound), seen, context)
          : new Monitored(options, options.monitoring, context, seen),
      signal,
      report,
      context,
    });
  },
};

interface Seen {
  stream: boolean;
  consumer: boolean;
}

/** What is known of a stream and its consumer. */
interface Found {
  /** Messages in the stream; null: there is no such stream. */
  messages: number | null;
  /** null: there is no such consumer. */
  consumer: { pending: number; ackPending: number } | null;
}

/** Throws an Error when something that was there has vanished. */
function reportOf(
  { messages, consumer }: Found,
  options: NatsJetStreamOptions,
  where: string,
  seen: Seen,
): TriggerReport {
  const { stream, consumer: name, target, activation } = options;
  if (messages === null) {
    const what = seen.stream ? 'was there and is gone' : 'is not there';
    throw new Error(
      `the stream ${stream} ${what} in NATS ${where}: make it with nats stream add ${stream}, or correct stream`,
    );
  }
  seen.stream = true;
  if (consumer === null) {
    if (seen.consumer)
      throw new Error(
        `the consumer ${name} of ${stream} in NATS ${where} was there and is gone: make it with nats consumer add ${stream} ${name}`,
      );
    const reason = `${some(messages, 'message')} in ${stream}, whose consumer ${name} nobody has made yet`;
    return measured({ value: messages, target, activation, reason });
  }
  seen.consumer = true;
  const { pending, ackPending } = consumer;
  const reason = `${some(pending, 'message', 'wait')} in ${stream} for ${name}, ${ackPending} in work`;
  return measured({ value: pending + ackPending, target, activation, inFlight: ackPending, reason });
}

/** Over a connection of a client. */
class Connected implements Source {
  readonly #options: NatsJetStreamOptions;
  readonly #nats: NatsClient;
  readonly #seen: Seen;
  readonly #context: TriggerContext;
  /** Of its own: a server closes the connection of who may not subscribe. */
  #looking: NatsClient | null = null;
  #closed = false;
  #subjects: string[] = [];
  /** A message was seen that the consumer may not know of yet. */
  #expected = false;

  constructor(options: NatsJetStreamOptions, nats: NatsClient, seen: Seen, context: TriggerContext) {
    this.#options = options;
    this.#nats = nats;
    this.#seen = seen;
    this.#context = context;
  }

  async read(signal: AbortSignal): Promise<TriggerReport> {
    let found = await this.#find();
    // A subscription may hear of it sooner than the stream has it.
    for (let waitMs = 2; this.#expected && isIdle(found) && waitMs <= 64; waitMs *= 2) {
      await pause(waitMs, signal);
      found = await this.#find();
    }
    this.#expected = false;
    return reportOf(found, this.#options, this.#nats.address, this.#seen);
  }

  async #find(): Promise<Found> {
    const { stream, consumer } = this.#options;
    const info = await this.#nats.ask(`CONSUMER.INFO.${stream}.${consumer}`);
    if (info !== null) {
      const { filter_subject: one, filter_subjects: many } = info['config'] as Record<string, unknown>;
      this.#subjects = Array.isArray(many) ? many.map(String) : typeof one === 'string' && one !== '' ? [one] : [];
      const consumed = { pending: Number(info['num_pending']), ackPending: Number(info['num_ack_pending']) };
      if (this.#subjects.length === 0) this.#subjects = subjectsOf(await this.#nats.ask(`STREAM.INFO.${stream}`));
      return { messages: consumed.pending, consumer: consumed };
    }
    const about = await this.#nats.ask(`STREAM.INFO.${stream}`);
    this.#subjects = subjectsOf(about);
    const state = about?.['state'] as { messages?: unknown } | undefined;
    return { messages: about === null ? null : Number(state?.messages), consumer: null };
  }

  async arrival(signal: AbortSignal): Promise<void> {
    const subjects = this.#subjects;
    if (subjects.length === 0 || subjects.length > MAX_SUBJECTS)
      throw new NoLook(
        `the stream ${this.#options.stream} has ${subjects.length === 0 ? 'no' : 'too many'} subjects to listen to`,
      );
    try {
      this.#looking ??= await NatsClient.open(this.#options, this.#context, signal);
      if (this.#closed) return this.#looking.close();
      const listening = await this.#looking.listen(subjects, signal);
      try {
        // What came before the subscription was there.
        if (!isIdle(await this.#find())) return;
        await listening.first;
        this.#expected = true;
      } finally {
        listening.end();
      }
    } catch (error) {
      this.#looking?.close();
      this.#looking = null;
      if (isDenied(error)) throw new NoLook(`its account may not subscribe to ${subjects.join(', ')}`);
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#looking?.close();
    this.#nats.close();
  }
}

const MAX_SUBJECTS = 100;

function subjectsOf(about: Record<string, unknown> | null): string[] {
  const { subjects } = (about?.['config'] ?? {}) as { subjects?: unknown };
  return Array.isArray(subjects) ? subjects.map(String) : [];
}

function isIdle({ messages, consumer }: Found): boolean {
  return consumer === null ? (messages ?? 0) === 0 : consumer.pending + consumer.ackPending === 0;
}

/** By the monitoring endpoint, as KEDA asks. */
class Monitored implements Source {
  readonly #options: NatsJetStreamOptions;
  readonly #monitoring: { url: string; account: string };
  readonly #context: TriggerContext;
  readonly #seen: Seen;

  constructor(
    options: NatsJetStreamOptions,
    monitoring: { url: string; account: string },
    context: TriggerContext,
    seen: Seen,
  ) {
    this.#options = options;
    this.#monitoring = monitoring;
    this.#context = context;
    this.#seen = seen;
  }

  async read(signal: AbortSignal): Promise<TriggerReport> {
    const { url: base, account } = this.#monitoring;
    const { credentials, tls } = this.#options;
    const read = await readCredentials(credentials, this.#context, signal);
    const url = new URL(`${base}/jsz`);
    for (const [key, value] of Object.entries({ acc: account, consumers: 'true', config: 'true' }))
      url.searchParams.set(key, value);
    const headers: Record<string, string> = {};
    if (read.username !== undefined)
      headers['authorization'] = `Basic ${Buffer.from(`${read.username}:${read.password ?? ''}`).toString('base64')}`;
    const answer = await ask(
      { url, headers, form: null, tls: tls === null ? {} : tlsOptions(tls, read), boundMs: NATS_BOUND_MS },
      signal,
    ).catch((error: Error) => {
      throw this.#fault(
        `does not answer ${error.message}: see that its monitoring is on (http: 8222) and that the address is right`,
      );
    });
    if (answer.status !== 200)
      throw this.#fault(`answers ${answer.status}: natsServerMonitoringEndpoint must be that of its monitoring`);
    return reportOf(this.#found(answer.body), this.#options, base, this.#seen);
  }

  #found(body: string): Found {
    const { account } = this.#monitoring;
    const { stream, consumer } = this.#options;
    let json: MonitoringAnswer;
    try {
      json = JSON.parse(body) as MonitoringAnswer;
    } catch {
      throw this.#fault('does not answer as the monitoring of NATS does: correct natsServerMonitoringEndpoint');
    }
    if (json.disabled === true) throw this.#fault('has no JetStream: name a server that has');
    const accounts = Array.isArray(json.account_details) ? json.account_details : [];
    const own = accounts.find(({ id, name }) => id === account || name === account);
    if (own === undefined) throw this.#fault(`knows no account ${account} with streams: correct account`);
    const found = own.stream_detail?.find(({ name }) => name === stream);
    if (found === undefined) return { messages: null, consumer: null };
    const consumed = found.consumer_detail?.find(({ name }) => name === consumer);
    return {
      messages: Number(found.state?.messages ?? 0),
      consumer:
        consumed === undefined
          ? null
          : { pending: Number(consumed.num_pending ?? 0), ackPending: Number(consumed.num_ack_pending ?? 0) },
    };
  }

  #fault(what: string): Error {
    return new Error(`NATS ${this.#monitoring.url} ${what}`);
  }

  close(): void {}
}

interface MonitoringAnswer {
  disabled?: boolean;
  account_details?: {
    id?: string;
    name?: string;
    stream_detail?: {
      name?: string;
      state?: { messages?: number };
      consumer_detail?: { name?: string; num_pending?: number; num_ack_pending?: number }[];
    }[];
  }[];
}
