/** What one backend needs of the controller around it, and what its parts need of it. */
import type { BackendPhase, Crash, WakeCause } from '../model/backend.ts';
import type { BackendConfig } from '../model/config.ts';
import type { IdleVerdict } from '../model/demand.ts';
import type { Asked } from './asked.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { BackendEvent } from '../model/status.ts';
import type { DownMessage } from '../link/messages.ts';
import type { CreateDriver } from '../drivers/driver.ts';
import type { IdleDecision } from '../autoscaling/index.ts';
import type { DemandSum } from './demand-sum.ts';
import type { Fleet } from './fleet.ts';
import type { BackendCounters } from './metrics.ts';
import type { Timers } from './timers.ts';
import type { Waiter } from './waiters.ts';

/** A gateway, as far as a backend sees it. */
export interface Peer {
  readonly id: string;
  send(message: DownMessage): void;
}

/** Another backend, as far as its dependents and dependencies see it. */
export interface Neighbour {
  readonly name: string;
  readonly phase: BackendPhase;
  readonly crash: Crash | null;
  /** True while those that it wakes with have to stay. */
  readonly needsDependencies: boolean;
  wakeUp(cause: WakeCause): void;
  ensureAwake(cause: WakeCause, waiter: Waiter): void;
  evaluateIdle(): void;
  tick(attached: boolean): void;
}

export interface BackendHost {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly createDriver: CreateDriver;
  turn(step: () => void): void;
  /** Gateways that have been given the configuration; each once more for each further port of this backend. */
  peers(backend: BackendConfig): Iterable<Peer>;
  /** Rises with every call. */
  nextVersion(): number;
  backend(name: string): Neighbour | undefined;
  /** Backends that wake with this one in their wake.with. */
  dependents(name: string): readonly Neighbour[];
  /** Whether the autoscaler's tick comes to it. */
  tick(backend: Neighbour, on: boolean): void;
  /** Whether a route or a listener leads to this backend. */
  isRouted(name: string): boolean;
  /** How long an exchange in flight may take when its instance is replaced or removed, ms. */
  drainMs(): number;
  event(event: BackendEvent): void;
  /** Whether it is to run has changed, for whoever else writes its zero. */
  wanted(backend: string, wanted: boolean): void;
}

/** The backend, as its parts (waking, falling asleep, replacement) see it: they share its phase and act on it. */
export interface Machine {
  readonly name: string;
  readonly host: BackendHost;
  readonly logger: Logger;
  readonly config: BackendConfig;
  readonly phase: BackendPhase;
  readonly demand: DemandSum<Peer>;
  readonly counters: BackendCounters;
  readonly fleet: Fleet;
  /** Removed from the configuration, or closed: nothing new begins. */
  readonly ending: boolean;
  readonly why: string;
  /** With scale.jobs: runs that are to be started now. */
  readonly missingRuns: number;
  /** What its triggers want together. */
  readonly asked: Asked;
  /** What its idle sources say; null: it has none. */
  readonly verdict: IdleVerdict | null;
  /** Until when it is kept awake by command, as a sentence; null: it is not. */
  readonly pinned: string | null;
  /** The crash that holds starts back at this moment, or null. */
  heldBack(): Crash | null;
  /** A dependency could not be woken: shown as this backend's own crash; null: that is history. */
  block(crash: Crash | null): void;
  enter(phase: BackendPhase, why: string): void;
  /** Phase asleep, and everything that only an awake backend has is let go. */
  fallAsleep(why: string): void;
  /** Tells whether it is to run, if that has changed. */
  tellWanted(): void;
  /** Tells every gateway how it is now. */
  publish(): void;
  tell(kind: BackendEvent['kind'], message: string, more?: Pick<BackendEvent, 'tookMs' | 'cause'>): void;
  tellCrash(crash: Crash): void;
  /** Looks at what runs and draws the consequences for the phase. */
  settle(): void;
  /** Brings the number of instances to the target. */
  maintain(): void;
  idle(): IdleDecision;
  evaluateIdle(): void;
  /** Counts as activity. */
  touch(): void;
  /** The autoscaler's tick comes to it while there is anything to decide. */
  refreshTicking(): void;
}
