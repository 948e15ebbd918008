import { jetStreamError } from '../../nats/jetstream.ts';
import type { NatsConnection } from '../../nats/nats-connection.ts';
import type { NatsMessage } from '../../nats/nats-parser.ts';
import type { EventsConfig } from '../../model/config.ts';
import type { TrafficEvent } from '../../model/traffic-event.ts';
import type { RemoteBus } from '../bus-address.ts';
import { backendToken } from '../stream-names.ts';
import type { BusFault, Transport } from '../transport.ts';
import { faultOf, openNats } from './nats-client.ts';
import { ensureStream } from './nats-stream.ts';

interface Unanswered {
  count: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** Publishes to NATS JetStream, each event to `<stream>.<backend>.<type>`. JetStream answers each; a batch's answers come to one subject and are counted. */
export class NatsTransport implements Transport {
  onLost: (fault: BusFault) => void = () => {};
  readonly #config: EventsConfig;
  readonly #bus: RemoteBus;
  readonly #name: string;
  #connection: NatsConnection | null = null;
  #inbox = '';
  #batch = 0;
  readonly #unanswered = new Map<number, Unanswered>();

  constructor(config: EventsConfig, bus: RemoteBus, name: string) {
    this.#config = config;
    this.#bus = bus;
    this.#name = name;
  }

  async connect(): Promise<void> {
    const connection = await openNats(this.#bus, this.#name, (fault) => {
      if (this.#connection === connection) this.onLost(fault);
    });
    this.#connection = connection;
    try {
      this.#inbox = connection.newInbox();
      connection.subscribe(`${this.#inbox}.*`, (message) => this.#answered(message));
      await ensureStream(connection, this.#config);
    } catch (error) {
      this.disconnect();
      throw faultOf(error, this.#bus);
    }
  }

  send(events: readonly TrafficEvent[]): Promise<{ refused: number }> {
    const connection = this.#connection;
    if (connection === null) return Promise.reject(faultOf(new Error('there is no connection'), this.#bus));
    const batch = ++this.#batch;
    const { promise, resolve, reject } = Promise.withResolvers<{ refused: number }>();
    this.#unanswered.set(batch, {
      count: events.length,
      resolve: () => resolve({ refused: 0 }),
      reject: (error) => reject(faultOf(error, this.#bus)),
    });
    const reply = `${this.#inbox}.${batch}`;
    const places = new Map<string, string>();
    for (const event of events) {
      let place = places.get(event.backend);
      if (place === undefined)
        places.set(event.backend, (place = `${this.#config.stream}.${backendToken(event.backend)}.`));
      // What is sent again after a fault is stored once.
      connection.publish(place + event.type, JSON.stringify(event), reply, `Nats-Msg-Id: ${event.id}\r\n`);
    }
    return promise;
  }

  #answered(message: NatsMessage): void {
    const batch = Number(message.subject.slice(this.#inbox.length + 1));
    const unanswered = this.#unanswered.get(batch);
    if (unanswered === undefined) return;
    const fault = faultIn(message);
    if (fault !== null) this.#end(batch)!.reject(fault);
    else if (--unanswered.count === 0) this.#end(batch)!.resolve();
  }

  #end(batch: number): Unanswered | undefined {
    const unanswered = this.#unanswered.get(batch);
    this.#unanswered.delete(batch);
    return unanswered;
  }

  disconnect(): void {
    this.#connection?.close();
    this.#connection = null;
    for (const batch of [...this.#unanswered.keys()])
      this.#end(batch)?.reject(new Error('the connection was given up'));
  }
}

/** null: the event is stored. */
function faultIn({ status, data }: NatsMessage): Error | null {
  if (status === 503) return new Error('no responders: no stream takes the event');
  const text = data.toString('latin1');
  // One for each event: looked at in full only when something is wrong.
  if (text.startsWith('{"stream":') && !text.includes('"error"')) return null;
  try {
    const { error } = JSON.parse(text) as { error?: Parameters<typeof jetStreamError>[0] };
    return error === undefined ? null : jetStreamError(error);
  } catch {
    return new Error('its answer is not that of JetStream');
  }
}
