/** Who runs a backend's instances. One Driver object per backend; the contract test in driver.contract.ts runs against every kind. */
import type { Crash } from '../model/backend.ts';
import type { BackendConfig } from '../model/config.ts';
import type { FinishedRun } from '../model/status.ts';

export type InstanceState = 'starting' | 'ready' | 'unhealthy' | 'stopping' | 'frozen' | 'gone';

export interface Instance {
  /** Never reused: `<backend>-<n>`, of a pod `<name>~<first 8 characters of its uid>`; also the endpoint's id. */
  id: string;
  state: InstanceState;
  /** null until known (or for an instance that never got one). */
  address: { host: string; port: number } | null;
  /** Of a pod: where it listens for each port of its Service, by the port's name ('' for one without); `address` is the first of them. */
  ports?: Record<string, number>;
  weight: number;
  /** Gets requests only while no other instance is usable. Missing: no. */
  backup?: boolean;
  pid: number | null;
  /** Wall clock ms; 0 when not (yet). */
  startedAtMs: number;
  readyAtMs: number;
  /** One sentence when state is unhealthy or gone. */
  reason: string;
}

export interface DriverEvents {
  /** An instance appeared or changed its state. The object is a snapshot. */
  instance(instance: Instance): void;
  /** A start failed or an instance ended that nobody asked to end; `null`: it recovered. */
  crash(crash: Crash | null): void;
  /** With scale.jobs: a run has ended by itself, or could not be started. Before its instance is gone. */
  run?(run: FinishedRun): void;
}

export interface Driver {
  readonly kind: 'process' | 'static' | 'kubernetes';
  /** False for static: what runs can't be put to sleep or scaled. */
  readonly canScale: boolean;
  instances(): readonly Instance[];
  /** How many the platform is told to run, where others may say so too; null: not known (yet). */
  replicas?(): number | null;
  /** The crash that holds starts back now, or null. */
  crash(): Crash | null;
  /**
   * Raises the number of instances that are starting, ready or unhealthy to `count` (frozen ones are thawed first); never lowers it. Returns at
   * once; what happens is told by events. Inside a crash's back-off it starts nothing until that has passed.
   */
  scaleUp(count: number): void;
  /** Gives up starts under way that nobody needs any more, down to `count`. */
  cancelStarts(count: number): void;
  /**
   * Ends (or freezes) these, which gateways have drained already: SIGTERM, grace, SIGKILL. Resolves when they are gone (or frozen); bounded by the grace
   * period and two seconds more. Pods: resolves when they are gone or being deleted, at most 8 s later; rejects with a DormouseError when one of them goes on
   * (DORMOUSE_SCALED_BY_OTHERS: somebody scaled the target meanwhile, which is left as it is), and that one may be used again. Pods are never frozen.
   */
  retire(ids: readonly string[], options: { freeze: boolean }): Promise<void>;
  /**
   * Active instances in the only order in which they can be retired, first to go first (a StatefulSet: highest ordinal first). Left out or null: any one may
   * go at any time.
   */
  retireFirst?(): string[] | null;
  /** Someone could not reach this instance: look at it now. */
  suspect(id: string, reason: string): void;
  /** The last lines that instances wrote, oldest first. */
  logs(limit: number): LogLine[];
  onLog(listener: (line: LogLine) => void): () => void;
  /** Ends everything, frozen instances too, within the grace period. */
  close(): Promise<void>;
}

export interface LogLine {
  atMs: number;
  instance: string;
  stream: 'stdout' | 'stderr';
  text: string;
}

/** Makes the driver of a backend. Never throws for what only shows at run time (a command that does not exist is a crash, told by events). */
export type CreateDriver = (backend: BackendConfig, events: DriverEvents) => Driver;
