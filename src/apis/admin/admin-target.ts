/** What the admin API works on: the configuration of one machine (machine/) or objects of a cluster (cluster/). */
import type { AdminScope } from '../../model/config.ts';

/** Who asks. */
export interface Caller {
  /** Name of the token; `socket` for the control socket. */
  name: string;
  scope: AdminScope;
  /** Address of the client, or `socket`. */
  from: string;
  /** Whether backends with `process:` may be made here at all, whatever the scope. */
  mayRun: boolean;
}

export interface StatusView {
  state: 'asleep' | 'waking' | 'awake' | 'falling-asleep' | 'unknown';
  /** RFC 3339, as all times here. */
  since: string | null;
  why: string;
  awakeBecause: string[];
  awakeUntil: string | null;
  instances: number;
  desired: number;
  demand: { concurrency: number; requestsPerSecond: number; inFlight: number; held: number };
  lastWoken: { at: string; by: string } | null;
  problems: string[];
}

export interface BackendView {
  name: string;
  namespace?: string;
  origin: 'file' | 'api' | 'cluster';
  createdAt: string | null;
  /** With secrets as they were given: they are hidden where an answer is made. */
  spec: Record<string, unknown> | null;
  status: StatusView;
}

export interface Removal {
  name: string;
  removed: string[];
  left: string[];
}

/** What the stream of events has. */
export interface AdminEvent {
  atMs: number;
  backend: string;
  kind: string;
  message: string;
  [more: string]: unknown;
}

/** Where a backend is looked for: the name, and on a cluster the namespace ('' is the first that may be used). */
export interface BackendAddress {
  name: string;
  namespace: string;
}

export interface Created {
  view: BackendView;
  /** It was made by a former call with the same Idempotency-Key. */
  isRepeated: boolean;
}

/** Rejects with DormouseErrors; `signal` ends waiting, never a change that has begun. */
export interface AdminTarget {
  readonly on: 'machine' | 'cluster';
  /** In the order of their names (namespace first). */
  list(signal: AbortSignal): Promise<BackendView[]>;
  get(address: BackendAddress, signal: AbortSignal): Promise<BackendView>;
  /** `key`: of Idempotency-Key; null: none was given. */
  create(body: Record<string, unknown>, key: string | null, caller: Caller, signal: AbortSignal): Promise<Created>;
  /** `change` makes the new spec of the one that is there. */
  update(
    address: BackendAddress,
    change: (spec: Record<string, unknown>) => Record<string, unknown>,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<BackendView>;
  remove(address: BackendAddress, signal: AbortSignal): Promise<Removal>;
  /** Resolves with whether it is awake: false when `waitMs` has passed, and the wake goes on. */
  wake(address: BackendAddress, waitMs: number, signal: AbortSignal): Promise<boolean>;
  /** Resolves with whether it is asleep: false when it was asked to, and that takes longer. */
  sleep(address: BackendAddress, signal: AbortSignal): Promise<boolean>;
  /** Wall clock ms; null: takes it back. */
  pin(address: BackendAddress, untilMs: number | null, signal: AbortSignal): Promise<void>;
  /** What happens from now on; the result ends that. */
  onEvent(listener: (event: AdminEvent) => void): () => void;
  /** The same for what traffic does; left out where that is not seen. */
  onTraffic?(listener: (event: { type: string; backend: string }) => void): () => void;
}
