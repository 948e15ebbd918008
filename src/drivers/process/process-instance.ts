/** One instance: a process group from its start to the moment when nothing of it is left. */
import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import type { HealthConfig, ProcessConfig } from '../../model/config.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import type { Instance, InstanceState, LogLine } from '../driver.ts';
import { HealthCheck } from '../probe/health-check.ts';
import { probe } from '../probe/probe.ts';
import { awaitReadiness } from '../probe/readiness.ts';
import type { ProbePace } from '../probe/readiness.ts';
import { lookUpAccount } from './accounts.ts';
import type { Account } from './accounts.ts';
import { endGroup } from './end-group.ts';
import type { FreePorts } from './free-ports.ts';
import { withListeningSocket } from './inherited-socket.ts';
import type { InstanceRecords } from './instance-records.ts';
import { planLaunch } from './launch.ts';
import type { Environment } from './launch.ts';
import { LineSplitter } from './log-lines.ts';
import { signal } from './process-table.ts';
import type { ProcessTable } from './process-table.ts';
import { StartFailure, executableProblem, exitWords, spawnFailure, spell } from './start-failure.ts';

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
  logger: Logger;
  log(line: LogLine): void;
  changed(instance: ProcessInstance): void;
  /** It failed or ended without having been asked to; told once, before the state changes. `readyForMs` null: it was never ready. */
  failed(instance: ProcessInstance, failure: { reason: string; readyForMs: number | null }): void;
}

/** After an exit: how long to wait for what it wrote last, which a child of it may keep open. */
const LAST_WORDS_MS = 50;
const PORT_CHECK_MS = 250;
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
    this.#launch().catch((error: unknown) => {
      if (error instanceof StartFailure) this.#neverStarted(error.message);
      else this.#neverStarted(`can't start it: ${(error as Error).message}`);
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

  async #launch(): Promise<void> {
    const { config } = this.#options;
    const key = this.#key();
    const account = config.user === null ? null : await lookUpAccount(config.user, `${key}.user`);
    if (config.socket === 'inherited') await this.#launchInheriting(account);
    else await this.#launchConnecting(account);
  }

  async #launchConnecting(account: Account | null): Promise<void> {
    const { config } = this.#options;
    const { ports } = this.#machine;
    const port = config.port === 'auto' ? await ports.take().catch(noPort) : config.port;
    if (config.port !== 'auto') await this.#mustBeFree(config.port);
    if (this.#state !== 'starting') return;
    const child = this.#spawn(port, account, 'ignore');
    if (child === null) return;
    this.#awaitReadiness(port);
  }

  /** Ready when spawned: the socket accepts already, and the kernel keeps what comes until the application asks for it. */
  async #launchInheriting(account: Account | null): Promise<void> {
    const { config } = this.#options;
    const [command = ''] = config.command;
    // Of the two environments the child's own PATH counts, as for execvp in the shell.
    const path = config.env['PATH'] ?? this.#machine.environment['PATH'];
    const problem = await executableProblem(command, config.cwd, path);
    if (problem !== null) {
      const error = Object.assign(new Error(problem), { code: problem });
      throw new StartFailure(await spawnFailure(error, config, command, this.#key()));
    }
    if (this.#state !== 'starting') return;
    const wanted = config.port === 'auto' ? 0 : config.port;
    let child: ChildProcess | null = null;
    let port = 0;
    try {
      await withListeningSocket(wanted, (fd, bound) => {
        if (this.#state !== 'starting') return;
        port = bound;
        child = this.#spawn(bound, account, fd);
      });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE') throw new StartFailure(taken(wanted, this.#key()), { cause: error });
      if (code === 'EACCES')
        throw new StartFailure(`not permitted to listen on port ${wanted} (EACCES); check ${this.#key()}.port`, {
          cause: error,
        });
      throw error;
    }
    // Without a pid the child's error event follows.
    if (child === null || (child as ChildProcess).pid === undefined || this.#state !== 'starting') return;
    if (config.ready.kind === 'http') this.#awaitReadiness(port);
    else this.#becomeReady('127.0.0.1', port);
  }

  #spawn(port: number, account: Account | null, stdin: 'ignore' | number): ChildProcess | null {
    const { config, backend, log } = this.#options;
    const { clock, environment, marker, records } = this.#machine;
    const launch = planLaunch(config, { instance: this.id, port, marker, environment, account });
    const stdio: StdioOptions = [stdin, 'pipe', 'pipe'];
    let child: ChildProcess;
    try {
      child = spawn(launch.file, launch.args, {
        cwd: config.cwd,
        env: launch.env,
        stdio,
        // Its own session and group, so that a Ctrl-C in dormouse's terminal doesn't reach it and all of it can be signalled.
        detached: true,
        ...(account === null ? {} : { uid: account.uid, gid: account.gid }),
      });
    } catch (error) {
      // Node throws for the errno values that it doesn't expect of spawn.
      void this.#spawnError(error as Error, port);
      return null;
    }
    this.#child = child;
    this.#spawnedMs = clock.nowMs();
    this.#startedAtMs = clock.wallMs();
    if (child.pid === undefined) {
      child.once('error', (error) => void this.#spawnError(error, port));
      return null;
    }
    // Of a process that runs, an error is a signal that could not be sent; ours go to the group and not through here.
    child.on('error', () => {});
    const line = (stream: LogLine['stream']) => (text: string) =>
      log({ atMs: clock.wallMs(), instance: this.id, stream, text });
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, name) => {
        this.#hasExited = true;
        resolve();
        this.#ended(port, exitWords(code, name), code === 0);
      });
    });
    for (const stream of ['stdout', 'stderr'] as const) {
      const splitter = new LineSplitter(line(stream));
      child[stream]?.on('data', (chunk: Buffer) => splitter.push(chunk));
      child[stream]?.once('close', () => splitter.flush());
      // Reading a broken pipe is the end of the log and of nothing else.
      child[stream]?.on('error', () => {});
    }
    records.add({ instance: this.id, backend, pid: child.pid, pgid: child.pid, marker, port });
    this.#options.changed(this);
    return child;
  }

  async #spawnError(error: NodeJS.ErrnoException, port: number): Promise<void> {
    const { config } = this.#options;
    const [template = ''] = config.command;
    const command = template.replaceAll('${PORT}', String(port)).replaceAll('${INSTANCE}', this.id);
    // The errno doesn't say whether the program or its folder is missing: that takes a look at the disk.
    this.#neverStarted(await spawnFailure(error, config, command, this.#key()));
  }

  #awaitReadiness(port: number): void {
    const { config } = this.#options;
    const { clock, pace } = this.#machine;
    const http = config.ready.kind === 'http' ? { path: config.ready.path, status: config.ready.status } : null;
    const wait = awaitReadiness({ port, http, pace, clock }, (host) => this.#becomeReady(host, port));
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

  #becomeReady(host: string, port: number): void {
    if (this.#state !== 'starting' || this.#hasExited) return;
    this.#stopWaiting();
    this.#address = { host, port };
    this.#readyMs = this.#machine.clock.nowMs();
    this.#readyAtMs = this.#machine.clock.wallMs();
    this.#move('ready', '');
    this.#startHealth();
  }

  /** Without configured checks a suspicion is still looked into, until it accepts connections again. */
  #startHealth(): void {
    const { health } = this.#options;
    if (this.#address === null) return;
    this.#health = new HealthCheck({
      target: this.#address,
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
      this.#options.failed(this, { reason, readyForMs });
      this.#move('gone', reason);
    });
    // Whatever it leaves behind is ended from now on, and a stop that comes meanwhile waits for that.
    this.#stop = this.#sweep(told);
  }

  #neverStarted(reason: string): void {
    if (this.#state !== 'starting') return;
    this.#stopWaiting();
    this.#stop ??= Promise.resolve();
    this.#options.failed(this, { reason, readyForMs: null });
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

  async #mustBeFree(port: number): Promise<void> {
    const answers = await Promise.all(['127.0.0.1', '::1'].map((host) => accepts(host, port)));
    if (answers.includes(true)) throw new StartFailure(taken(port, this.#key()));
  }

  #move(state: InstanceState, reason: string): void {
    if (!INSTANCE_TRANSITIONS[this.#state].includes(state)) return;
    this.#state = state;
    this.#reason = reason;
    this.#options.changed(this);
  }

  #key(): string {
    return `backends.${this.#options.backend}.process`;
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    probe({ host, port, http: null }, PORT_CHECK_MS, (result) => resolve(result.ok));
  });
}

function taken(port: number, key: string): string {
  return `port ${port} is already taken by another process; end that one or change ${key}.port`;
}

function noPort(error: NodeJS.ErrnoException): never {
  if (error.code === 'EMFILE' || error.code === 'ENFILE') {
    throw new StartFailure(
      `no file descriptors left to find a free port (${error.code}); raise the limit (ulimit -n, LimitNOFILE=) or run fewer instances`,
      {
        cause: error,
      },
    );
  }
  throw new StartFailure(`found no free port (${error.code ?? error.message})`, { cause: error });
}
