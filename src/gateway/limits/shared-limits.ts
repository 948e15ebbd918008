/** Limits that several workers, and gateways, count together. docs/limits.md says how exact they are. */
import type { BucketTerms } from '../../model/token-bucket.ts';

/** What a limiter says about one request. */
export interface LimitDecision {
  allowed: boolean;
  /** False: whoever counts could not be asked, and `allowed` is what was configured for that. The numbers mean nothing then. */
  counted: boolean;
  /** Tokens of a full bucket. */
  limit: number;
  /** Whole tokens that are left. */
  remaining: number;
  /** Until the bucket is full again, ms. */
  resetMs: number;
  /** Until the next request of this key would be allowed, ms; 0 when it is. */
  retryAfterMs: number;
}

/** Tokens that come back per `windowMs`, and at most `burst` in the bucket: at most TOP_TERMS. */
export interface RateLimitSpec extends BucketTerms {
  /** Unique among the limiters of the configuration, and the same for the same place in the file after a reload: its buckets go on. */
  id: string;
  /** For the metrics. */
  route: string;
  /** Keys that are kept at most; beyond it the one that was unused longest is forgotten. Means nothing with Redis, where keys expire. */
  maxKeys: number;
  /** null: shared by the workers of this machine. Otherwise by all gateways that use this Redis. */
  redis: RedisLimitSpec | null;
}

export interface RedisLimitSpec {
  url: string;
  failure: 'open' | 'closed';
  timeoutMs: number;
  /** Of the keys in Redis. */
  prefix: string;
}

export interface RateLimiter {
  /** Takes one token of this key. A promise only where another process has to be asked; it is bounded. */
  take(key: string): LimitDecision | Promise<LimitDecision>;
  close(): void;
}

export interface ConcurrencySpec {
  id: string;
  route: string;
  /** Requests in flight at most per key, over all workers. */
  max: number;
}

export interface ConcurrencyLimiter {
  /** False: as many are in flight as may be. Each true is given back by `leave`, once. */
  enter(key: string): boolean | Promise<boolean>;
  leave(key: string): void;
  close(): void;
}

export interface SharedLimits {
  rate(spec: RateLimitSpec): RateLimiter;
  concurrency(spec: ConcurrencySpec): ConcurrencyLimiter;
}
