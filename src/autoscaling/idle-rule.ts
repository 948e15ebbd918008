/**
 * When a backend may fall asleep: no request in flight or held, no tunnel open (unless they are ignored), nothing else that keeps it awake, and no
 * activity for `idleAfterMs`. All times are of one monotonic clock.
 */
export interface IdleInput {
  nowMs: number;
  idleAfterMs: number;
  /** When it became awake; counts as activity. */
  awakeSinceMs: number;
  /** The last arrival or end of a request anywhere, or a command; 0 = never. */
  lastActivityMs: number;
  inFlight: number;
  held: number;
  tunnels: number;
  webSockets: 'awake' | 'ignore';
  /** Other things that keep it awake, one sentence each. */
  keptBy: readonly string[];
}

export type IdleDecision =
  /** It may sleep now. */
  | { decision: 'sleep'; reason: string }
  /** It may sleep at `atMs` if nothing comes. */
  | { decision: 'wait'; atMs: number; reason: string }
  /** Something keeps it awake; only its end changes that. */
  | { decision: 'stay'; reason: string; because: string[] };

export function idleRule(input: IdleInput): IdleDecision {
  const because: string[] = [];
  if (input.inFlight > 0) because.push(count(input.inFlight, 'request in flight', 'requests in flight'));
  if (input.held > 0) because.push(count(input.held, 'request held', 'requests held'));
  if (input.tunnels > 0 && input.webSockets === 'awake') {
    because.push(count(input.tunnels, 'open WebSocket or tunnel', 'open WebSockets or tunnels'));
  }
  because.push(...input.keptBy);
  if (because.length > 0) return { decision: 'stay', reason: because.join(', '), because };
  const atMs = Math.max(input.awakeSinceMs, input.lastActivityMs) + input.idleAfterMs;
  if (input.nowMs < atMs) {
    return {
      decision: 'wait',
      atMs,
      reason: `the last activity was ${span(input.nowMs - (atMs - input.idleAfterMs))} ago`,
    };
  }
  return { decision: 'sleep', reason: `no request for ${span(input.idleAfterMs)}` };
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** A duration for people: `300 ms`, `2.5 s`, `12 min`. */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 600_000) return `${Math.round(ms / 100) / 10} s`;
  return `${Math.round(ms / 60_000)} min`;
}
