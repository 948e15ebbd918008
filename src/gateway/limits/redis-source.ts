import type { BucketTerms } from '../../model/token-bucket.ts';
import type { RedisConnection } from './redis-connection.ts';
import type { RedisLimitSpec } from './shared-limits.ts';
import type { Asker, TokenSource } from './token-source.ts';

/** Batches are at most this part of what is free: nobody knows how many gateways share it. */
const PART = 16;

/**
 * One limit in a Redis. What is leased counts as used there from the start, and what isn't used in time is lost: batches are only taken ahead at the rate
 * at which the key is being used, so that a slow client takes single tokens.
 */
export class RedisSource implements TokenSource {
  readonly #connection: RedisConnection;
  readonly #release: () => void;
  #terms: BucketTerms;
  #spec: RedisLimitSpec;
  readonly #keyStart: string;

  /** `release`: the connection is not needed any more. */
  constructor(connection: RedisConnection, release: () => void, id: string, terms: BucketTerms, spec: RedisLimitSpec) {
    this.#connection = connection;
    this.#release = release;
    this.#terms = terms;
    this.#spec = spec;
    this.#keyStart = `${spec.prefix}:rate:${id}:`;
  }

  get ready(): boolean {
    return this.#connection.ready;
  }

  change(terms: BucketTerms, spec: RedisLimitSpec): void {
    this.#terms = terms;
    this.#spec = spec;
  }

  ask(key: string, asker: Asker): boolean {
    if (!this.#connection.ready) return false;
    const { limit, windowMs, burst } = this.#terms;
    const { need, more } = asker.amounts();
    void this.#connection
      .take(this.#keyStart + key, [limit, windowMs, burst, need, more, PART], this.#spec.timeoutMs)
      .then((answer) => {
        if (answer === null) asker.unanswered();
        else asker.granted({ given: answer[0], left: answer[1], waitMs: answer[2] });
      });
    return true;
  }

  report(): boolean {
    return true;
  }

  close(): void {
    this.#release();
  }
}
