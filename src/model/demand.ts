/** What the triggers of one backend want together. */
export interface TriggerDemand {
  /** Instances: the largest of them. */
  desired: number;
  /** One sentence for each that is active, "trigger jobs: 12 messages wait"; empty: none is. */
  active: string[];
  /** One for each trigger that has reported. */
  metrics: TriggerMetric[];
  /** One for each trigger whose source fails, whether or not it has reported before. */
  troubles: TriggerTrouble[];
}

/** A source that can't be asked now. What it said last stands. */
export interface TriggerTrouble {
  name: string;
  type: string;
  /** Since when, wall clock ms. */
  sinceMs: number;
  /** In a row, >= 1. */
  failures: number;
  /** Why, one sentence with the next step. */
  reason: string;
}

/** How much work there is for a backend as a whole. Instances that would be right: value / target, rounded up. */
export interface ScaleMetric {
  /** Unique among the backend's. */
  name: string;
  /** Of the whole backend (messages, requests at once), >= 0. */
  value: number;
  /** How much of it one instance is meant to have, > 0. */
  target: number;
  /** Whether it alone is a reason to be awake. */
  active: boolean;
  /** When the value was measured, wall clock ms. */
  atMs: number;
}

export interface TriggerMetric extends ScaleMetric {
  /** The trigger's name in the registry. */
  type: string;
  /** What it says of it: "12 messages wait in jobs". */
  reason: string;
}

/** What the idle sources of one backend say together (Prometheus, schedules, a handover that is not done). */
export interface IdleVerdict {
  /** Why it may not sleep now, one sentence each; empty: they all agree. */
  keptBy: string[];
  /** Why it has to be awake now; null: nothing wants that. */
  wake: string | null;
}

/**
 * What one gateway measured of one backend since its last report. An integral, never a sampled gauge: a request of 2 ms counts.
 * Reports are sent once per `reportIntervalMs` while there was anything to say, and with zeros once when it became quiet.
 */
export interface DemandWindow {
  backend: string;
  /** Length of the window in ms. */
  elapsedMs: number;
  /** Integral over the window of (requests in flight or held), in request-milliseconds. Average concurrency = this / elapsedMs. */
  concurrencyMs: number;
  /** Requests that arrived in the window. */
  requests: number;
  /** Requests that ended with 5xx or a broken transfer. */
  errors: number;
  /** Of bodies: of requests that ended in the window, and of their responses; of tunnels when they end. Missing: not counted. */
  bytesIn?: number;
  bytesOut?: number;
  /** In flight now (held excluded). Open tunnels (WebSocket) are not in here. */
  inFlight: number;
  /** Held now. */
  held: number;
  /** Open tunnels (WebSocket and other upgrades) now. */
  tunnels: number;
  /** Wall clock ms of the last request's arrival or end, whichever is later; 0 when none was ever seen. */
  lastActivityMs: number;
}
