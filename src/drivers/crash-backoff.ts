/** Counts failed starts and says when the next one may be tried: backoff, doubled with each, up to maxBackoff. No clock of its own. */
import type { Crash } from '../model/backend.ts';

export class CrashBackoff {
  readonly #config: { backoffMs: number; maxBackoffMs: number };
  #attempts = 0;
  #retryAt = Number.NEGATIVE_INFINITY;
  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(config: { backoffMs: number; maxBackoffMs: number }) {
    this.#config = config;
  }

  /**
   * A start that began at `startedMs` failed at `nowMs` (monotonic). Several that were under way at the same time count once: three instances of a broken
   * program are one failed attempt, not three.
   */
  failed(startedMs: number, nowMs: number, wallMs: number, reason: string, lastLogLines: string[]): Crash {
    if (startedMs > this.#failedAt) {
      this.#attempts++;
      this.#failedAt = nowMs;
      this.#retryAt = nowMs + this.delayMs(this.#attempts);
    }
    return {
      reason,
      atMs: wallMs,
      retryAtMs: Math.round(wallMs + Math.max(0, this.#retryAt - nowMs)),
      attempts: this.#attempts,
      lastLogLines,
    };
  }

  delayMs(attempts: number): number {
    // Capped before the power: 2 ** 1024 is Infinity, which times a backoff of 0 is NaN.
    return Math.min(this.#config.maxBackoffMs, this.#config.backoffMs * 2 ** Math.min(attempts - 1, 40));
  }

  /** Milliseconds until a start may be tried; 0: now. */
  remainingMs(nowMs: number): number {
    return Math.max(0, this.#retryAt - nowMs);
  }

  /** It ran well: the next failure is a first one. */
  reset(): void {
    this.#attempts = 0;
  }
}
