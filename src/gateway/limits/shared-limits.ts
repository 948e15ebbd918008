/** Limits that several workers, and gateways, count together. */

/** What a limiter says about one request. */
export interface LimitDecision {
  allowed: boolean;
  /** Tokens of a full bucket. */
  limit: number;
  /** Whole tokens that are left. */
  remaining: number;
  /** Until the bucket is full again, ms. */
  resetMs: number;
  /** Until the next request of this key would be allowed, ms; 0 when it is. */
  retryAfterMs: number;
}

export interface RateLimitSpec {
  /** Unique among the limiters of the configuration, and the same for the same place in the file after a reload: its buckets go on. */
  id: string;
  /** Tokens that come back per `windowMs`, and at most `burst` in the bucket. */
  limit: number;
  windowMs: number;
  burst: number;
  /** Keys that are kept at most; beyond it the one that was unused longest is forgotten. */
  maxKeys: number;
  /** null: shared by the workers of this machine. Otherwise by all gateways that use this Redis. */
  redis: { url: string; failure: 'open' | 'closed'; timeoutMs: number } | null;
}

export interface RateLimiter {
  /** Takes one token of this key. A promise only where another process has to be asked; it is bounded. */
  take(key: string): LimitDecision | Promise<LimitDecision>;
  close(): void;
}

export interface ConcurrencySpec {
  id: string;
  /** Requests in flight at most, over all workers. */
  max: number;
}

export interface ConcurrencyLimiter {
  /** False: as many are in flight as may be. Each true is given back by `leave`, once. */
  enter(): boolean | Promise<boolean>;
  leave(): void;
  close(): void;
}

export interface SharedLimits {
  rate(spec: RateLimitSpec): RateLimiter;
  concurrency(spec: ConcurrencySpec): ConcurrencyLimiter;
}
