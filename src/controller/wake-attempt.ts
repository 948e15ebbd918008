/** One wake from its cause to the first endpoint: dependencies one after the other, then the driver. */
import type { WakeCause } from '../model/backend.ts';

export interface WakeAttempt {
  readonly cause: WakeCause;
  readonly sinceMs: number;
  readonly sinceWallMs: number;
  /** `replacing`: what runs holds the only port and is emptied first. `closing`: what was starting has to be gone first. */
  stage: 'dependencies' | 'replacing' | 'closing' | 'starting';
  /** Index in wake.with of the one that is being waited for. */
  next: number;
  /** When the driver was asked; monotonic. */
  askedMs: number;
  /** When somebody was last known to wait for it; monotonic. */
  wantedMs: number;
}

/** How often a wake looks whether anybody still waits, and whether the driver still tries; at most once a second. */
export function watchIntervalMs(timeoutMs: number): number {
  return Math.min(1000, Math.max(50, timeoutMs / 4));
}

/** True when nobody has waited for longer than wake.timeout. */
export function nobodyWaits(attempt: WakeAttempt, nowMs: number, timeoutMs: number): boolean {
  return nowMs - attempt.wantedMs > timeoutMs;
}
