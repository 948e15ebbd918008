/** What the idle sources of one backend say together, and what they are handed. */
import type { BackendConfig, IdleConfig, WakeConfig } from '../model/config.ts';
import type { IdleVerdict as Said } from '../model/demand.ts';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';

export interface IdleVerdict extends Said {
  /** Whether anything here can say that it is idle: a Prometheus query or a schedule. A service that no gateway sees may not sleep without. */
  configured: boolean;
}

export type IdleSourcesConfig = Pick<IdleConfig, 'prometheus' | 'schedule'> & Pick<WakeConfig, 'before'>;

/** What the runner reads of a backend. */
export type IdleBackend = {
  name: string;
  idle: Pick<IdleConfig, 'prometheus' | 'schedule'>;
  wake: Pick<WakeConfig, 'before'>;
  scale: Pick<BackendConfig['scale'], 'idleAfterMs'>;
};

/** Timers as a port, so that tests hold time in their hands. */
export interface IdleTimers {
  /** Calls `fn` once, not before `ms` (>= 0) have passed by the clock, unless it is cancelled first. Returns the cancel function. */
  setTimer(ms: number, fn: () => void): () => void;
}

export interface IdleDeps {
  clock: Clock;
  logger: Logger;
  random: RandomSource;
  timers: IdleTimers;
  fetch: typeof fetch;
}

export const NOTHING_SAID: Readonly<IdleVerdict> = Object.freeze({
  keptBy: [],
  wake: null,
  configured: false,
});

export const systemIdleTimers: IdleTimers = {
  setTimer(ms, fn) {
    // Node fires at once what is further away than 2^31 ms; nobody here waits that long.
    const timer = setTimeout(fn, Math.min(Math.max(0, Math.ceil(ms)), 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },
};

/** As in RFC 3339, to the second, so that sentences with it stay the same. */
export function moment(wallMs: number): string {
  return Number.isFinite(wallMs) && Math.abs(wallMs) < 8.64e15
    ? `${new Date(wallMs).toISOString().slice(0, 19)}Z`
    : 'an unknown time';
}

/** Seconds for people. */
export function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
