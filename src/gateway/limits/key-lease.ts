import type { LimitDecision } from './shared-limits.ts';

/** What a worker has of one key's bucket. */
export class KeyLease {
  readonly key: string;
  /** Leased and not used. */
  tokens = 0;
  /** Of the leased ones: used and not yet told. */
  used = 0;
  /** Used since the last ask: says how many are worth leasing ahead. */
  recent = 0;
  /** Monotonic ms of the last ask; -Infinity: never. */
  askedMs = -Infinity;
  asking = false;
  /** Needed by the ask that is under way. */
  asked = 0;
  /** With so few tokens the next batch is asked for, before anybody has to wait. */
  low = -1;
  /** What was there for anybody at `answeredMs`. */
  left = 0;
  answeredMs = 0;
  /** Until then it is refused without asking, monotonic ms. */
  refusedUntilMs = 0;
  usedMs = 0;
  waiting: ((decision: LimitDecision) => void)[] = [];
  /** Not in the list of keys any more. */
  forgotten = false;

  constructor(key: string) {
    this.key = key;
  }
}
