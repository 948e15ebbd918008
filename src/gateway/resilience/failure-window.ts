/** Parts of the window; what is older than the window leaves it in steps of a tenth. */
const PARTS = 10;

/**
 * Requests and failures of the last `windowMs`, in ten parts: what it says covers between nine and ten tenths of the window. Time is passed in and
 * may stand still; when it goes back, what comes counts for the newest part. Counting makes nothing.
 */
export class FailureWindow {
  #partMs: number;
  /** Requests of each part, then failures of each. */
  readonly #counts = new Uint32Array(2 * PARTS);
  #requests = 0;
  #failures = 0;
  /** Number of the newest part since the clock's zero. */
  #newest = 0;

  /** `windowMs` > 0. */
  constructor(windowMs: number) {
    this.#partMs = windowMs / PARTS;
  }

  get windowMs(): number {
    return this.#partMs * PARTS;
  }

  /** Counts one request. */
  add(nowMs: number, failed: boolean): void {
    this.#advance(nowMs);
    const at = this.#newest % PARTS;
    this.#counts[at]!++;
    this.#requests++;
    if (!failed) return;
    this.#counts[PARTS + at]!++;
    this.#failures++;
  }

  /** Counts a failure of a request that was counted before. */
  addFailure(nowMs: number): void {
    this.#advance(nowMs);
    this.#counts[PARTS + (this.#newest % PARTS)]!++;
    this.#failures++;
  }

  requests(nowMs: number): number {
    this.#advance(nowMs);
    return this.#requests;
  }

  failures(nowMs: number): number {
    this.#advance(nowMs);
    return this.#failures;
  }

  /** Failures in the newest part. */
  newestFailures(nowMs: number): number {
    this.#advance(nowMs);
    return this.#counts[PARTS + (this.#newest % PARTS)]!;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#requests = 0;
    this.#failures = 0;
  }

  #advance(nowMs: number): void {
    const part = Math.floor(nowMs / this.#partMs);
    const steps = part - this.#newest;
    if (steps <= 0) return;
    this.#newest = part;
    if (steps >= PARTS) {
      if (this.#requests > 0 || this.#failures > 0) this.clear();
      return;
    }
    for (let i = 0; i < steps; i++) {
      const at = (part - i) % PARTS;
      this.#requests -= this.#counts[at]!;
      this.#failures -= this.#counts[PARTS + at]!;
      this.#counts[at] = 0;
      this.#counts[PARTS + at] = 0;
    }
  }
}
