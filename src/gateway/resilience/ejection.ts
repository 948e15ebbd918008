import type { EjectionConfig } from '../../model/config.ts';
import { FailureWindow } from './failure-window.ts';

export type EjectionReason = 'consecutive-errors' | 'failure-rate';

/** An endpoint that fails again and again is away for at most this many times the base. */
const LONGEST_FACTOR = 10;

/** What is known of one endpoint's results. */
export class EndpointRecord {
  /** Monotonic ms until which it is ejected; 0: it is not. */
  ejectedUntilMs = 0;
  /** Errors since its last success. */
  consecutiveErrors = 0;
  /** Ejections in a row. */
  ejections = 0;
  /** Until when another ejection counts as one more in a row, monotonic ms. */
  probationUntilMs = 0;
  /** null until something was counted. */
  window: FailureWindow | null = null;
}

/**
 * Passive health: which endpoint gets nothing for a while because of what its requests came to (outlier detection). Ejections in a row last a multiple of
 * the base: one counts as in a row when it comes within the time that the one before had lasted, after its end.
 */
export class Ejection {
  readonly #config: EjectionConfig;

  constructor(config: EjectionConfig) {
    this.#config = config;
  }

  /** Counts one result of an endpoint that isn't ejected, and says why it should be; null: it may stay. */
  count(record: EndpointRecord, failed: boolean, nowMs: number): EjectionReason | null {
    const { windowMs, consecutiveErrors, failurePercent, minimumRequests } = this.#config;
    if (record.window === null || record.window.windowMs !== windowMs) record.window = new FailureWindow(windowMs);
    record.window.add(nowMs, failed);
    if (!failed) {
      record.consecutiveErrors = 0;
      return null;
    }
    record.consecutiveErrors++;
    if (consecutiveErrors > 0 && record.consecutiveErrors >= consecutiveErrors) return 'consecutive-errors';
    if (failurePercent === 0) return null;
    const requests = record.window.requests(nowMs);
    const isBad = requests >= minimumRequests && record.window.failures(nowMs) * 100 >= failurePercent * requests;
    return isBad ? 'failure-rate' : null;
  }

  /** Whether one more of `total` endpoints may be ejected when `ejected` are. */
  allows(ejected: number, total: number): boolean {
    return (ejected + 1) * 100 <= this.#config.maxEjectedPercent * total;
  }

  /** Ejects it, and says for how long, ms. */
  eject(record: EndpointRecord, nowMs: number): number {
    record.ejections = nowMs < record.probationUntilMs ? record.ejections + 1 : 1;
    const forMs = this.#config.baseMs * Math.min(record.ejections, LONGEST_FACTOR);
    record.ejectedUntilMs = nowMs + forMs;
    record.probationUntilMs = record.ejectedUntilMs + forMs;
    record.consecutiveErrors = 0;
    record.window?.clear();
    return forMs;
  }
}

/** Fewer than half of the endpoints would be usable: those that are left would fail next, so that ejections are ignored (panic threshold, as in Envoy). */
export function panics(usable: number, total: number): boolean {
  return usable * 2 < total;
}
