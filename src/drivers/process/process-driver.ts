/** Runs a backend's instances as processes of this machine. */
import type { Crash } from '../../model/backend.ts';
import type { BackendConfig, ProcessConfig } from '../../model/config.ts';
import type { Logger } from '../../model/ports.ts';
import type { Driver, DriverEvents, Instance, LogLine } from '../driver.ts';
import { speechOf, type Speech } from '../probe/speech.ts';
import { CrashBackoff } from '../crash-backoff.ts';
import { LogRing } from './log-lines.ts';
import { ProcessInstance } from './process-instance.ts';
import type { Machine } from './process-instance.ts';

export interface ProcessDriverDeps {
  machine: Machine;
  logger: Logger;
  /** The number of the next instance of this backend's name; never the same twice. */
  nextNumber(): number;
}

const CRASH_LINES = 20;
/** A crash goes to every gateway, so its lines are short. */
const CRASH_LINE_CHARS = 500;

export class ProcessDriver implements Driver {
  readonly kind = 'process';
  readonly canScale = true;
  readonly #backend: BackendConfig;
  readonly #config: ProcessConfig;
  readonly #events: DriverEvents;
  readonly #deps: ProcessDriverDeps;
  readonly #speech: Speech;
  readonly #backoff: CrashBackoff;
  readonly #logs: LogRing;
  /** In the order of their start; those that are gone are not in it. */
  readonly #instances = new Map<string, ProcessInstance>();
  /** Those of which something may be left, gone or not. */
  readonly #unsettled = new Set<ProcessInstance>();
  #crash: Crash | null = null;
  /** How many somebody wants active; more than there are only while something holds starts back. */
  #wanted = 0;
  #retry: NodeJS.Timeout | null = null;
  #closing: Promise<void> | null = null;

  constructor(backend: BackendConfig, config: ProcessConfig, events: DriverEvents, deps: ProcessDriverDeps) {
    this.#backend = backend;
    this.#config = config;
    this.#events = events;
    this.#deps = deps;
    this.#speech = speechOf(backend);
    this.#backoff = new CrashBackoff(config.crash);
    this.#logs = new LogRing(config.logs.lines);
  }

  /** Instances end by themselves when their work is done. */
  get #runs(): boolean {
    return this.#backend.scale.jobs !== null;
  }

  instances(): readonly Instance[] {
    return [...this.#instances.values()].map((instance) => instance.snapshot());
  }

  crash(): Crash | null {
    return this.#backoff.remainingMs(this.#nowMs()) > 0 ? this.#crash : null;
  }

  scaleUp(count: number): void {
    if (this.#closing !== null) return;
    this.#wanted = Math.max(this.#wanted, Math.min(count, this.#backend.scale.max));
    this.#pump();
  }

  cancelStarts(count: number): void {
    const active = this.#active();
    let excess = active.length - count;
    this.#wanted = Math.min(this.#wanted, Math.max(0, count));
    for (const instance of active.toReversed()) {
      if (excess <= 0) break;
      if (instance.state !== 'starting') continue;
      excess--;
      void instance.stop('not needed any more');
    }
    this.#wanted = Math.max(this.#wanted, this.#active().length);
  }

  async retire(ids: readonly string[], options: { freeze: boolean }): Promise<void> {
    const ends: Promise<void>[] = [];
    for (const id of ids) {
      const instance = this.#instances.get(id);
      if (instance === undefined) continue;
      const wasActive = isActive(instance);
      this.#noteHealthyLife(instance);
      if (options.freeze && (instance.state === 'frozen' || instance.freeze())) {
        if (wasActive) this.#wanted--;
        continue;
      }
      if (wasActive) this.#wanted--;
      ends.push(instance.stop('put to sleep'));
    }
    this.#wanted = Math.max(this.#wanted, this.#active().length);
    await Promise.all(ends);
  }

  suspect(id: string, _reason: string): void {
    this.#instances.get(id)?.suspect();
  }

  logs(limit: number): LogLine[] {
    return this.#logs.last(limit);
  }

  onLog(listener: (line: LogLine) => void): () => void {
    return this.#logs.listen(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopRetry();
    this.#wanted = 0;
    await Promise.all([...this.#unsettled].map((instance) => instance.stop('dormouse ends it')));
  }

  /** Starts (or thaws) what is wanted and possible now. Called whenever one of the two may have changed. */
  #pump(): void {
    if (this.#closing !== null) return;
    for (const instance of this.#instances.values()) {
      if (this.#active().length >= this.#wanted) break;
      if (instance.state === 'frozen') instance.thaw();
    }
    const holdMs = this.#backoff.remainingMs(this.#nowMs());
    if (holdMs > 0) {
      if (this.#active().length < this.#wanted) this.#retryIn(holdMs);
      return;
    }
    this.#stopRetry();
    while (this.#active().length < this.#wanted && this.#hasRoom()) this.#startOne();
  }

  /**
   * A fixed port is free only when nothing of the instance before is left. Otherwise a new start may go beside those that are stopping; but not without
   * bound, when they take long to stop and are woken often.
   */
  #hasRoom(): boolean {
    if (typeof this.#config.port === 'number') return this.#unsettled.size === 0;
    return this.#unsettled.size < 2 * this.#backend.scale.max + 2;
  }

  #startOne(): void {
    const id = `${this.#backend.name}-${this.#deps.nextNumber()}`;
    const instance = new ProcessInstance(this.#deps.machine, {
      id,
      backend: this.#backend.name,
      config: this.#config,
      health: this.#backend.health,
      speech: this.#speech,
      logger: this.#deps.logger,
      log: (line) => this.#logs.push(line),
      changed: (changed) => this.#changed(changed),
      failed: (failed, failure) => this.#failed(failed, failure),
      ...(!this.#runs ? {} : { finished: (run, how) => this.#finished(run, how) }),
    });
    this.#instances.set(id, instance);
    this.#unsettled.add(instance);
    void instance.settled.then(() => {
      this.#unsettled.delete(instance);
      this.#pump();
    });
    this.#events.instance(instance.snapshot());
    instance.start();
  }

  #changed(instance: ProcessInstance): void {
    if (instance.state === 'gone') this.#instances.delete(instance.id);
    if (instance.state === 'ready' && this.#crash !== null && !this.#runs) {
      this.#crash = null;
      this.#events.crash(null);
    }
    this.#events.instance(instance.snapshot());
  }

  #failed(instance: ProcessInstance, failure: { reason: string; readyForMs: number | null }): void {
    const { reason, readyForMs } = failure;
    this.#noteHealthyLife(instance);
    // Frozen ones were put to sleep in good health: whatever ended them was no failed start.
    if (instance.state === 'frozen' || (readyForMs !== null && readyForMs > this.#config.crash.backoffMs)) {
      this.#deps.logger.warn(`instance ${instance.id} ${reason}`);
      this.#wanted = Math.max(this.#others(instance), this.#wanted - (isActive(instance) ? 1 : 0));
      return;
    }
    this.#crashed(instance, reason);
  }

  #others(instance: ProcessInstance): number {
    return this.#active().filter((other) => other !== instance).length;
  }

  #crashed(instance: ProcessInstance, reason: string): void {
    const { logger, machine } = this.#deps;
    const othersActive = this.#others(instance);
    // Of a run a long time says nothing yet.
    if (!this.#runs) for (const other of this.#active()) this.#noteHealthyLife(other);
    const lines = this.#logs.last(Number.POSITIVE_INFINITY).filter((line) => line.instance === instance.id);
    const lastLines = lines.slice(-CRASH_LINES).map((line) => line.text.slice(0, CRASH_LINE_CHARS));
    this.#crash = this.#backoff.failed(instance.createdMs, this.#nowMs(), machine.clock.wallMs(), reason, lastLines);
    // Whoever still needs it asks again; nobody is started for a request that was answered 503.
    this.#wanted = othersActive;
    this.#stopRetry();
    logger.warn(`instance ${instance.id} ${reason}`, {
      attempts: this.#crash.attempts,
      retryAtMs: this.#crash.retryAtMs,
    });
    this.#events.crash(this.#crash);
  }

  /** A run has ended. What failed is held back as a crash is; one that went well makes that history. */
  #finished(instance: ProcessInstance, { ok, reason }: { ok: boolean; reason: string }): void {
    const { id, startedAtMs } = instance.snapshot();
    this.#events.run?.({ id, startedAtMs, endedAtMs: this.#deps.machine.clock.wallMs(), ok, reason });
    if (!ok) {
      this.#crashed(instance, reason);
      return;
    }
    this.#wanted = Math.max(0, this.#wanted - 1);
    this.#backoff.reset();
    if (this.#crash === null) return;
    this.#crash = null;
    this.#events.crash(null);
  }

  /** One that was ready for longer than the longest back-off (or was put to sleep after more than the first) makes earlier failures history. */
  #noteHealthyLife(instance: ProcessInstance): void {
    if (instance.readyMs === null) return;
    const readyForMs = this.#nowMs() - instance.readyMs;
    const { backoffMs, maxBackoffMs } = this.#config.crash;
    if (readyForMs > maxBackoffMs || (isActive(instance) && readyForMs > backoffMs)) this.#backoff.reset();
  }

  #active(): ProcessInstance[] {
    return [...this.#instances.values()].filter(isActive);
  }

  #retryIn(delayMs: number): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      this.#pump();
    }, Math.ceil(delayMs));
  }

  #stopRetry(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
  }

  #nowMs(): number {
    return this.#deps.machine.clock.nowMs();
  }
}

function isActive(instance: ProcessInstance): boolean {
  return instance.state === 'starting' || instance.state === 'ready' || instance.state === 'unhealthy';
}
