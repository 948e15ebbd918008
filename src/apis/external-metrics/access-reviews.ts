/** Whether somebody may read a metric: the cluster's own word (SubjectAccessReview), kept for a moment, since an HPA asks every few seconds. */
import type { Caller } from './caller.ts';

/** A word counts for so long, ms. */
const KEPT_MS = 10_000;
const MOST_KEPT = 10_000;

export interface Access {
  namespace: string;
  /** `list`: values of a metric. */
  verb: 'get' | 'list';
  /** The metric's name. */
  resource: string;
}

export interface AccessReviewsOptions {
  /** Asks the API server; rejects when it does not answer. */
  review(caller: Caller, access: Access, signal: AbortSignal): Promise<{ allowed: boolean; reason: string }>;
  nowMs(): number;
}

export class AccessReviews {
  readonly #options: AccessReviewsOptions;
  readonly #kept = new Map<string, { atMs: number; word: Promise<{ allowed: boolean; reason: string }> }>();

  constructor(options: AccessReviewsOptions) {
    this.#options = options;
  }

  check(caller: Caller, access: Access, signal: AbortSignal): Promise<{ allowed: boolean; reason: string }> {
    const key = JSON.stringify([caller, access]);
    const nowMs = this.#options.nowMs();
    const known = this.#kept.get(key);
    if (known !== undefined && nowMs - known.atMs < KEPT_MS) return known.word;
    const word = this.#options.review(caller, access, signal);
    this.#kept.delete(key);
    this.#kept.set(key, { atMs: nowMs, word });
    // An answer that never came is no word.
    word.catch(() => {
      if (this.#kept.get(key)?.word === word) this.#kept.delete(key);
    });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MOST_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    return word;
  }
}
