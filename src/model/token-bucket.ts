/**
 * A token bucket in the form of the generic cell rate algorithm (ITU-T I.371): of each bucket only what is missing from a full one is kept, so that a
 * key that nobody used needs no state and no timer. A token weighs `windowMs` and each millisecond gives `limit` back: with whole milliseconds
 * all sums are whole numbers below 2^53 (TOP_TERMS), so nothing is ever rounded.
 */
export interface BucketTerms {
  /** Tokens that come back per `windowMs`, whole, > 0. */
  limit: number;
  /** Whole, > 0. */
  windowMs: number;
  /** Tokens of a full bucket, whole, > 0. */
  burst: number;
}

/** Up to these the sums are exact: 10^6 x 86,400,000 x 2 < 2^53. */
export const TOP_TERMS: Readonly<BucketTerms> = { limit: 1_000_000, windowMs: 86_400_000, burst: 1_000_000 };

export class TokenBucket {
  /** What is missing from a full bucket at `atMs`, in tokens x `windowMs`. */
  private debt = 0;
  private atMs: number;

  /** A full one. `nowMs`: monotonic, as everywhere here. */
  constructor(nowMs: number) {
    this.atMs = nowMs;
  }

  /** Lets time pass. A time before the last one counts as none. */
  advance(terms: BucketTerms, nowMs: number): void {
    const elapsedMs = nowMs - this.atMs;
    if (elapsedMs <= 0) return;
    this.atMs = nowMs;
    if (this.debt > 0) this.debt = Math.max(0, this.debt - elapsedMs * terms.limit);
  }

  /** Whole tokens that are there after the last `advance`; negative when more were put down than there were. */
  tokens(terms: BucketTerms): number {
    return Math.floor((terms.burst * terms.windowMs - this.debt) / terms.windowMs);
  }

  /** Takes tokens, there or not: whoever may be refused asks `tokens` first. */
  take(terms: BucketTerms, tokens: number): void {
    this.debt += tokens * terms.windowMs;
  }

  /** At most so many tokens missing. */
  bound(terms: BucketTerms, tokens: number): void {
    this.debt = Math.min(this.debt, tokens * terms.windowMs);
  }

  /** Until so many tokens are there, ms; 0 when they are. Infinite for more than the bucket holds. */
  waitMs(terms: BucketTerms, tokens: number): number {
    if (tokens > terms.burst) return Infinity;
    return Math.max(0, (this.debt - (terms.burst - tokens) * terms.windowMs) / terms.limit);
  }

  get isFull(): boolean {
    return this.debt === 0;
  }

  /** Other terms from now on: as many tokens are missing as were. */
  change(from: BucketTerms, to: BucketTerms, nowMs: number): void {
    this.advance(from, nowMs);
    if (from.windowMs !== to.windowMs) this.debt = (this.debt / from.windowMs) * to.windowMs;
  }
}
