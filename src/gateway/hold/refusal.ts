import type { Outcome } from '../answers.ts';
import type { GatewayBackend } from '../backend.ts';

/** Why a request that waits, or wanted to, is not served. */
export type RefusalReason = 'full' | 'timeout' | 'crashing' | 'down' | 'removed';

export interface Refusal {
  status: number;
  outcome: Outcome;
  detail: string;
  /** Whole lines. */
  headers: string;
}

/** The answer to it: 504 when it waited in vain, otherwise 503 with the time after which asking again may help. */
export function refusal(why: RefusalReason, backend: GatewayBackend, wallMs: number): Refusal {
  const { name, config } = backend;
  const soon = 'Retry-After: 1\r\n';
  switch (why) {
    case 'full':
      return {
        status: 503,
        outcome: 'hold-full',
        detail: `Too many requests wait for ${name} to wake (wake.maxHeld, wake.maxHeldBytes).`,
        headers: soon,
      };
    case 'timeout':
      return {
        status: 504,
        outcome: 'hold-timeout',
        detail: `${name} did not wake within ${Math.round(config.wake.timeoutMs / 100) / 10} s (wake.timeout).`,
        headers: '',
      };
    case 'crashing': {
      const waitMs = backend.crash === null ? 1000 : Math.max(1000, backend.crash.retryAtMs - wallMs);
      return {
        status: 503,
        outcome: 'crashing',
        detail: `${name} cannot start: ${backend.crash?.reason ?? 'it crashed'}.`,
        headers: `Retry-After: ${Math.ceil(waitMs / 1000)}\r\n`,
      };
    }
    case 'down':
      return { status: 503, outcome: 'backend-down', detail: `No server of ${name} is healthy.`, headers: soon };
    case 'removed':
      return {
        status: 503,
        outcome: 'backend-removed',
        detail: `${name} was taken out of the configuration.`,
        headers: soon,
      };
  }
}
