/**
 * A consumer of a group of a Redis stream. Two connections: one that waits for entries (whatever is sent behind a blocking command waits with it), one for acknowledgements and for
 * taking over what others left. Both are opened again until the subscription is closed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../../model/ports.ts';
import { readTrafficEvent } from '../../model/traffic-event.ts';
import { addressOf, type RemoteBus } from '../bus-address.ts';
import { RECLAIM_MS, type Delivery, type SubscribeOptions, type Subscription } from '../event-bus.ts';
import { backendToken } from '../stream-names.ts';
import { destroy, faultOf, movedTo, openRedis, type RedisClient, type RedisNode } from './redis-client.ts';
import type { BusFault } from '../transport.ts';

/** How long one command waits for entries, and how long its answer may take beyond that, ms. */
const BLOCK_MS = 2000;
const ANSWER_MS = 5000;
/** Between two tries, ms. */
const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 5000;
/** How often it is looked for what others left, ms, at most. */
const CLAIM_EACH_MS = 5000;
/** Delivered and not acknowledged: beyond it no more is read. */
const MOST_UNACKNOWLEDGED = 10_000;
const ACKS_A_COMMAND = 1000;

type Entry = [id: string, fields: string[] | null];

export class RedisReader implements Subscription {
  readonly ready: Promise<void>;
  readonly #key: string;
  readonly #bus: RemoteBus;
  readonly #options: SubscribeOptions;
  readonly #handler: (batch: readonly Delivery[]) => Promise<void>;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  #reading: RedisClient | null = null;
  #telling: RedisClient | null = null;
  #node: RedisNode | null = null;
  /** Delivered and not acknowledged, by their ids. */
  readonly #open = new Set<string>();
  /** Acknowledged; Redis has not been told yet. */
  #acks: string[] = [];
  #acking: Promise<void> | null = null;
  #room: (() => void) | null = null;
  #claimedAtMs = 0;
  #told: string | null = null;
  #badTold = false;
  #wasThere = false;
  #isReady: () => void = () => {};

  constructor(
    stream: string,
    bus: RemoteBus,
    options: SubscribeOptions,
    handler: (batch: readonly Delivery[]) => Promise<void>,
    logger: Logger,
  ) {
    this.#key = options.backend === null ? stream : `${stream}.${backendToken(options.backend)}`;
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
    this.#room?.();
    // What was acknowledged is told; what waits for entries need not.
    await Promise.race([this.#flush(), pause(ANSWER_MS, undefined, { ref: false })]);
    destroy(this.#reading);
    await this.#ended;
    await Promise.race([this.#flush(), pause(ANSWER_MS, undefined, { ref: false })]);
    destroy(this.#telling);
    this.#telling = null;
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    let retryMs = RETRY_FIRST_MS;
    while (!this.#closed) {
      try {
        await this.#connect();
        retryMs = RETRY_FIRST_MS;
        await this.#read();
      } catch (error) {
        if (this.#closed) break;
        this.#tell(error);
        destroy(this.#reading);
        destroy(this.#telling);
        this.#reading = null;
        this.#telling = null;
        await pause(retryMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
        retryMs = Math.min(2 * retryMs, RETRY_MOST_MS);
      }
    }
    destroy(this.#reading);
    this.#reading = null;
  }

  #tell(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#node = movedTo(reason, this.#bus) ?? null;
    if (this.#told === reason) return;
    this.#told = reason;
    this.#logger.warn('traffic events are not read; it is tried again', {
      bus: addressOf(this.#bus.url),
      group: this.#options.group,
      reason,
      next: faultOf(reason, this.#bus).hint,
    });
  }

  async #connect(): Promise<void> {
    const name = `dormouse-events-${this.#options.group}-${this.#options.consumer}`;
    const lost = (client: () => RedisClient | null) => (_fault: BusFault) => destroy(client());
    this.#reading = await openRedis(
      this.#bus,
      name,
      lost(() => this.#reading),
      this.#node,
    );
    this.#telling = await openRedis(
      this.#bus,
      name,
      lost(() => this.#telling),
      this.#node,
    );
    await this.#makeGroup();
    this.#isReady();
    await this.#flush();
    if (this.#told !== null) {
      this.#told = null;
      this.#logger.info('traffic events are read again', { bus: addressOf(this.#bus.url), group: this.#options.group });
    }
  }

  /** A group whose stream was deleted begins anew with what has come since. */
  async #makeGroup(): Promise<void> {
    const from = this.#wasThere || this.#options.from === 'oldest' ? '0' : '$';
    try {
      await this.#ask(this.#telling, ['XGROUP', 'CREATE', this.#key, this.#options.group, from, 'MKSTREAM']);
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error;
    }
    this.#wasThere = true;
  }

  /** The answer, within `withinMs`. */
  async #ask(client: RedisClient | null, command: readonly string[], withinMs = ANSWER_MS): Promise<unknown> {
    if (client === null) throw new Error('there is no connection');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${withinMs} ms`)), withinMs);
    });
    const answer = client.sendCommand(command);
    // One that was given up must not be left without anybody who hears of its end.
    answer.catch(() => {});
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What this consumer had before, then what comes, and now and then what others left. */
  async #read(): Promise<void> {
    const { group, consumer, batch = 100 } = this.#options;
    const from = ['XREADGROUP', 'GROUP', group, consumer, 'COUNT', String(batch)];
    for (let after = '0'; !this.#closed;) {
      const entries = entriesOf(await this.#ask(this.#reading, [...from, 'STREAMS', this.#key, after]));
      if (entries.length === 0) break;
      after = entries.at(-1)![0];
      await this.#deliver(
        entries.filter(([id]) => !this.#open.has(id)),
        true,
      );
    }
    while (!this.#closed) {
      await this.#claim();
      if (this.#open.size >= MOST_UNACKNOWLEDGED) {
        await this.#waitForRoom();
        continue;
      }
      // Not longer than until it is looked again for what others left.
      const blockMs = Math.min(BLOCK_MS, Math.ceil((this.#options.reclaimMs ?? RECLAIM_MS) / 2));
      const command = [...from, 'BLOCK', String(blockMs), 'STREAMS', this.#key, '>'];
      const entries = entriesOf(await this.#ask(this.#reading, command, blockMs + ANSWER_MS));
      await this.#deliver(entries, false);
    }
  }

  async #claim(): Promise<void> {
    const { group, consumer, batch = 100, reclaimMs = RECLAIM_MS } = this.#options;
    const nowMs = performance.now();
    if (nowMs - this.#claimedAtMs < Math.min(reclaimMs / 2, CLAIM_EACH_MS)) return;
    this.#claimedAtMs = nowMs;
    for (let cursor = '0-0'; !this.#closed;) {
      const command = ['XAUTOCLAIM', this.#key, group, consumer, String(reclaimMs), cursor, 'COUNT', String(batch)];
      const [next, entries] = (await this.#ask(this.#telling, command)) as [string, Entry[]];
      await this.#deliver(entries, true);
      if (next === '0-0') break;
      cursor = next;
    }
  }

  /** Until half of what is open has been acknowledged, or it is time to look again. */
  async #waitForRoom(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#room = resolve;
    await Promise.race([promise, pause(BLOCK_MS, undefined, { ref: false })]);
    this.#room = null;
  }

  async #deliver(entries: readonly Entry[], again: boolean): Promise<void> {
    const batch: Delivery[] = [];
    for (const [id, fields] of entries) {
      const event = fields === null ? null : readTrafficEvent(fieldOf(fields, 'event'));
      if (event === null) {
        this.#ack(id);
        // What was trimmed meanwhile is gone; what is no event belongs to somebody else.
        if (fields !== null) this.#tellBad(id);
        continue;
      }
      this.#open.add(id);
      batch.push({ event, again, ack: () => this.#open.delete(id) && this.#ack(id) });
    }
    if (batch.length === 0 || this.#closed) return;
    await this.#handler(batch);
  }

  #tellBad(id: string): void {
    if (this.#badTold) return;
    this.#badTold = true;
    this.#logger.warn('the stream has entries that are no traffic events of this version; they are passed over', {
      stream: this.#key,
      entry: id,
    });
  }

  #ack(id: string): void {
    this.#acks.push(id);
    if (this.#open.size * 2 < MOST_UNACKNOWLEDGED) this.#room?.();
    void this.#flush();
  }

  /** One command at a time, with whatever has been acknowledged until then. Never rejects: what fails is told with the next connection. */
  #flush(): Promise<void> {
    this.#acking ??= this.#sendAcks().finally(() => {
      this.#acking = null;
    });
    return this.#acking;
  }

  async #sendAcks(): Promise<void> {
    await new Promise(setImmediate);
    while (this.#acks.length > 0 && this.#telling !== null) {
      const ids = this.#acks.slice(0, ACKS_A_COMMAND);
      try {
        await this.#ask(this.#telling, ['XACK', this.#key, this.#options.group, ...ids]);
      } catch {
        return;
      }
      this.#acks.splice(0, ids.length);
    }
  }
}

/** `[[key, entries]]`, or null when there are none. */
function entriesOf(reply: unknown): Entry[] {
  return reply === null ? [] : (reply as [string, Entry[]][])[0]![1];
}

function fieldOf(fields: readonly string[], name: string): string {
  for (let at = 0; at + 1 < fields.length; at += 2) if (fields[at] === name) return fields[at + 1]!;
  return '';
}
