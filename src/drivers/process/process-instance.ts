/** One instance: a process group from its start to the moment when nothing of it is left. */
import type { ChildProcess } from 'node:child_process';
import type { HealthConfig, ProcessConfig } from '../../model/config.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import type { Instance, InstanceState, LogLine } from '../driver.ts';
import { HealthCheck } from '../probe/health-check.ts';
import { awaitReadiness } from '../probe/readiness.ts';
import type { ProbePace } from '../probe/readiness.ts';
import type { Speech } from '../probe/speech.ts';
import { endGroup } from './end-group.ts';
import type { FreePorts } from './free-ports.ts';
import type { InstanceRecords } from './instance-records.ts';
import type { Environment } from './launch.ts';
import { LineSplitter } from './log-lines.ts';
import { signal } from './process-table.ts';
import type { ProcessTable } from './process-table.ts';
import { StartFailure, exitWords, spell } from './start-failure.ts';
import { startProcess } from './start-process.ts';

/** Which states may follow which. A process that ends unasked goes to `gone` from anywhere. */
export const INSTANCE_TRANSITIONS: Readonly<Record<InstanceState, readonly InstanceState[]>> = {
  starting: ['ready', 'stopping', 'gone'],
  ready: ['unhealthy', 'stopping', 'frozen', 'gone'],
  unhealthy: ['ready', 'stopping', 'frozen', 'gone'],
  frozen: ['ready', 'stopping', 'gone'],
  stopping: ['gone'],
  gone: [],
};

/** What all instances of this machine share. */
export interface Machine {
  clock: Clock;
  random: RandomSource;
  environment: Environment;
  marker: string;
  ports: FreePorts;
  pace: ProbePace;
  table: ProcessTable;
  records: InstanceRecords;
}

export interface InstanceOptions {
  id: string;
  backend: string;
  config: ProcessConfig;
  health: HealthConfig | null;
  speech: Speech;
  logger: Logger;
  log(line: LogLine): void;
  changed(instance: ProcessInstance): void;
  /** Set: it ends by itself when its work is done. Told once, before the state changes, instead of `failed`. */
  finished?(instance: ProcessInstance, run: { ok: boolean; reason: string }): void;
  /** It failed or ended without having been asked to; told once, before the state changes. `readyForMs` null: it was never ready. */
  failed(instance: ProcessInstance, failure: { reason: string; readyForMs: number | null }): void;
}

/** After an exit: how long to wait for what it wrote last, which a child of it may keep open. */
const LAST_WORDS_MS = 50;
/** Leftovers of a process that ended by itself get this much of the grace period at most. */
const SWEEP_GRACE_MS = 2000;

export class ProcessInstance {
  readonly id: string;
  /** Monotonic. */
  readonly createdMs: number;
  /** Resolves when the process, its group and its strays are gone, and its record too. */
  readonly settled: Promise<void>;
  readonly #machine: Machine;
  readonly #options: InstanceOptions;
  #settle!: () => void;
  #state: InstanceState = 'starting';
  #address: { host: string; port: number } | null = null;
  #reason = '';
  #child: ChildProcess | null = null;
  /** Resolves when the leader was seen to exit. */
  #exited: Promise<void> | null = null;
  #hasExited = false;
  #spawnedMs = 0;
  #startedAtMs = 0;
  #readyMs: number | null = null;
  #readyAtMs = 0;
  #wait: { cancel(): void; last(): string } | null = null;
  #startTimer: NodeJS.Timeout | null = null;
  #health: HealthCheck | null = null;
  #stop: Promise<void> | null = null;

  constructor(machine: Machine, options: InstanceOptions) {
    this.id = options.id;
    this.#machine = machine;
    this.#options = options;
    this.createdMs = machine.clock.nowMs();
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get state(): InstanceState {
    return this.#state;
  }

  /** Since when it is ready (monotonic); null: it never was. */
  get readyMs(): number | null {
    return this.#readyMs;
  }

  snapshot(): Instance {
    return {
      id: this.id,
      state: this.#state,
      address: this.#address === null ? null : { ...this.#address },
      weight: 1,
      pid: this.#child?.pid ?? null,
      startedAtMs: this.#startedAtMs,
      readyAtMs: this.#readyAtMs,
      reason: this.#reason,
    };
  }

  /** Call once. What happens is told by the callbacks. */
  start(): void {
    const { config } = this.#options;
    const { marker, environment, ports } = this.#machine;
    startProcess({
      instance: this.id,
      config,
      key: `backends.${this.#options.backend}.process`,
      marker,
      environment,
      ports,
      isWanted: () => this.#state === 'starting',
      adopt: (child, port) => this.#adopt(child, port),
    }).catch((error: unknown) => {
      const { message } = error as Error;
      this.#neverStarted(error instanceof StartFailure ? message : `can't start it: ${message}`);
    });
  }

  /** Ends it; the same promise on every call. Resolves when nothing of it is left, at the latest after the grace period and 1.5 s. */
  stop(reason: string): Promise<void> {
    this.#stop ??= this.#end(reason);
    return this.#stop;
  }

  /** SIGSTOP to the whole group. False: it is not in a state to be frozen. */
  freeze(): boolean {
    const pid = this.#child?.pid;
    if ((this.#state !== 'ready' && this.#state !== 'unhealthy') || pid === undefined || this.#hasExited) return false;
    if (!signal(-pid, 'SIGSTOP')) return false;
    this.#stopHealth();
    this.#move('frozen', 'asleep, frozen in memory');
    return true;
  }

  /** SIGCONT; ready at once: a probe would only be answered later than the requests that wait (the kernel accepted for it all along). False: it is dead. */
  thaw(): boolean {
    const pid = this.#child?.pid;
    if (this.#state !== 'frozen' || pid === undefined || this.#hasExited || !signal(-pid, 'SIGCONT')) return false;
    this.#readyAtMs = this.#machine.clock.wallMs();
    this.#move('ready', '');
    this.#startHealth();
    return true;
  }

  suspect(): void {
    if (this.#state === 'ready' || this.#state === 'unhealthy') this.#health?.suspect();
  }

  /** In the turn of its spawn. */
  #adopt(child: ChildProcess, port: number): void {
    const { backend, config, log } = this.#options;
    const { clock, marker, records } = this.#machine;
    const pid = child.pid!;
    this.#child = child;
    this.#spawnedMs = clock.nowMs();
    this.#startedAtMs = clock.wallMs();
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, name) => {
        this.#hasExited = true;
        resolve();
        this.#ended(port, exitWords(code, name), code === 0);
      });
    });
    for (const stream of ['stdout', 'stderr'] as const) {
      const splitter = new LineSplitter((text) => log({ atMs: clock.wallMs(), instance: this.id, stream, text }));
      child[stream]?.on('data', (chunk: Buffer) => splitter.push(chunk));
      child[stream]?.once('close', () => splitter.flush());
      // A pipe that can't be read any more is the end of the log and of nothing else.
      child[stream]?.on('error', () => {});
    }
    records.add({ instance: this.id, backend, pid, pgid: pid, marker, port });
    this.#options.changed(this);
    // An inherited socket accepts already: the kernel keeps what comes until the application asks for it.
    if (config.ready.kind === 'started') this.#becomeReady(null, port);
    else if (config.socket === 'inherited' && config.ready.kind === 'tcp') this.#becomeReady('127.0.0.1', port);
    else if (this.#state === 'starting') this.#awaitReadiness(port);
  }

  #awaitReadiness(port: number): void {
    const { config, speech } = this.#options;
    const { clock, pace } = this.#machine;
    const http = config.ready.kind === 'http' ? { path: config.ready.path, status: config.ready.status } : null;
    const wait = awaitReadiness({ port, http, speech, pace, clock }, (host) => this.#becomeReady(host, port));
    this.#wait = wait;
    this.#startTimer = setTimeout(() => {
      const limit = spell(config.startTimeoutMs);
      const found = wait.last();
      const asked = config.ready.kind === 'http' ? `GET ${config.ready.path}` : 'it';
      const reason =
        found === 'refuses connections'
          ? `did not listen on port ${port} within ${limit}`
          : `was not ready on port ${port} within ${limit}: ${asked} ${found}`;
      this.#options.failed(this, { reason, readyForMs: null });
      void this.stop(reason);
    }, config.startTimeoutMs);
  }

  /** `host` null: it listens nowhere. */
  #becomeReady(host: string | null, port: number): void {
    if (this.#state !== 'starting' || this.#hasExited) return;
    this.#stopWaiting();
    this.#address = host === null ? null : { host, port };
    this.#readyMs = this.#machine.clock.nowMs();
    this.#readyAtMs = this.#machine.clock.wallMs();
    this.#move('ready', '');
    this.#startHealth();
  }

  /** Without configured checks a suspicion is still looked into, until it accepts connections again. */
  #startHealth(): void {
    const { health, speech } = this.#options;
    if (this.#address === null) return;
    this.#health = new HealthCheck({
      target: this.#address,
      speech,
      config: health ?? {
        path: null,
        intervalMs: 1000,
        timeoutMs: 1000,
        status: { from: 200, to: 399 },
        rise: 1,
        fall: 1,
      },
      when: health === null ? 'suspected' : 'always',
      decideAtOnce: false,
      random: this.#machine.random,
      changed: (healthy, reason) => {
        if (healthy && this.#state === 'unhealthy') this.#move('ready', '');
        if (!healthy && this.#state === 'ready') this.#move('unhealthy', reason);
      },
    });
    this.#health.start();
  }

  #stopHealth(): void {
    this.#health?.stop();
    this.#health = null;
  }

  #stopWaiting(): void {
    this.#wait?.cancel();
    this.#wait = null;
    if (this.#startTimer !== null) clearTimeout(this.#startTimer);
    this.#startTimer = null;
  }

  /** The leader's exit, asked for or not. */
  #ended(port: number, how: string, cleanly: boolean): void {
    this.#stopWaiting();
    this.#stopHealth();
    if (this.#stop !== null) return;
    const { clock } = this.#machine;
    const child = this.#child!;
    const nowMs = clock.nowMs();
    const readyForMs = this.#readyMs === null ? null : nowMs - this.#readyMs;
    const after = `after ${spell(nowMs - this.#spawnedMs)}`;
    const foreground = cleanly ? '; it must stay in the foreground' : '';
    const reason =
      readyForMs === null ? `${how} ${after} before it listened on port ${port}${foreground}` : `${how} ${after}`;
    // What it wrote last is still in the pipes, and tells why.
    const drained = new Promise<void>((resolve) => {
      const bound = setTimeout(resolve, LAST_WORDS_MS);
      child.once('close', () => {
        clearTimeout(bound);
        resolve();
      });
    });
    const told = drained.then(() => {
      if (this.#options.finished === undefined) this.#options.failed(this, { reason, readyForMs });
      else this.#options.finished(this, { ok: cleanly, reason });
      this.#move('gone', reason);
    });
    // Whatever it leaves behind is ended from now on, and a stop that comes meanwhile waits for that.
    this.#stop = this.#sweep(told);
  }

  #neverStarted(reason: string): void {
    if (this.#state !== 'starting') return;
    this.#stopWaiting();
    this.#stop ??= Promise.resolve();
    if (this.#options.finished === undefined) this.#options.failed(this, { reason, readyForMs: null });
    else this.#options.finished(this, { ok: false, reason });
    this.#move('gone', reason);
    this.#settle();
  }

  async #end(reason: string): Promise<void> {
    this.#stopWaiting();
    this.#stopHealth();
    const frozen = this.#state === 'frozen';
    this.#move('stopping', reason);
    await this.#endGroup(this.#options.config.stopGraceMs, frozen);
    this.#move('gone', reason);
    this.#settle();
  }

  async #sweep(told: Promise<void>): Promise<void> {
    await Promise.all([told, this.#endGroup(Math.min(this.#options.config.stopGraceMs, SWEEP_GRACE_MS), false)]);
    this.#settle();
  }

  async #endGroup(graceMs: number, frozen: boolean): Promise<void> {
    const { table, clock, records } = this.#machine;
    const pgid = this.#child?.pid;
    if (pgid === undefined) return;
    const group = { pgid, instance: this.id, exited: this.#exited!, hasExited: () => this.#hasExited, frozen, graceMs };
    const left = await endGroup(group, table, clock).catch((error: unknown) => {
      this.#options.logger.error(`can't see which processes of ${this.id} are left: ${(error as Error).message}`);
      signal(-pgid, 'SIGKILL');
      return [];
    });
    if (left.length > 0) this.#options.logger.error(`these processes of ${this.id} can't be ended`, { pids: left });
    // A process that could not be ended may hold them open.
    this.#child?.stdout?.destroy();
    this.#child?.stderr?.destroy();
    await records.remove(this.id);
  }

  #move(state: InstanceState, reason: string): void {
    if (!INSTANCE_TRANSITIONS[this.#state].includes(state)) return;
    this.#state = state;
    this.#reason = reason;
    this.#options.changed(this);
  }
}
