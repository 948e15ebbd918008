/**
 * A concurrency limit of which this worker has a part: slots that are leased for a key are entered at once; what is free beyond the part that the controller
 * left to this worker goes back as requests end.
 */
import type { LimitGrant } from '../../link/limit-messages.ts';
import type { Clock } from '../../model/ports.ts';
import type { SourceTimers } from './supervisor-source.ts';
import type { TokenSource } from './token-source.ts';

/** Free slots that a key did not need for so long go back, ms. */
const KEEP_MS = 1000;
/** A key that was refused asks again after this, ms: what others give back meanwhile is noticed that much later. */
const PAUSE_MS = 5;
/** Requests that may wait for an answer at once, of all keys. */
const MAX_WAITING = 10_000;

interface Slots {
  readonly key: string;
  leased: number;
  /** More than leased only after the worker counted alone. */
  inUse: number;
  /** Free slots that it may keep. */
  spare: number;
  asking: boolean;
  asked: number;
  waiting: ((entered: boolean) => void)[];
  refusedUntilMs: number;
  usedMs: number;
}

export interface SlotLimiterOptions {
  max: number;
  source: TokenSource;
  clock: Clock;
  timers: SourceTimers;
  /** Among whom the limit is divided while nobody answers. */
  workers(): number;
}

export class SlotLimiter {
  readonly #source: TokenSource;
  readonly #clock: Clock;
  readonly #timers: SourceTimers;
  readonly #workers: () => number;
  #max: number;
  /** Keys with something in flight, leased or asked for. */
  readonly #keys = new Map<string, Slots>();
  #waiting = 0;
  #cancelSweep: (() => void) | null = null;

  constructor(options: SlotLimiterOptions) {
    this.#max = options.max;
    this.#source = options.source;
    this.#clock = options.clock;
    this.#timers = options.timers;
    this.#workers = options.workers;
  }

  /** Keys that it knows. */
  get keys(): number {
    return this.#keys.size;
  }

  change(max: number): void {
    this.#max = max;
  }

  /** Another controller: it is asked for what is in use here, so that it counts it. */
  relinked(): void {
    for (const slots of this.#keys.values()) {
      slots.leased = 0;
      slots.spare = 0;
      slots.refusedUntilMs = 0;
      if (slots.inUse > 0 && !slots.asking) this.#ask(slots);
    }
  }

  enter(key: string): boolean | Promise<boolean> {
    const nowMs = this.#clock.nowMs();
    let slots = this.#keys.get(key);
    if (slots === undefined) {
      slots = {
        key,
        leased: 0,
        inUse: 0,
        spare: 0,
        asking: false,
        asked: 0,
        waiting: [],
        refusedUntilMs: 0,
        usedMs: nowMs,
      };
      this.#keys.set(key, slots);
    }
    slots.usedMs = nowMs;
    if (this.#free(slots) > 0) {
      slots.inUse++;
      return true;
    }
    if (nowMs < slots.refusedUntilMs) return false;
    if (!this.#source.ready || this.#waiting >= MAX_WAITING) return this.#enterAlone(slots);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    slots.waiting.push(resolve);
    this.#waiting++;
    if (!slots.asking && !this.#ask(slots)) this.#allAlone(slots);
    return promise;
  }

  leave(key: string): void {
    const slots = this.#keys.get(key);
    if (slots === undefined) return;
    slots.inUse--;
    slots.refusedUntilMs = 0;
    if (slots.waiting.length > 0 && this.#free(slots) > 0) this.#serve(slots, 1);
    else this.#giveBack(slots);
  }

  /** Gives all back. Nobody enters any more. */
  close(): void {
    this.#cancelSweep?.();
    for (const slots of this.#keys.values()) {
      slots.spare = 0;
      this.#giveBack(slots);
    }
    this.#source.close();
  }

  #ask(slots: Slots): boolean {
    slots.asking = this.#source.ask(slots.key, {
      amounts: () => {
        // What was entered alone, or by the leave of a former controller, comes first.
        slots.asked = slots.waiting.length + Math.max(0, slots.inUse - slots.leased);
        return { need: slots.asked, more: slots.inUse + slots.asked, used: 0, back: 0 };
      },
      granted: (grant) => this.#granted(slots, grant),
      unanswered: () => {
        slots.asking = false;
        this.#allAlone(slots);
      },
      unwanted: (given) => given,
    });
    return slots.asking;
  }

  #granted(slots: Slots, { given }: LimitGrant): void {
    slots.asking = false;
    slots.leased += given;
    slots.spare = Math.max(0, given - slots.asked);
    this.#serve(slots, this.#free(slots));
    if (given < slots.asked) {
      // Slots that were given back in between are free again only once the controller has heard of it.
      slots.refusedUntilMs = this.#clock.nowMs() + PAUSE_MS;
      const refused = slots.waiting;
      slots.waiting = [];
      this.#waiting -= refused.length;
      for (const resolve of refused) resolve(false);
    } else if (slots.waiting.length > 0 && (!this.#source.ready || !this.#ask(slots))) this.#allAlone(slots);
    this.#giveBack(slots);
  }

  /** A reload may have lowered the bound below what is leased. */
  #free(slots: Slots): number {
    return Math.min(slots.leased, this.#max) - slots.inUse;
  }

  #serve(slots: Slots, free: number): void {
    const served = slots.waiting.splice(0, Math.max(0, free));
    slots.inUse += served.length;
    this.#waiting -= served.length;
    for (const resolve of served) resolve(true);
  }

  #allAlone(slots: Slots): void {
    const waiting = slots.waiting;
    slots.waiting = [];
    this.#waiting -= waiting.length;
    for (const resolve of waiting) resolve(this.#enterAlone(slots));
    this.#giveBack(slots);
  }

  #enterAlone(slots: Slots): boolean {
    if (slots.inUse < Math.max(1, Math.floor(this.#max / Math.max(1, this.#workers())))) {
      slots.inUse++;
      return true;
    }
    return false;
  }

  /** What is free beyond the spare goes back, as soon as it can be told. */
  #giveBack(slots: Slots): void {
    const back = slots.leased - slots.inUse - slots.spare;
    if (back > 0 && !slots.asking && this.#source.report(slots.key, 0, back)) slots.leased -= back;
    if (slots.leased === 0 && slots.inUse === 0 && slots.waiting.length === 0 && !slots.asking) {
      // A refused key that is not remembered would ask for each request.
      if (this.#clock.nowMs() >= slots.refusedUntilMs) this.#keys.delete(slots.key);
      else this.#sweepLater();
    } else if (slots.leased > slots.inUse) this.#sweepLater();
  }

  #sweepLater(): void {
    this.#cancelSweep ??= this.#timers.later(KEEP_MS, this.#sweep);
  }

  readonly #sweep = (): void => {
    this.#cancelSweep = null;
    const untilMs = this.#clock.nowMs() - KEEP_MS;
    for (const slots of this.#keys.values()) {
      if (slots.usedMs <= untilMs) slots.spare = 0;
      this.#giveBack(slots);
    }
  };
}
