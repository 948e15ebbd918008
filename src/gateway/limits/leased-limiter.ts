/**
 * A rate limit of which this worker has a part: tokens that were leased for a key are taken at once, the next batch is asked for before they are
 * used up, and a key that is refused stays refused, without a question, until there can be a token again.
 */
import type { LimitGrant } from '../../link/limit-messages.ts';
import type { Clock } from '../../model/ports.ts';
import { TokenBucket, type BucketTerms } from '../../model/token-bucket.ts';
import { KeyLease } from './key-lease.ts';
import type { LimitDecision } from './shared-limits.ts';
import type { SourceTimers } from './supervisor-source.ts';
import type { Amounts, TokenSource } from './token-source.ts';

/** Tokens that a key did not use for so long go back, ms. */
export const KEEP_MS = 1000;
/** Leased ahead: what a key uses in so many ms at its present rate. */
const AHEAD_MS = 500;
/** A rate that was seen over less than this is nothing to go by, ms. */
const LEAST_SEEN_MS = 20;
const MAX_AHEAD = 1000;
/** A refused key asks again after this at the earliest, ms: a limit of thousands a second would ask for every token otherwise. */
const PAUSE_MS = 5;
/** Requests that may wait for an answer at once, of all keys; beyond it they are decided as if nobody answered. */
const MAX_WAITING = 10_000;

/** What is decided while nobody answers. */
export type Alone = 'share' | 'open' | 'closed';

export interface LeasedLimiterOptions {
  terms: BucketTerms;
  maxKeys: number;
  source: TokenSource;
  clock: Clock;
  timers: SourceTimers;
  /** `share`: a bucket of its own with this worker's part of the limit. */
  alone: Alone;
  /** Among whom the limit is divided then. */
  workers(): number;
}

export class LeasedLimiter {
  readonly #source: TokenSource;
  readonly #clock: Clock;
  readonly #timers: SourceTimers;
  #alone: Alone;
  readonly #workers: () => number;
  #terms: BucketTerms;
  #maxKeys: number;
  /** Keys of the last second, the one that was unused longest first. */
  readonly #leases = new Map<string, KeyLease>();
  #latest: KeyLease | null = null;
  #waiting = 0;
  /** Buckets of keys that are counted alone. */
  readonly #shares = new Map<string, TokenBucket>();
  #cancelSweep: (() => void) | null = null;
  #closed = false;

  constructor(options: LeasedLimiterOptions) {
    this.#terms = options.terms;
    this.#maxKeys = options.maxKeys;
    this.#source = options.source;
    this.#clock = options.clock;
    this.#timers = options.timers;
    this.#alone = options.alone;
    this.#workers = options.workers;
  }

  /** Keys that it remembers. */
  get keys(): number {
    return this.#leases.size;
  }

  /** What was leased by other terms goes back. */
  change(terms: BucketTerms, maxKeys: number, alone: Alone): void {
    const { limit, windowMs, burst } = this.#terms;
    const isSame = limit === terms.limit && windowMs === terms.windowMs && burst === terms.burst;
    this.#alone = alone;
    this.#terms = terms;
    this.#maxKeys = maxKeys;
    if (isSame) return;
    this.#shares.clear();
    for (const lease of this.#leases.values()) {
      lease.refusedUntilMs = 0;
      this.#tell(lease);
    }
  }

  /** Another controller: what was leased from the former one is nothing to it. What was used and not told yet is told to it. */
  relinked(): void {
    this.#shares.clear();
    for (const lease of this.#leases.values()) {
      lease.tokens = 0;
      lease.refusedUntilMs = 0;
    }
  }

  take(key: string): LimitDecision | Promise<LimitDecision> {
    const nowMs = this.#clock.nowMs();
    const lease = this.#lease(key);
    lease.usedMs = nowMs;
    if (lease.tokens > 0) {
      this.#use(lease);
      if (lease.tokens <= lease.low && !lease.asking && this.#source.ready) this.#ask(lease);
      return this.#decision(lease, true, nowMs);
    }
    if (nowMs < lease.refusedUntilMs) return this.#decision(lease, false, nowMs);
    if (!this.#source.ready || this.#waiting >= MAX_WAITING) return this.#decideAlone(lease, nowMs);
    const { promise, resolve } = Promise.withResolvers<LimitDecision>();
    lease.waiting.push(resolve);
    this.#waiting++;
    if (!lease.asking && !this.#ask(lease)) this.#allAlone(lease, nowMs);
    return promise;
  }

  /** Tells what is leased and what was used, and forgets all. Nobody takes any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelSweep?.();
    for (const lease of this.#leases.values()) {
      this.#tell(lease);
      this.#drop(lease);
    }
    this.#source.close();
  }

  #lease(key: string): KeyLease {
    if (this.#latest !== null && this.#latest.key === key && !this.#latest.forgotten) return this.#latest;
    let lease = this.#leases.get(key);
    if (lease === undefined) {
      lease = new KeyLease(key);
      if (this.#leases.size >= this.#maxKeys) this.#forgetOldest();
    } else this.#leases.delete(key);
    this.#leases.set(key, lease);
    this.#latest = lease;
    this.#cancelSweep ??= this.#timers.later(KEEP_MS, this.#sweep);
    return lease;
  }

  #use(lease: KeyLease): void {
    lease.tokens--;
    lease.used++;
    lease.recent++;
  }

  #ask(lease: KeyLease): boolean {
    const asker = {
      amounts: () => this.#wanted(lease),
      granted: (grant: LimitGrant): void => this.#granted(lease, grant),
      unanswered: (): void => this.#unanswered(lease),
      unwanted: (given: number, need: number): number => Math.max(0, given - need),
    };
    lease.asking = this.#source.ask(lease.key, asker);
    return lease.asking;
  }

  #wanted(lease: KeyLease): Amounts {
    const nowMs = this.#clock.nowMs();
    const elapsedMs = nowMs - lease.askedMs;
    const perMs = elapsedMs > 4 * KEEP_MS ? 0 : lease.recent / Math.max(elapsedMs, LEAST_SEEN_MS);
    const more = Math.min(MAX_AHEAD, this.#terms.burst, Math.floor(perMs * AHEAD_MS));
    const { used } = lease;
    lease.used = 0;
    lease.recent = 0;
    lease.askedMs = nowMs;
    lease.asked = lease.waiting.length;
    return { need: lease.asked, more, used, back: 0 };
  }

  #granted(lease: KeyLease, { given, left, waitMs }: LimitGrant): void {
    const nowMs = this.#clock.nowMs();
    lease.asking = false;
    const needed = Math.min(given, lease.asked);
    lease.tokens += given - needed;
    lease.left = left;
    lease.answeredMs = nowMs;
    lease.low = given >= 8 ? given >> 2 : -1;
    lease.refusedUntilMs = 0;
    // Those that the ask spoke of: theirs is used already.
    for (const resolve of lease.waiting.splice(0, needed)) {
      lease.recent++;
      this.#answer(resolve, this.#decision(lease, true, nowMs));
    }
    for (const resolve of lease.waiting.splice(0, lease.tokens)) {
      this.#use(lease);
      this.#answer(resolve, this.#decision(lease, true, nowMs));
    }
    if (given < lease.asked) {
      const { limit, windowMs, burst } = this.#terms;
      // A bucket that is full sooner than that would lose tokens by the pause.
      const pauseMs = Math.min(PAUSE_MS, (burst * windowMs) / limit / 4);
      lease.refusedUntilMs = nowMs + Math.max(waitMs, pauseMs);
      const refused = lease.waiting;
      lease.waiting = [];
      for (const resolve of refused) this.#answer(resolve, this.#decision(lease, false, nowMs));
    } else if (lease.waiting.length > 0 && (!this.#source.ready || !this.#ask(lease))) this.#allAlone(lease, nowMs);
    if (lease.forgotten) this.#tell(lease);
  }

  #unanswered(lease: KeyLease): void {
    lease.asking = false;
    this.#allAlone(lease, this.#clock.nowMs());
  }

  #allAlone(lease: KeyLease, nowMs: number): void {
    const waiting = lease.waiting;
    lease.waiting = [];
    for (const resolve of waiting) this.#answer(resolve, this.#decideAlone(lease, nowMs));
  }

  #answer(resolve: (decision: LimitDecision) => void, decision: LimitDecision): void {
    this.#waiting--;
    resolve(decision);
  }

  #decision(lease: KeyLease, allowed: boolean, nowMs: number): LimitDecision {
    const { limit, windowMs, burst } = this.#terms;
    const elapsedMs = nowMs - lease.answeredMs;
    const level = Math.min(burst, lease.tokens + lease.left + (elapsedMs * limit) / windowMs);
    return {
      allowed,
      counted: true,
      limit: burst,
      remaining: allowed ? Math.floor(level) : 0,
      resetMs: ((burst - (allowed ? level : Math.min(level, 1))) * windowMs) / limit,
      retryAfterMs: allowed ? 0 : Math.max(0, lease.refusedUntilMs - nowMs),
    };
  }

  #decideAlone(lease: KeyLease, nowMs: number): LimitDecision {
    const terms = this.#shareOfOne();
    if (this.#alone !== 'share')
      return {
        allowed: this.#alone === 'open',
        counted: false,
        limit: this.#terms.burst,
        remaining: 0,
        resetMs: 0,
        retryAfterMs: this.#alone === 'open' ? 0 : KEEP_MS,
      };
    let bucket = this.#shares.get(lease.key);
    if (bucket === undefined) {
      bucket = new TokenBucket(nowMs);
      if (this.#shares.size >= this.#maxKeys) this.#shares.delete(this.#shares.keys().next().value!);
    } else this.#shares.delete(lease.key);
    this.#shares.set(lease.key, bucket);
    bucket.advance(terms, nowMs);
    const allowed = bucket.tokens(terms) >= 1;
    if (allowed) {
      bucket.take(terms, 1);
      lease.used++;
    }
    return {
      allowed,
      counted: true,
      limit: this.#terms.burst,
      remaining: bucket.tokens(terms),
      resetMs: bucket.waitMs(terms, terms.burst),
      retryAfterMs: allowed ? 0 : bucket.waitMs(terms, 1),
    };
  }

  #shareOfOne(): BucketTerms {
    const { limit, windowMs, burst } = this.#terms;
    const workers = Math.max(1, this.#workers());
    return { limit, windowMs: windowMs * workers, burst: Math.max(1, Math.floor(burst / workers)) };
  }

  /** Tells of the keys that were not used for a while, and forgets them. */
  readonly #sweep = (): void => {
    this.#cancelSweep = null;
    const untilMs = this.#clock.nowMs() - KEEP_MS;
    if (this.#source.ready) {
      this.#shares.clear();
      for (const lease of this.#leases.values()) {
        if (lease.usedMs > untilMs) break;
        if (lease.asking) continue;
        if (!this.#tell(lease)) break;
        this.#drop(lease);
      }
    }
    if (this.#leases.size > 0) this.#cancelSweep = this.#timers.later(KEEP_MS, this.#sweep);
  };

  /** There are too many: it goes, told or not. One that asks is told of when its answer comes. */
  #forgetOldest(): void {
    for (const lease of this.#leases.values()) {
      this.#tell(lease);
      return this.#drop(lease);
    }
  }

  #drop(lease: KeyLease): void {
    lease.forgotten = true;
    this.#leases.delete(lease.key);
    if (this.#latest === lease) this.#latest = null;
  }

  /** False: it can't be told now. */
  #tell(lease: KeyLease): boolean {
    if (lease.used === 0 && lease.tokens === 0) return true;
    if (!this.#source.report(lease.key, lease.used, lease.tokens)) return false;
    lease.used = 0;
    lease.tokens = 0;
    return true;
  }
}
