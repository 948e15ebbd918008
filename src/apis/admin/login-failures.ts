/** Failed log-ins by address: a few are free, then one is every six seconds. Who has a right token is not held up by others behind the same address. */
import type { Clock } from '../../model/ports.ts';
import { TokenBucket, type BucketTerms } from '../../model/token-bucket.ts';

const TERMS: BucketTerms = { limit: 10, windowMs: 60_000, burst: 10 };
const MOST_ADDRESSES = 10_000;

export class LoginFailures {
  readonly #clock: Clock;
  /** The one that failed longest ago first. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts a failure. 0: it may be answered as one; otherwise how long to wait, in seconds. */
  count(address: string): number {
    const key = networkOf(address);
    const nowMs = this.#clock.nowMs();
    const bucket = this.#buckets.get(key) ?? new TokenBucket(nowMs);
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > MOST_ADDRESSES) this.#buckets.delete(this.#buckets.keys().next().value!);
    bucket.advance(TERMS, nowMs);
    if (bucket.tokens(TERMS) < 1) return Math.ceil(TERMS.windowMs / TERMS.limit / 1000);
    bucket.take(TERMS, 1);
    return 0;
  }
}

/** One client has a whole /64 of IPv6. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [head = ''] = address.split('::', 1);
  const groups = head.split(':');
  while (groups.length < 4) groups.push('0');
  return `${groups.slice(0, 4).join(':')}::/64`;
}
