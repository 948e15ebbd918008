/**
 * Between whoever publishes and a bus that may be slow, hang, refuse or be gone: keeps events up to a bound, sends them in order and in batches, and again after a fault. Whoever
 * publishes never notices.
 */
import type { Logger } from '../model/ports.ts';
import type { TrafficEvent } from '../model/traffic-event.ts';
import { noDrops, type BusStats, type DropReason } from './event-bus.ts';
import { BusFault, type Transport } from './transport.ts';

/** Events a message to the bus. */
const BATCH = 500;
/** Batches on their way at once. */
const MOST_SENT = 8;
/** A bus that has not answered for this long hangs, ms. */
const ANSWER_MS = 5000;
/** Between two tries, ms: the first, and what it doubles to. */
const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 5000;
/** Different reasons that are told until all is well again. */
const MOST_TOLD = 5;

export interface OutboxOptions {
  transport: Transport;
  /** Events that are kept, those included that are on their way. */
  buffer: number;
  /** For the log: kind and address of the bus, without credentials. */
  bus: string;
  logger: Logger;
  /** Shorter ones are for tests. */
  answerMs?: number;
  retryMs?: number;
}

interface Sent {
  events: TrafficEvent[];
  timer: NodeJS.Timeout;
}

export class Outbox {
  readonly #options: OutboxOptions;
  /** The oldest first; those before `#head` are gone. */
  #queue: TrafficEvent[] = [];
  #head = 0;
  #sent: Sent[] = [];
  #sentEvents = 0;
  /** trying: it was connected, but nothing has been taken since it last refused. */
  #state: 'connecting' | 'trying' | 'up' | 'down' | 'closed' = 'connecting';
  /** What was told since all was well. */
  readonly #told = new Set<string>();
  #retry: NodeJS.Timeout | null = null;
  #retryMs: number;
  #refusalTold = false;
  #published = 0;
  readonly #dropped = noDrops();
  #drained: (() => void) | null = null;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#retryMs = options.retryMs ?? RETRY_FIRST_MS;
    options.transport.onLost = (fault) => this.#failed(fault);
    void this.#connect();
  }

  get stats(): BusStats {
    return {
      up: this.#state === 'up',
      kept: this.#kept,
      published: this.#published,
      dropped: this.#dropped,
    };
  }

  get #kept(): number {
    return this.#queue.length - this.#head + this.#sentEvents;
  }

  publish(events: readonly TrafficEvent[]): void {
    if (this.#state === 'closed') return this.#drop('closed', events.length);
    for (const event of events) this.#queue.push(event);
    this.#trim();
    if (this.#state === 'up') this.#pump();
  }

  /** The oldest make room. */
  #trim(): void {
    const over = Math.min(this.#kept - this.#options.buffer, this.#queue.length - this.#head);
    if (over <= 0) return;
    this.#head += over;
    this.#drop('buffer', over);
    this.#compact();
  }

  #compact(): void {
    if (this.#head < 1024 || this.#head * 2 < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }

  #drop(reason: DropReason, count: number): void {
    this.#dropped[reason] += count;
  }

  #pump(): void {
    const most = this.#state === 'trying' ? 1 : MOST_SENT;
    // What is on its way can't make room: while the bus hangs, the other half is for what is new.
    const room = Math.floor(this.#options.buffer / 2);
    while (this.#head < this.#queue.length && this.#sent.length < most && this.#sentEvents < room) {
      const events = this.#queue.slice(this.#head, this.#head + Math.min(BATCH, room - this.#sentEvents));
      this.#head += events.length;
      this.#compact();
      this.#send(events);
    }
  }

  #send(events: TrafficEvent[]): void {
    const { transport, answerMs = ANSWER_MS } = this.#options;
    const timer = setTimeout(() => {
      const reason = `no answer within ${answerMs} ms`;
      this.#failed(new BusFault(reason, 'see whether it hangs, or has too much to do'));
    }, answerMs);
    const sent: Sent = { events, timer };
    this.#sent.push(sent);
    this.#sentEvents += events.length;
    transport.send(events).then(
      ({ refused }) => this.#taken(sent, refused),
      (error: unknown) => {
        if (this.#sent.includes(sent)) this.#failed(error);
      },
    );
  }

  #taken(sent: Sent, refused: number): void {
    const at = this.#sent.indexOf(sent);
    // It was given up, and is sent again.
    if (at < 0) return;
    clearTimeout(sent.timer);
    this.#sent.splice(at, 1);
    this.#sentEvents -= sent.events.length;
    this.#published += sent.events.length - refused;
    this.#drop('refused', refused);
    this.#isWell();
    this.#pump();
    this.#tellDrained();
  }

  #tellDrained(): void {
    if (this.#kept === 0) this.#drained?.();
  }

  #isWell(): void {
    if (this.#state === 'closed') return;
    this.#state = 'up';
    this.#retryMs = this.#options.retryMs ?? RETRY_FIRST_MS;
    if (this.#told.size === 0) return;
    this.#told.clear();
    this.#options.logger.info('traffic events are published again', {
      bus: this.#options.bus,
      kept: this.#kept,
      dropped: this.#dropped.buffer,
    });
  }

  async #connect(): Promise<void> {
    try {
      await this.#options.transport.connect();
    } catch (error) {
      return this.#failed(error);
    }
    if (this.#state === 'closed') return this.#options.transport.disconnect();
    // What refused before is believed when it takes something; one that was only gone is back.
    this.#state = 'trying';
    if (this.#kept === 0) this.#isWell();
    this.#pump();
  }

  /** Whatever is wrong, it begins anew: with a new connection, after a pause. Told once for each different reason. */
  #failed(error: unknown): void {
    if (this.#state === 'closed' || this.#state === 'down') return;
    const { transport, buffer, bus, logger } = this.#options;
    this.#state = 'down';
    transport.disconnect();
    const again: TrafficEvent[] = [];
    for (const { events, timer } of this.#sent) {
      clearTimeout(timer);
      for (const event of events) again.push(event);
    }
    this.#sent = [];
    this.#sentEvents = 0;
    if (again.length > 0) {
      this.#queue = again.concat(this.#queue.slice(this.#head));
      this.#head = 0;
      this.#trim();
    }
    const fault = error instanceof BusFault ? error : new BusFault(reasonOf(error), 'see the log of the bus');
    if (!this.#told.has(fault.message) && this.#told.size < MOST_TOLD) {
      this.#told.add(fault.message);
      logger.warn(
        `traffic events are not published: requests go on, and the last ${buffer} events are kept for later`,
        { bus, reason: fault.message, next: fault.hint },
      );
    }
    this.#retry = setTimeout(() => {
      this.#state = 'connecting';
      void this.#connect();
    }, this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MOST_MS);
  }

  /** Something else is stored where events of one backend belong: told once. */
  refused(what: string, hint: string): void {
    if (this.#refusalTold) return;
    this.#refusalTold = true;
    this.#options.logger.warn('some traffic events are refused and left out', {
      bus: this.#options.bus,
      reason: what,
      next: hint,
    });
  }

  async close(withinMs: number): Promise<void> {
    if (this.#state === 'closed') return;
    if (this.#kept > 0 && withinMs > 0 && this.#state !== 'down') {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#drained = resolve;
      const bound = setTimeout(resolve, withinMs);
      await promise;
      clearTimeout(bound);
    }
    this.#state = 'closed';
    if (this.#retry !== null) clearTimeout(this.#retry);
    for (const { timer } of this.#sent) clearTimeout(timer);
    this.#drop('closed', this.#kept);
    this.#sent = [];
    this.#sentEvents = 0;
    this.#queue = [];
    this.#head = 0;
    this.#options.transport.disconnect();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
