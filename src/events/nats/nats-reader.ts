/** A consumer of a durable pull consumer of JetStream: asks for some messages, delivers them as they come, and asks again. */
import { setTimeout as pause } from 'node:timers/promises';
import type { EventsConfig } from '../../model/config.ts';
import type { Logger } from '../../model/ports.ts';
import { readTrafficEvent } from '../../model/traffic-event.ts';
import { addressOf, type RemoteBus } from '../bus-address.ts';
import { RECLAIM_MS, type Delivery, type SubscribeOptions, type Subscription } from '../event-bus.ts';
import { backendToken, natsStreamName } from '../stream-names.ts';
import { CONSUMER_NOT_FOUND, JetStreamError, askJetStream } from '../../nats/jetstream.ts';
import type { NatsConnection } from '../../nats/nats-connection.ts';
import type { NatsMessage } from '../../nats/nats-parser.ts';
import { faultOf, openNats } from './nats-client.ts';
import { ensureStream } from './nats-stream.ts';

/** How long one question waits for messages, and how long its end may take beyond that, ms. */
const EXPIRES_MS = 1000;
const ANSWER_MS = 5000;
/** Between two tries, ms. */
const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 5000;
const CLOSE_MS = 2000;
/** Delivered and not acknowledged: beyond it JetStream gives no more. */
const MOST_UNACKNOWLEDGED = 10_000;
const NS = 1_000_000;

export class NatsReader implements Subscription {
  readonly ready: Promise<void>;
  readonly #config: EventsConfig;
  readonly #bus: RemoteBus;
  readonly #options: SubscribeOptions;
  readonly #handler: (batch: readonly Delivery[]) => Promise<void>;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  /** Delivered and not acknowledged, on the present connection. */
  readonly #open = new Set<NatsMessage>();
  #connection: NatsConnection | null = null;
  #told: string | null = null;
  #badTold = false;
  #isReady: () => void = () => {};

  constructor(
    config: EventsConfig,
    bus: RemoteBus,
    options: SubscribeOptions,
    handler: (batch: readonly Delivery[]) => Promise<void>,
    logger: Logger,
  ) {
    this.#config = config;
    this.#bus = bus;
    this.#options = options;
    this.#handler = handler;
    this.#logger = logger;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    this.ready.catch(() => {});
    this.#isReady = resolve;
    this.#ended = this.#run().finally(() => reject(new Error('the subscription was closed before it was there')));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ended;
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** A group's name, and with a backend that too: each pair has a place of its own in the stream. */
  get #durable(): string {
    const { group, backend } = this.#options;
    return backend === null ? group : `${group}-${backendToken(backend).replaceAll('.', '-')}`;
  }

  async #run(): Promise<void> {
    let retryMs = RETRY_FIRST_MS;
    while (!this.#closed) {
      try {
        await this.#read(() => (retryMs = RETRY_FIRST_MS));
      } catch (error) {
        this.#open.clear();
        this.#connection?.close();
        this.#connection = null;
        if (this.#closed) break;
        this.#tell(error);
        await pause(retryMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
        retryMs = Math.min(2 * retryMs, RETRY_MOST_MS);
      }
    }
    await this.#leave();
  }

  /**
   * What nobody has acknowledged is given back at once; acknowledgements have arrived when it resolves. By then no question is open: what is given back would come to it, and NATS before
   * 2.10 gives the wrong message again when nobody listens there any more.
   */
  async #leave(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    if (connection === null) return;
    for (const { reply } of this.#open) connection.publish(reply, '-NAK');
    this.#open.clear();
    await Promise.race([connection.flush().catch(() => {}), pause(CLOSE_MS, undefined, { ref: false })]);
    connection.close();
  }

  #tell(error: unknown): void {
    const fault = faultOf(error, this.#bus);
    if (this.#told === fault.message) return;
    this.#told = fault.message;
    this.#logger.warn('traffic events are not read; it is tried again', {
      bus: addressOf(this.#bus.url),
      group: this.#options.group,
      reason: fault.message,
      next: fault.hint,
    });
  }

  /** Until it is closed; rejects when the connection or the consumer is lost. */
  async #read(connected: () => void): Promise<void> {
    const { group, consumer, batch = 100 } = this.#options;
    const { promise: lost, reject } = Promise.withResolvers<never>();
    lost.catch(() => {});
    const connection = await openNats(this.#bus, `dormouse-events-${group}-${consumer}`, reject);
    this.#connection = connection;
    const inbox = connection.newInbox();
    const queue: NatsMessage[] = [];
    let news: () => void = () => {};
    connection.subscribe(inbox, (message) => {
      queue.push(message);
      news();
    });
    await ensureStream(connection, this.#config);
    await this.#makeConsumer(connection);
    this.#isReady();
    connected();
    if (this.#told !== null) {
      this.#told = null;
      this.#logger.info('traffic events are read again', { bus: addressOf(this.#bus.url), group });
    }
    const next = `$JS.API.CONSUMER.MSG.NEXT.${natsStreamName(this.#config.stream)}.${this.#durable}`;
    while (!this.#closed) {
      connection.publish(next, JSON.stringify({ batch, expires: EXPIRES_MS * NS }), inbox);
      // To its end, also when it is closed meanwhile: see #leave.
      for (let wanted = batch; wanted > 0;) {
        if (queue.length === 0) {
          const { promise, resolve } = Promise.withResolvers<void>();
          news = resolve;
          let timer: NodeJS.Timeout | undefined;
          const late = new Promise<never>((_, tooLate) => {
            const withinMs = EXPIRES_MS + ANSWER_MS;
            timer = setTimeout(() => tooLate(new Error(`no answer within ${withinMs} ms`)), withinMs);
          });
          await Promise.race([promise, lost, late]).finally(() => clearTimeout(timer));
          // Those that came with it.
          await new Promise(setImmediate);
        }
        const messages = queue.splice(0, batch);
        const status = messages.find((message) => !isEvent(message));
        const events = messages.filter(isEvent);
        wanted -= events.length;
        if (this.#closed) for (const message of events) this.#open.add(message);
        else await this.#deliver(events);
        if (status === undefined) continue;
        // 404 and 408: there were no more for now. 409: the consumer or its stream is no more, or something of it has changed.
        const { status: code, description } = status;
        if (code === 409 && /deleted|not found|changed/i.test(description)) throw new Error(description);
        break;
      }
    }
  }

  async #makeConsumer(connection: NatsConnection): Promise<void> {
    const { from, backend, reclaimMs = RECLAIM_MS } = this.#options;
    const stream = natsStreamName(this.#config.stream);
    try {
      await askJetStream(connection, `CONSUMER.INFO.${stream}.${this.#durable}`);
    } catch (error) {
      if (!(error instanceof JetStreamError) || error.code !== CONSUMER_NOT_FOUND) throw error;
      await askJetStream(connection, `CONSUMER.DURABLE.CREATE.${stream}.${this.#durable}`, {
        stream_name: stream,
        config: {
          durable_name: this.#durable,
          deliver_policy: from === 'new' && !this.#wasThere ? 'new' : 'all',
          ack_policy: 'explicit',
          ack_wait: reclaimMs * NS,
          max_ack_pending: MOST_UNACKNOWLEDGED,
          max_deliver: -1,
          replay_policy: 'instant',
          filter_subject: `${this.#config.stream}.${backend === null ? '' : `${backendToken(backend)}.`}>`,
        },
      });
    }
    this.#wasThere = true;
  }

  /** A consumer whose stream was deleted begins anew with what has come since. */
  #wasThere = false;

  async #deliver(messages: readonly NatsMessage[]): Promise<void> {
    const batch: Delivery[] = [];
    for (const message of messages) {
      const event = readTrafficEvent(message.data.toString());
      if (event === null) {
        // Never given again: it belongs to somebody else.
        this.#connection?.publish(message.reply, '+TERM');
        this.#tellBad(message.subject);
        continue;
      }
      this.#open.add(message);
      batch.push({
        event,
        again: deliveries(message) > 1,
        ack: () => this.#open.delete(message) && this.#connection?.publish(message.reply, '+ACK'),
      });
    }
    if (batch.length === 0) return;
    await this.#handler(batch);
  }

  #tellBad(subject: string): void {
    if (this.#badTold) return;
    this.#badTold = true;
    this.#logger.warn('the stream has messages that are no traffic events of this version; they are passed over', {
      subject,
    });
  }
}

/** Not the word of JetStream that there is nothing. */
function isEvent({ status }: NatsMessage): boolean {
  return status < 400;
}

/** `$JS.ACK.<stream>.<consumer>.<delivered>…`, or with domain and account before the stream. */
function deliveries({ reply }: NatsMessage): number {
  const tokens = reply.split('.');
  return Number(tokens[tokens.length >= 11 ? 6 : 4]);
}
