/**
 * The edge between awake and asleep. A sleep is taken back as long as nothing has been stopped: by a request that waits, by activity that the
 * decision did not know of, or because a gateway does not answer. After that moment a wake is remembered, or started beside what stops.
 */
import type { WakeCause } from '../model/backend.ts';
import type { IdleDecision } from '../autoscaling/index.ts';

/** How long gateways may take to say that nothing is left. */
export const SLEEP_DRAIN_BOUND_MS = 10_000;

export interface SleepEdge {
  /** `command`: somebody asked for it, so that the idle rule does not matter; only waiting requests take it back. */
  kind: 'idle' | 'command';
  reason: string;
  stage: 'draining' | 'retiring';
  /** A wake that came after the instances were told to end. */
  pendingWake: WakeCause | null;
}

export interface Look {
  held: number;
  inFlight: number;
  /** The idle rule as it stands now, with everything reported since the decision. */
  idle: IdleDecision;
}

/** The second look, at each answer and each report: null when the sleep may go on, otherwise why it is taken back. */
export function secondLook(edge: Pick<SleepEdge, 'kind'>, look: Look): string | null {
  if (look.held > 0) return look.held === 1 ? 'a request waits' : `${look.held} requests wait`;
  if (edge.kind === 'command') return null;
  return look.idle.decision === 'sleep' ? null : look.idle.reason;
}

/** When the bound has passed: tunnels that are configured to be ignored are cut, anything else takes the sleep back. */
export function atBound(look: Look & { tunnels: number; webSockets: 'awake' | 'ignore'; owing: string[] }): {
  go: boolean;
  reason: string;
} {
  if (look.webSockets === 'ignore' && look.tunnels > 0 && look.inFlight === 0 && look.held === 0) {
    return { go: true, reason: `${look.tunnels} open tunnels are ignored (idle.webSockets)` };
  }
  return {
    go: false,
    reason: `after ${SLEEP_DRAIN_BOUND_MS / 1000} s gateway ${look.owing.join(', ')} still has something in flight`,
  };
}
