import { FailureWindow } from './failure-window.ts';

/** What the share refers to. */
const WINDOW_MS = 10_000;
/** Retries that a second may always have: with few requests a share would be none. */
const ALWAYS_PER_SECOND = 3;

/**
 * Keeps retries from multiplying the load of a backend that fails: of the requests of the last ten seconds at most a share may be sent again. Per
 * backend and worker. Retries because of a connection that could not be opened are not counted: they cost the backend nothing.
 */
export class RetryBudget {
  /** Requests, and as failures the retries. A part of it is one second. */
  readonly #window = new FailureWindow(WINDOW_MS);

  countRequest(nowMs: number): void {
    this.#window.add(nowMs, false);
  }

  /** Takes one retry when there is one. `percent`: of the requests, 0 to 100. */
  take(nowMs: number, percent: number): boolean {
    const isFree = this.#window.newestFailures(nowMs) < ALWAYS_PER_SECOND;
    if (!isFree && (this.#window.failures(nowMs) + 1) * 100 > percent * this.#window.requests(nowMs)) return false;
    this.#window.addFailure(nowMs);
    return true;
  }
}
