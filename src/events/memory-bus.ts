import type { TrafficEvent } from '../model/traffic-event.ts';
import type { Logger } from '../model/ports.ts';
import {
  checkSubscription,
  neverRejecting,
  noDrops,
  type BusStats,
  type Delivery,
  type EventBus,
  type Handler,
  type SubscribeOptions,
  type Subscription,
} from './event-bus.ts';

/** Groups that are remembered; the one that has had no consumer for longest is forgotten. */
const MOST_GROUPS = 64;
/** Delivered and not acknowledged, of one group: beyond it nothing more is delivered. */
const MOST_UNACKNOWLEDGED = 10_000;

/**
 * The bus of one process: the last events, in a ring. A group that lags behind by more than the ring holds goes on with the oldest that is left. It ends with the process.
 */
export class MemoryBus implements EventBus {
  readonly kind = 'memory';
  readonly #size: number;
  readonly #logger: Logger;
  readonly #ring: TrafficEvent[] = [];
  /** Number of the next event; those from `#next - #ring.length` on are in the ring. */
  #next = 0;
  readonly #groups = new Map<string, Group>();
  #closed = false;

  /** `size`: events that are kept. */
  constructor(size: number, logger: Logger) {
    this.#size = Math.max(1, size);
    this.#logger = logger;
  }

  get stats(): BusStats {
    return { up: true, kept: 0, published: this.#next, dropped: noDrops() };
  }

  publish(events: readonly TrafficEvent[]): void {
    if (this.#closed || events.length === 0) return;
    for (const event of events) {
      this.#ring[this.#next % this.#size] = event;
      this.#next++;
    }
    for (const group of this.#groups.values()) group.wake();
  }

  subscribe(options: SubscribeOptions, handler: Handler): Subscription {
    checkSubscription(options);
    const key = `${options.group}\n${options.backend ?? ''}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      this.#makeRoom();
      group = new Group(options.from === 'new' ? this.#next : 0, {
        oldest: () => Math.max(0, this.#next - this.#size),
        end: () => this.#next,
        at: (number) => this.#ring[number % this.#size]!,
      });
    } else this.#groups.delete(key);
    // To the end of the map's order.
    this.#groups.set(key, group);
    return group.join(options, handler, this.#logger);
  }

  #makeRoom(): void {
    if (this.#groups.size < MOST_GROUPS) return;
    for (const [key, group] of this.#groups) {
      if (group.isUsed) continue;
      this.#groups.delete(key);
      return;
    }
    throw new RangeError(`The bus in memory has at most ${MOST_GROUPS} groups of consumers.`);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#groups.values()].map((group) => group.close()));
    this.#groups.clear();
  }
}

interface Ring {
  oldest(): number;
  end(): number;
  at(number: number): TrafficEvent;
}

interface Member {
  options: SubscribeOptions;
  wake(): void;
  close(): Promise<void>;
}

/** The consumers that share the events. */
class Group {
  readonly #ring: Ring;
  #next: number;
  /** To be delivered again. */
  #again: { number: number; event: TrafficEvent }[] = [];
  #againSorted = true;
  readonly #unacknowledged = new Map<number, { event: TrafficEvent; consumer: string; reclaim: NodeJS.Timeout }>();
  readonly #members = new Set<Member>();

  constructor(next: number, ring: Ring) {
    this.#next = next;
    this.#ring = ring;
  }

  get isUsed(): boolean {
    return this.#members.size > 0;
  }

  wake(): void {
    for (const member of this.#members) member.wake();
  }

  join(options: SubscribeOptions, handler: Handler, logger: Logger): Subscription {
    // It has come back under its name: what it had is its again.
    this.#giveBack(options.consumer);
    const handle = neverRejecting(handler, options.group, logger);
    let running: Promise<void> | null = null;
    let closed = false;
    const run = async (): Promise<void> => {
      // Publishing must not wait for whoever listens.
      await new Promise(setImmediate);
      for (;;) {
        const batch = closed ? [] : this.#take(options);
        if (batch.length === 0) break;
        await handle(batch);
      }
      running = null;
    };
    const member: Member = {
      options,
      wake: () => {
        if (!closed) running ??= run();
      },
      close: async () => {
        if (closed) return;
        closed = true;
        this.#members.delete(member);
        await running;
        this.#giveBack(options.consumer);
        this.wake();
      },
    };
    this.#members.add(member);
    member.wake();
    return { ready: Promise.resolve(), close: () => member.close() };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#members].map((member) => member.close()));
    for (const { reclaim } of this.#unacknowledged.values()) clearTimeout(reclaim);
    this.#unacknowledged.clear();
    this.#again = [];
  }

  #take({ consumer, backend, batch = 100, reclaimMs = 30_000 }: SubscribeOptions): Delivery[] {
    const taken: Delivery[] = [];
    while (taken.length < batch && this.#unacknowledged.size < MOST_UNACKNOWLEDGED) {
      const repeated = this.#nextAgain();
      if (repeated !== undefined) {
        taken.push(this.#deliver(repeated.number, repeated.event, true, consumer, reclaimMs));
        continue;
      }
      this.#next = Math.max(this.#next, this.#ring.oldest());
      if (this.#next >= this.#ring.end()) break;
      const number = this.#next++;
      const event = this.#ring.at(number);
      if (backend === null || event.backend === backend)
        taken.push(this.#deliver(number, event, false, consumer, reclaimMs));
    }
    return taken;
  }

  #deliver(number: number, event: TrafficEvent, again: boolean, consumer: string, reclaimMs: number): Delivery {
    const reclaim = setTimeout(() => {
      if (!this.#unacknowledged.delete(number)) return;
      this.#repeat(number, event);
      this.wake();
    }, reclaimMs);
    reclaim.unref();
    const entry = { event, consumer, reclaim };
    this.#unacknowledged.set(number, entry);
    return {
      event,
      again,
      ack: () => {
        if (this.#unacknowledged.get(number) !== entry) return;
        clearTimeout(reclaim);
        const wasFull = this.#unacknowledged.size >= MOST_UNACKNOWLEDGED;
        this.#unacknowledged.delete(number);
        if (wasFull) this.wake();
      },
    };
  }

  #giveBack(consumer: string): void {
    for (const [number, { event, consumer: holder, reclaim }] of this.#unacknowledged) {
      if (holder !== consumer) continue;
      clearTimeout(reclaim);
      this.#unacknowledged.delete(number);
      this.#repeat(number, event);
    }
  }

  #repeat(number: number, event: TrafficEvent): void {
    this.#again.push({ number, event });
    this.#againSorted = false;
  }

  /** The oldest first: it is at the end. */
  #nextAgain(): { number: number; event: TrafficEvent } | undefined {
    if (!this.#againSorted) this.#again.sort((a, b) => b.number - a.number);
    this.#againSorted = true;
    return this.#again.pop();
  }
}
