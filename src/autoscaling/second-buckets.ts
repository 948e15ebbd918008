/**
 * What was measured, in buckets of one second, and its linear average over the last seconds. One ring of buckets serves several windows: the
 * stable and the panic average read the same numbers.
 *
 * With B = ceil(W / 1 s), L the second of the last write, F the second of the first write, `now` cut to its second:
 *
 *     now <= L:        total / min(L - F + 1, B)
 *     0 < now-L < W:   (total without the buckets that left the window) / min(L - F + 1, B - (now - L))
 *     otherwise:       0
 *
 * A write after a gap shorter than W fills the gap with zeros; after a longer one everything before is forgotten and F = now. A late value counts
 * if its second + W > L. Results are rounded to 6 decimals, so that what was added and taken away leaves no dust.
 */
export class SecondBuckets {
  /** Seconds covered, whole. */
  readonly span: number;
  readonly #windowSeconds: number;
  readonly #buckets: Float64Array;
  #first = 0;
  #last = 0;
  #written = false;

  /** `windowMs`: the longest window that will be read, > 0. Memory: 8 bytes per second of it. */
  constructor(windowMs: number) {
    this.#windowSeconds = windowMs / 1000;
    this.span = Math.max(1, Math.ceil(this.#windowSeconds));
    this.#buckets = new Float64Array(this.span);
  }

  /** Adds `value` to the bucket of `nowMs`. */
  record(nowMs: number, value: number): void {
    const second = Math.floor(nowMs / 1000);
    if (!this.#written) {
      this.#written = true;
      this.#first = second;
      this.#last = second;
    } else if (second !== this.#last) {
      if (second + this.#windowSeconds <= this.#last) return;
      if (second < this.#first) this.#first = second;
      if (second > this.#last) this.#advance(second);
    }
    const index = this.#index(second);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + value;
  }

  #advance(second: number): void {
    if (second - this.#last >= this.#windowSeconds) {
      this.#buckets.fill(0);
      this.#first = second;
    } else {
      for (let s = this.#last + 1; s <= second; s++) this.#buckets[this.#index(s)] = 0;
    }
    this.#last = second;
  }

  /** True when nothing was written for longer than the window (now - L > W), or never: then nothing can be concluded. */
  isEmpty(nowMs: number): boolean {
    return !this.#written || Math.floor(nowMs / 1000) - this.#last > this.#windowSeconds;
  }

  /** The linear average over the last `windowMs` (at most the window of the constructor), per second. */
  average(nowMs: number, windowMs: number): number {
    if (!this.#written) return 0;
    const seconds = Math.min(windowMs / 1000, this.#windowSeconds);
    const size = Math.max(1, Math.ceil(seconds));
    const now = Math.max(Math.floor(nowMs / 1000), this.#last);
    const silent = now - this.#last;
    if (silent > 0 && silent >= seconds) return 0;
    let total = 0;
    for (let s = Math.max(now - size + 1, this.#first); s <= this.#last; s++)
      total += this.#buckets[this.#index(s)] ?? 0;
    const valid = Math.min(this.#last - this.#first + 1, size - silent);
    return Math.round((total / valid) * 1e6) / 1e6;
  }

  #index(second: number): number {
    const index = second % this.span;
    return index < 0 ? index + this.span : index;
  }
}
