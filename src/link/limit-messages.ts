/**
 * Rate and concurrency limits across gateways: the controller has the buckets and hands out tokens (rate) and slots (concurrency) in batches, so that a
 * request costs no round trip. docs/limits.md says how exact that is.
 */
import type { BucketTerms } from '../model/token-bucket.ts';

export interface SharedRateTerms extends BucketTerms {
  kind: 'rate';
  name: string;
  /** Keys that are remembered; beyond it the one that was unused longest is forgotten. */
  maxKeys: number;
}

export interface SharedSlotTerms {
  kind: 'concurrency';
  name: string;
  /** Slots of each key. */
  max: number;
}

export type SharedLimitTerms = SharedRateTerms | SharedSlotTerms;

/**
 * For one key of one limit. Tokens that are needed count as used when they are given; those beyond are leased: used later, given back, or still the
 * gateway's. Slots are the gateway's until it gives them back.
 */
export interface LimitAsk {
  /** Of the limit. */
  name: string;
  key: string;
  /** Needed now: that many requests wait for the answer. */
  need: number;
  /** Useful beyond that in the next moments. */
  more: number;
  /** Leased tokens that were used since the last ask. Always 0 for slots. */
  used: number;
  /** Leased before and not needed any more. */
  back: number;
}

export interface LimitGrant {
  /** Now the gateway's: less than `need` only when no more are there. */
  given: number;
  /** Still there for anybody. */
  left: number;
  /** When fewer than needed were given: until there is a token again, ms. */
  waitMs: number;
}
