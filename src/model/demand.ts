/** What the triggers of one backend want together. */
export interface TriggerDemand {
  /** Instances: the largest of them. */
  desired: number;
  /** One sentence for each that is active, "trigger jobs: 12 messages wait"; empty: none is. */
  active: string[];
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
  /** In flight now (held excluded). Open tunnels (WebSocket) are not in here. */
  inFlight: number;
  /** Held now. */
  held: number;
  /** Open tunnels (WebSocket and other upgrades) now. */
  tunnels: number;
  /** Wall clock ms of the last request's arrival or end, whichever is later; 0 when none was ever seen. */
  lastActivityMs: number;
}
