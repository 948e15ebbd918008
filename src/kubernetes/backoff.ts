import type { RandomSource } from '../model/ports.ts';

/** Exponential, with full jitter in the upper half: n clients that failed together don't come back together. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #random: RandomSource;
  #failures = 0;

  constructor(firstMs: number, longestMs: number, random: RandomSource) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
    this.#random = random;
  }

  /** How long to wait after one more failure, ms. */
  next(): number {
    const ms = backoffMs(this.#failures, this.#firstMs, this.#longestMs, this.#random);
    this.#failures += 1;
    return ms;
  }

  get failures(): number {
    return this.#failures;
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** The wait after `failures` (from 0) in a row: between the half and the whole of first * 2^failures, at most `longestMs`. */
export function backoffMs(failures: number, firstMs: number, longestMs: number, random: RandomSource): number {
  const whole = Math.min(longestMs, firstMs * 2 ** Math.min(failures, 40));
  return whole / 2 + (whole / 2) * random();
}
