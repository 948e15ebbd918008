/**
 * One of the N places for a worker. It has a process at any time until it is stopped: one that dies is replaced at once, one that dies
 * again and again after a growing pause.
 */
import type { ChildProcess } from 'node:child_process';
import type { Clock, Logger } from '../model/ports.ts';
import type { BoundSocket, ListenerPlace } from './listeners.ts';
import { WorkerProcess } from './worker-process.ts';

/** A worker that lived shorter than this died quickly, ms. */
const QUICK_MS = 5000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

/** ms to wait before the next start after `quickDeaths` quick deaths in a row: 0 (after one), 100, 200, … 5000. */
export function restartPauseMs(quickDeaths: number): number {
  return quickDeaths < 2 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (quickDeaths - 2), LONGEST_PAUSE_MS);
}

export interface SlotEvents {
  /** A new process, before it has said anything. */
  spawned(worker: WorkerProcess): void;
  running(worker: WorkerProcess): void;
  gone(worker: WorkerProcess, how: string): void;
  socketsFor(slot: number, listener: ListenerPlace): BoundSocket[];
  handed(slot: number, bound: BoundSocket): void;
}

export interface SlotOptions {
  index: number;
  spawnWorker: (id: string) => ChildProcess;
  events: SlotEvents;
  logger: Logger;
  clock: Clock;
  /** How long a worker that is replaced may drain, ms. */
  drainMs: () => number;
}

export class Slot {
  readonly index: number;
  readonly #options: SlotOptions;
  readonly #logger: Logger;
  /** Those that end, and the one that serves until its replacement runs. */
  readonly #leaving = new Set<WorkerProcess>();
  #current: WorkerProcess | null = null;
  #generation = 0;
  #quickDeaths = 0;
  #pause: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: SlotOptions) {
    this.index = options.index;
    this.#options = options;
    this.#logger = options.logger.child({ slot: options.index });
  }

  get current(): WorkerProcess | null {
    return this.#current;
  }

  get restarts(): number {
    return Math.max(0, this.#generation - 1);
  }

  /** Every process of this slot that is not gone. */
  processes(): WorkerProcess[] {
    return this.#current === null ? [...this.#leaving] : [this.#current, ...this.#leaving];
  }

  start(): void {
    const { spawnWorker, events, logger, clock } = this.#options;
    const id = `worker-${this.index + 1}.${++this.#generation}`;
    const worker = new WorkerProcess({
      id,
      child: spawnWorker(id),
      logger,
      clock,
      events: {
        running: (which) => this.#running(which),
        leaving: (which) => this.#replace(which),
        gone: (which, how) => this.#gone(which, how),
        socketsFor: (listener) => events.socketsFor(this.index, listener),
        handed: (bound) => events.handed(this.index, bound),
      },
    });
    this.#current = worker;
    events.spawned(worker);
  }

  /** Ends it for good; resolves when no process of it is left: within `drainMs` and a second, at once on `hurry`. */
  async stop(drainMs: number, hurry?: AbortSignal): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#pause);
    await Promise.all(this.processes().map((worker) => worker.drain(drainMs, hurry)));
  }

  #running(worker: WorkerProcess): void {
    for (const former of this.#leaving) {
      if (former.state === 'running') void former.drain(this.#options.drainMs());
    }
    this.#options.events.running(worker);
  }

  #replace(worker: WorkerProcess): void {
    if (this.#stopped || worker !== this.#current || worker.state !== 'running') return;
    this.#logger.info('replacing a worker that was asked to end', { worker: worker.id, pid: worker.pid });
    this.#leaving.add(worker);
    this.start();
  }

  #gone(worker: WorkerProcess, how: string): void {
    const { clock, events } = this.#options;
    this.#leaving.delete(worker);
    events.gone(worker, how);
    if (worker !== this.#current) return;
    this.#current = null;
    if (this.#stopped) return;
    this.#quickDeaths = clock.nowMs() - worker.spawnedAtMs < QUICK_MS ? this.#quickDeaths + 1 : 0;
    const pauseMs = restartPauseMs(this.#quickDeaths);
    this.#logger.error('a worker died, replacing it', { worker: worker.id, pid: worker.pid, how, pauseMs });
    if (pauseMs === 0) this.start();
    else this.#pause = setTimeout(() => this.start(), pauseMs);
  }
}
