/** States of a backend and of its endpoints, with the transitions that are allowed. See the words in docs/adr/0001. */

export type BackendPhase = 'asleep' | 'waking' | 'awake' | 'falling-asleep';

/** Which phases may follow which. `waking -> asleep`: the start failed or nobody waits any more. */
export const BACKEND_TRANSITIONS: Readonly<Record<BackendPhase, readonly BackendPhase[]>> = {
  asleep: ['waking', 'awake'],
  waking: ['awake', 'asleep', 'falling-asleep'],
  awake: ['falling-asleep', 'waking', 'asleep'],
  'falling-asleep': ['asleep', 'awake', 'waking'],
};

/** State of one instance's address, as the controller tells it to gateways. `ejected` is local to a gateway. */
export type EndpointState = 'starting' | 'ready' | 'draining' | 'ejected';

/** State of a gateway's circuit breaker for a backend. */
export type BreakerState = 'closed' | 'half-open' | 'open';

/** The address of one instance. `id` is never reused: a restarted instance has a new one. */
export interface Endpoint {
  id: string;
  /** An IP address (v4 or v6) or a host name. */
  host: string;
  port: number;
  weight: number;
  state: EndpointState;
  /** Gets requests only while no other endpoint of the backend is usable. Missing: no. */
  backup?: boolean;
  /** Further ports of the instance by name (BackendConfig.ports). Missing: none. */
  ports?: Readonly<Record<string, number>>;
}

/** A backend that can't start is crashing, which is not sleep: it answers 503 with the reason at once. */
export interface Crash {
  /** One sentence for people: what ended, with which code. */
  reason: string;
  /** Wall clock, ms since the epoch. */
  atMs: number;
  /** Wall clock, ms since the epoch: before this, no new attempt is made. */
  retryAtMs: number;
  /** Consecutive failed starts. */
  attempts: number;
  /** The last lines that it wrote; at most 20. */
  lastLogLines: string[];
}

/** What woke a backend, or what keeps it in its state. */
export interface WakeCause {
  kind:
    | 'request'
    | 'command'
    | 'min'
    | 'dependency'
    | 'demand'
    | 'restart'
    | 'reload'
    | 'static'
    | 'trigger'
    | 'schedule'
    | 'external';
  /** For a request: the route's name, client's address, method and path (cut to 200 characters). */
  route?: string;
  client?: string;
  method?: string;
  path?: string;
  /** For a trigger: its sentence, as in TriggerDemand.active. For a schedule: IdleVerdict.wake. */
  trigger?: string;
  /** For a dependency: the backend that asked for it (wake.with). */
  backend?: string;
  /** Wall clock, ms since the epoch. */
  atMs: number;
}
