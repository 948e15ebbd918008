/**
 * Binds the sockets, keeps one worker process per slot alive and hands it its sockets. It accepts no connection itself, so it has nothing
 * to lose, and what waits in a socket's queue outlives any worker.
 */
import type { ChildProcess } from 'node:child_process';
import type { Link } from '../link/link.ts';
import type { DownMessage, UpMessage } from '../link/messages.ts';
import { DormouseError } from '../model/errors.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { WorkerStatus } from '../model/status.ts';
import { Listeners, type BoundSocket, type ListenerPlace } from './listeners.ts';
import { Slot } from './slot.ts';
import type { WorkerProcess } from './worker-process.ts';

/** The part of the configuration that this reads. */
export interface SupervisedConfig {
  workers: number;
  listeners: readonly ListenerPlace[];
  shutdown: { drainMs: number };
}

export interface SupervisorOptions {
  logger: Logger;
  clock: Clock;
  /** Starts a worker process with an IPC channel (JSON) that says hello as gateway `id`. */
  spawnWorker: (id: string) => ChildProcess;
  platform: NodeJS.Platform;
  /** Called whenever the set of worker processes changes: for the record of them that a next start reads. */
  onProcesses?: (pids: number[]) => void;
}

type OnLink = (id: string, link: Link<DownMessage, UpMessage>) => void;

/** A start is given up after this long, ms, or after this many deaths of one slot before it ever ran. */
const START_WITHIN_MS = 30_000;
const START_ATTEMPTS = 3;
/** How long the heir of a socket may take to listen on it before the former worker ends, ms. */
const JOIN_WITHIN_MS = 2000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #listeners: Listeners;
  /** By index; slots that end stay in `#ending`. */
  #slots: Slot[] = [];
  readonly #ending = new Set<Slot>();
  /** Which slot accepts from a socket, by the socket's id. */
  readonly #holders = new Map<string, number>();
  readonly #starts = new Map<number, { deaths: number; resolve: () => void; reject: (error: DormouseError) => void }>();
  #onLink: OnLink | null = null;
  #prepared: SupervisedConfig | null = null;
  #drainMs = 0;
  #stopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#listeners = new Listeners({ platform: options.platform });
  }

  /**
   * Binds what this configuration listens on and is not bound yet. Rejects with a DormouseError that names the listener and the next
   * step; nothing has changed then.
   */
  async prepare(config: SupervisedConfig): Promise<void> {
    await this.#listeners.prepare(config.listeners, config.workers);
    this.#prepared = config;
  }

  /** What was prepared will not come into force: closes what only it needed. */
  abandon(): void {
    this.#prepared = null;
    this.#listeners.abandon();
  }

  /**
   * Starts the workers of the prepared configuration. `onLink` is called for each process, now and for each replacement. Resolves when
   * all have said hello; rejects with DORMOUSE_WORKER_START when one dies three times before, or after 30 s.
   */
  async start(onLink: OnLink): Promise<void> {
    const config = this.#prepared;
    if (config === null) throw new DormouseError('DORMOUSE_WORKER_START', 'prepare() was not called before start().');
    this.#onLink = onLink;
    this.#drainMs = config.shutdown.drainMs;
    this.#listeners.commit(config.workers);
    await this.#addSlots(config.workers);
  }

  /**
   * The prepared configuration is in force in every gateway: closes the sockets of listeners that are no more, adds or drains workers.
   * Resolves when added workers run; those taken away drain on by themselves.
   */
  async apply(config: SupervisedConfig): Promise<void> {
    this.#drainMs = config.shutdown.drainMs;
    for (const { id } of this.#listeners.commit(config.workers)) {
      const holder = this.#holders.get(id);
      this.#holders.delete(id);
      // A gateway knows of its own socket only, not of those that it serves for former workers.
      if (holder !== undefined) this.#slots[holder]?.current?.release(id);
    }
    const heirs = this.#listeners.orphans(config.workers);
    if (config.workers > this.#slots.length) return this.#addSlots(config.workers);
    if (config.workers < this.#slots.length) await this.#removeSlots(config.workers, heirs);
  }

  /**
   * Closes all listeners and ends all workers: each stops accepting and finishes within `drainMs`; a second later, or on `hurry`, it is
   * killed. Resolves when none is left.
   */
  async shutdown(drainMs: number, hurry: AbortSignal): Promise<void> {
    this.#stopping = true;
    this.#listeners.close();
    for (const start of [...this.#starts.values()]) start.resolve();
    await Promise.all([...this.#slots, ...this.#ending].map((slot) => slot.stop(drainMs, hurry)));
    this.#slots = [];
  }

  /** `connections` and `rssBytes` are 0: only the gateways know them. */
  workers(): WorkerStatus[] {
    return [...this.#slots, ...this.#ending].flatMap((slot) =>
      slot.processes().map((worker) => ({
        id: worker.id,
        pid: worker.pid,
        state: worker.state,
        restarts: slot.restarts,
        connections: 0,
        rssBytes: 0,
      })),
    );
  }

  /** Where each listener is reached; port 0 has become the one that was found. */
  addresses(): { name: string; address: string }[] {
    return this.#listeners.addresses();
  }

  async #addSlots(count: number): Promise<void> {
    const started: Promise<void>[] = [];
    for (let index = this.#slots.length; index < count; index++) {
      const slot = new Slot({
        index,
        spawnWorker: this.#options.spawnWorker,
        logger: this.#options.logger,
        clock: this.#options.clock,
        drainMs: () => this.#drainMs,
        events: {
          spawned: (worker) => this.#spawned(worker),
          running: (worker) => this.#running(index, worker),
          gone: (worker, how) => this.#gone(index, worker, how),
          socketsFor: (of, listener) => this.#listeners.socketsOf(listener, of),
          handed: (to, bound) => this.#handed(to, bound),
        },
      });
      this.#slots.push(slot);
      started.push(this.#firstStart(index));
      slot.start();
    }
    await Promise.all(started);
  }

  #firstStart(index: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(startError(`worker ${index + 1} did not say hello within 30 s`)),
      START_WITHIN_MS,
    );
    this.#starts.set(index, { deaths: 0, resolve, reject });
    return promise.finally(() => {
      clearTimeout(timer);
      this.#starts.delete(index);
    });
  }

  /** Each socket first gets an heir that listens on it, then its worker ends: at no moment is nobody there. */
  async #removeSlots(count: number, heirs: { bound: BoundSocket; heir: number }[]): Promise<void> {
    const removed = this.#slots.splice(count);
    for (const slot of removed) this.#ending.add(slot);
    const joined = heirs.map(({ bound, heir }) => {
      if (this.#holders.get(bound.id) === heir) return Promise.resolve();
      this.#holders.set(bound.id, heir);
      return this.#slots[heir]?.current?.join(bound);
    });
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, JOIN_WITHIN_MS);
    await Promise.race([Promise.all(joined), late]);
    clearTimeout(timer);
    for (const slot of removed) void slot.stop(this.#drainMs).then(() => this.#ending.delete(slot));
  }

  #spawned(worker: WorkerProcess): void {
    this.#options.logger.debug('worker started', { worker: worker.id, pid: worker.pid });
    this.#tellProcesses();
    this.#onLink?.(worker.id, worker.link);
  }

  #running(index: number, worker: WorkerProcess): void {
    this.#options.logger.debug('worker runs', { worker: worker.id, pid: worker.pid });
    this.#starts.get(index)?.resolve();
  }

  #gone(index: number, worker: WorkerProcess, how: string): void {
    this.#tellProcesses();
    const start = this.#starts.get(index);
    if (start === undefined || this.#stopping) return;
    start.deaths++;
    if (start.deaths >= START_ATTEMPTS) {
      start.reject(startError(`worker ${index + 1} (pid ${worker.pid}) ${how}, ${start.deaths} times in a row`));
    }
  }

  /** A slot that is back takes its sockets from whoever served them meanwhile. */
  #handed(slot: number, bound: BoundSocket): void {
    if (bound.shared) return;
    const former = this.#holders.get(bound.id);
    this.#holders.set(bound.id, slot);
    if (former !== undefined && former !== slot) this.#slots[former]?.current?.release(bound.id);
  }

  #tellProcesses(): void {
    const pids = [...this.#slots, ...this.#ending].flatMap((slot) => slot.processes().map((worker) => worker.pid));
    this.#options.onProcesses?.(pids.filter((pid) => pid > 0));
  }
}

function startError(what: string): DormouseError {
  return new DormouseError(
    'DORMOUSE_WORKER_START',
    `The workers cannot be started: ${what}. What it wrote stands above; "telemetry: { log: { level: debug } }" shows more.`,
  );
}
