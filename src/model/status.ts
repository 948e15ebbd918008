/** What `dormouse status` and the control socket show. Plain data. Times are wall clock ms since the epoch, 0 = never. */
import type { TriggerMetric, TriggerTrouble } from './demand.ts';
import type { BackendPhase, Crash, WakeCause } from './backend.ts';

export interface Status {
  version: string;
  pid: number;
  startedAtMs: number;
  /** Version of the configuration that is in force, and when it was applied. */
  config: { version: number; file: string; appliedAtMs: number; lastError: string | null };
  listeners: { name: string; address: string }[];
  workers: WorkerStatus[];
  backends: BackendStatus[];
}

export interface WorkerStatus {
  id: string;
  pid: number;
  state: 'starting' | 'running' | 'draining' | 'gone';
  restarts: number;
  connections: number;
  rssBytes: number;
}

export interface BackendStatus {
  name: string;
  driver: 'process' | 'static' | 'kubernetes';
  phase: BackendPhase;
  /** In this phase since. */
  sinceMs: number;
  /** Why it is in this phase, one sentence. */
  why: string;
  /** What keeps it awake now, one sentence each; empty when asleep or when it may sleep. */
  awakeBecause: string[];
  /** When it will fall asleep if nothing comes; 0 = not foreseen. */
  sleepsAtMs: number;
  /** It is kept awake until then by command; missing: it is not. */
  awakeUntilMs?: number;
  lastWoken: { atMs: number; by: WakeCause; tookMs: number } | null;
  lastSleptMs: number;
  wakes: number;
  instances: InstanceStatus[];
  min: number;
  max: number;
  desired: number;
  demand: { concurrency: number; requestsPerSecond: number; inFlight: number; held: number; tunnels: number };
  lastActivityMs: number;
  crash: Crash | null;
  /** How many workers have their circuit breaker in each state; null: none is configured. */
  breaker: { closed: number; halfOpen: number; open: number } | null;
  /** With scale.jobs: what became of its runs. */
  runs?: RunsStatus;
  /** What its triggers say, those that have said anything; left out while none has. */
  triggers?: TriggerStatus[];
  /** Of scale.formula; missing: there is none, or nothing to calculate with. `value` null: it has no result, for the reason in `fault`. */
  formula?: { text: string; value: number | null; fault: string | null };
}

export interface TriggerStatus {
  name: string;
  /** Its name in the registry. */
  type: string;
  /** What it said last; null: it has never been able to. */
  metric: TriggerMetric | null;
  /** Its source can't be asked now; null: it can. */
  trouble: TriggerTrouble | null;
}

/** Of a backend with scale.jobs. */
export interface RunsStatus {
  succeeded: number;
  failed: number;
  /** The newest first, scale.jobs.history at most. */
  last: FinishedRun[];
}

export interface FinishedRun {
  /** The instance's. */
  id: string;
  /** 0: it was never started. */
  startedAtMs: number;
  endedAtMs: number;
  ok: boolean;
  /** "exited with code 1 after 3 s". */
  reason: string;
}

export interface InstanceStatus {
  id: string;
  state: string;
  address: string;
  pid: number | null;
  sinceMs: number;
  reason: string;
  /** Number of workers that have ejected it for now. */
  ejectedBy: number;
}

/** Told to whoever watches: the live lines of `up`, the control socket's event stream. */
export interface BackendEvent {
  atMs: number;
  backend: string;
  kind:
    | 'waking'
    | 'awake'
    | 'falling-asleep'
    | 'asleep'
    | 'sleep-cancelled'
    | 'scaled'
    | 'crash'
    | 'recovered'
    | 'instance';
  /** One sentence for people. */
  message: string;
  /** For awake: how long the wake took. */
  tookMs?: number;
  cause?: WakeCause;
}
