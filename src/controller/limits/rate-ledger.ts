import type { LimitAsk, LimitGrant, SharedRateTerms } from '../../link/limit-messages.ts';
import { TokenBucket } from '../../model/token-bucket.ts';
import { granted, whole } from './grant.ts';

/** When all that a bucket can hold is leased to others: they give back what they don't use after about this, ms. */
const GIVEN_BACK_MS = 1000;
const NOTHING: LimitGrant = Object.freeze({ given: 0, left: 0, waitMs: 0 });

interface Entry<G> {
  bucket: TokenBucket;
  /** Sum of `leases`. */
  leased: number;
  /** null: nobody has any. */
  leases: Map<G, number> | null;
}

/**
 * The buckets of one rate limit. What a gateway needs is taken from the bucket at once. What it gets beyond that is leased: it stays in the bucket, set
 * aside, until the gateway tells that it used it. So the bucket never has more than `burst` less what is out, and never more than burst + rate x
 * time pass, whenever a gateway uses its lease. In return up to one batch per gateway may lie unused while another one is refused.
 */
export class RateLedger<G> {
  #terms: SharedRateTerms;
  /** The one that was unused longest first. */
  readonly #entries = new Map<string, Entry<G>>();
  #lastMs: number;

  constructor(terms: SharedRateTerms, nowMs: number) {
    this.#terms = terms;
    this.#lastMs = nowMs;
  }

  get keys(): number {
    return this.#entries.size;
  }

  /** From then on a forgotten bucket is like a kept one: all are full. Monotonic ms. */
  get forgettableAtMs(): number {
    return this.#lastMs + (this.#terms.burst * this.#terms.windowMs) / this.#terms.limit;
  }

  change(terms: SharedRateTerms, nowMs: number): void {
    const from = this.#terms;
    this.#terms = terms;
    for (const { bucket } of this.#entries.values()) bucket.change(from, terms, nowMs);
    this.#trim();
  }

  /** `gateways`: among whom what is there has to do. */
  ask(gateway: G, ask: LimitAsk, gateways: number, nowMs: number): LimitGrant {
    const terms = this.#terms;
    const need = whole(ask.need);
    const more = whole(ask.more);
    const used = whole(ask.used);
    this.#lastMs = nowMs;
    const known = this.#entries.get(ask.key);
    if (known === undefined && need === 0 && more === 0 && used === 0) return NOTHING;
    const entry = known ?? { bucket: new TokenBucket(nowMs), leased: 0, leases: null };
    const { bucket } = entry;
    bucket.advance(terms, nowMs);
    this.#settle(entry, gateway, used + whole(ask.back));
    if (used > 0) {
      bucket.take(terms, used);
      // A gateway that counted alone may have used what was not there: a bucket's worth of that is remembered.
      bucket.bound(terms, 2 * terms.burst);
    }
    const free = Math.max(0, bucket.tokens(terms) - entry.leased);
    const given = granted(free, need, more, gateways);
    if (given > 0) bucket.take(terms, Math.min(given, need));
    if (given > need) {
      entry.leased += given - need;
      entry.leases ??= new Map();
      entry.leases.set(gateway, (entry.leases.get(gateway) ?? 0) + given - need);
    }
    if (known !== undefined) this.#entries.delete(ask.key);
    if (!bucket.isFull || entry.leased > 0) {
      this.#entries.set(ask.key, entry);
      this.#trim();
    }
    const waitMs = given >= need ? 0 : bucket.waitMs(terms, entry.leased + 1);
    return { given, left: free - given, waitMs: Number.isFinite(waitMs) ? waitMs : GIVEN_BACK_MS };
  }

  #settle(entry: Entry<G>, gateway: G, tokens: number): void {
    const lease = entry.leases?.get(gateway) ?? 0;
    const settled = Math.min(lease, tokens);
    if (settled === 0) return;
    entry.leased -= settled;
    if (settled < lease) entry.leases!.set(gateway, lease - settled);
    else {
      entry.leases!.delete(gateway);
      if (entry.leases!.size === 0) entry.leases = null;
    }
  }

  /** The gateway is gone, and nobody knows what it used: all that it had counts as used. */
  left(gateway: G, nowMs: number): void {
    for (const entry of this.#entries.values()) {
      const lease = entry.leases?.get(gateway) ?? 0;
      if (lease === 0) continue;
      this.#settle(entry, gateway, lease);
      entry.bucket.advance(this.#terms, nowMs);
      entry.bucket.take(this.#terms, lease);
    }
  }

  #trim(): void {
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= this.#terms.maxKeys) return;
      this.#entries.delete(key);
    }
  }
}
