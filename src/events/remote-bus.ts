import type { EventsConfig } from '../model/config.ts';
import type { Logger } from '../model/ports.ts';
import type { TrafficEvent } from '../model/traffic-event.ts';
import { addressOf, type RemoteBus } from './bus-address.ts';
import {
  checkSubscription,
  neverRejecting,
  type BusStats,
  type Delivery,
  type EventBus,
  type Handler,
  type SubscribeOptions,
  type Subscription,
} from './event-bus.ts';
import { Outbox } from './outbox.ts';
import type { Transport } from './transport.ts';

export interface RemoteBusParts {
  kind: 'redis' | 'nats';
  /** `refused`: see Outbox. */
  transport(refused: (what: string, hint: string) => void): Transport;
  /** `handler` never rejects. */
  reader(options: SubscribeOptions, handler: (batch: readonly Delivery[]) => Promise<void>): Subscription;
}

/** A bus outside this process: an outbox to publish by, and readers with connections of their own. */
export class RemoteEventBus implements EventBus {
  readonly kind: 'redis' | 'nats';
  readonly #outbox: Outbox;
  readonly #parts: RemoteBusParts;
  readonly #logger: Logger;
  readonly #readers = new Set<Subscription>();

  constructor({ buffer }: EventsConfig, bus: RemoteBus, parts: RemoteBusParts, logger: Logger) {
    this.kind = parts.kind;
    this.#parts = parts;
    this.#logger = logger;
    const refused = (what: string, hint: string): void => this.#outbox.refused(what, hint);
    this.#outbox = new Outbox({ transport: parts.transport(refused), buffer, bus: addressOf(bus.url), logger });
  }

  get stats(): BusStats {
    return this.#outbox.stats;
  }

  publish(events: readonly TrafficEvent[]): void {
    if (events.length > 0) this.#outbox.publish(events);
  }

  subscribe(options: SubscribeOptions, handler: Handler): Subscription {
    checkSubscription(options);
    const reader = this.#parts.reader(options, neverRejecting(handler, options.group, this.#logger));
    this.#readers.add(reader);
    return {
      ready: reader.ready,
      close: async () => {
        await reader.close();
        this.#readers.delete(reader);
      },
    };
  }

  async close(withinMs: number): Promise<void> {
    await Promise.all([this.#outbox.close(withinMs), ...[...this.#readers].map((reader) => reader.close())]);
    this.#readers.clear();
  }
}
