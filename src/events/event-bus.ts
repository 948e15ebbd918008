/** The bus that traffic events are published to: the interface of memory, Redis Streams and NATS JetStream. Contract test: event-bus.contract.ts. */
import type { Logger } from '../model/ports.ts';
import type { TrafficEvent } from '../model/traffic-event.ts';

export interface EventBus {
  readonly kind: 'memory' | 'redis' | 'nats';
  /**
   * Takes the events in their order and hands them to the bus's socket in this turn of the event loop, when it is there. Never throws, never waits: what the bus does
   * not take yet is kept up to a bound, then the oldest are dropped and counted.
   */
  publish(events: readonly TrafficEvent[]): void;
  /**
   * At least once: what is not acknowledged is delivered again, to this consumer when it comes back under its name, or to another of its group. `handler` is given the next batch when
   * the promise for the last one has resolved; when it rejects, nothing of the batch is acknowledged. Never throws: a bus that is not there is tried again until it is.
   */
  subscribe(options: SubscribeOptions, handler: Handler): Subscription;
  readonly stats: BusStats;
  /** Publishes what is kept, and ends subscriptions. What could not be published within the bound is dropped and counted. */
  close(withinMs: number): Promise<void>;
}

export interface SubscribeOptions {
  /** Consumers of one group share the events; each group gets all. Letters, digits, - and _, at most 64. */
  group: string;
  /** Unique in the group, the same after a restart. As `group`. */
  consumer: string;
  /** Events of this backend only; null: of all. */
  backend: string | null;
  /** Where a group begins that is new: with what comes, or with the oldest that is kept. */
  from: 'new' | 'oldest';
  /** Events a delivery, at most: 1 to 1,000. */
  batch?: number;
  /** What a consumer has not acknowledged after this is given to others, ms; 30,000 when left out. */
  reclaimMs?: number;
}

export interface Delivery {
  event: TrafficEvent;
  /** It may have been delivered before. */
  again: boolean;
  /** Not to be delivered again. More than once is once. */
  ack(): void;
}

export interface Subscription {
  /** Resolves when the group is there: of what is published from then on, nothing is missed. Rejects when the subscription is closed before. */
  readonly ready: Promise<void>;
  /** Deliveries have ended when it resolves; acknowledgements that were given have been sent. */
  close(): Promise<void>;
}

export type DropReason =
  /** More than `events.buffer` were kept while the bus took none. */
  | 'buffer'
  /** The bus refused them for good: something else is stored under the name of a backend's stream. */
  | 'refused'
  /** Dormouse ended, or changed to another bus, before the bus had taken them. */
  | 'closed'
  /** A worker counted more requests in a tenth of a second than it tells. */
  | 'worker';

/** Since the start; of a bus that was replaced too. */
export interface BusStats {
  /** The bus takes events, as far as is known. */
  up: boolean;
  /** Kept, those included that are on their way. */
  kept: number;
  published: number;
  dropped: Record<DropReason, number>;
}

export function noDrops(): Record<DropReason, number> {
  return { buffer: 0, refused: 0, closed: 0, worker: 0 };
}

/** See EventBus.subscribe. */
export type Handler = (batch: readonly Delivery[]) => void | Promise<void>;

/** The same, but a failure is logged and not thrown on. */
export function neverRejecting(
  handler: Handler,
  group: string,
  logger: Logger,
): (batch: readonly Delivery[]) => Promise<void> {
  return async (batch) => {
    try {
      await handler(batch);
    } catch (error) {
      logger.warn('a consumer of traffic events failed; it gets them again', {
        group,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  };
}

export const MOST_IN_BATCH = 1000;
export const RECLAIM_MS = 30_000;
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Throws a RangeError for a name or a number that no bus takes. */
export function checkSubscription({ group, consumer, batch = 100, reclaimMs = RECLAIM_MS }: SubscribeOptions): void {
  for (const [what, name] of Object.entries({ group, consumer }))
    if (!NAME.test(name)) throw new RangeError(`The name of a ${what} has letters, digits, - and _, at most 64.`);
  if (!Number.isInteger(batch) || batch < 1 || batch > MOST_IN_BATCH)
    throw new RangeError(`A batch has 1 to ${MOST_IN_BATCH} events.`);
  if (!(reclaimMs >= 100 && reclaimMs <= 86_400_000)) throw new RangeError('reclaimMs is 100 ms to a day.');
}
