/** The cluster's own processes: started apart from this one, recorded, and ended by their own id. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isSameProcess, startTimeOf, type ProcessIdentity } from './process-identity.ts';
import { LOGS } from './places.ts';
import { until } from './run.ts';
import { writeState, type ProcessRecord, type State } from './state.ts';

export interface Daemon {
  name: string;
  command: string[];
  env?: Record<string, string>;
  networkNamespace?: string;
  hostname?: string;
}

const GRACE_MS = 10_000;
const KILL_MS = 5_000;
const LOG_CHARS = 3_000;

export function isRunning(state: State, name: string): boolean {
  const record = state.processes[name];
  return record !== undefined && isSameProcess(record);
}

/** Starts it unless it runs already, and records it in the state. Its output goes to logs/NAME.log. */
export function startDaemon(state: State, daemon: Daemon): ProcessRecord {
  const running = state.processes[daemon.name];
  if (running !== undefined && isSameProcess(running)) return running;
  const record = launch({
    pid: 0,
    startTime: '',
    command: daemon.command,
    env: daemon.env ?? {},
    logFile: join(LOGS, `${daemon.name}.log`),
    networkNamespace: daemon.networkNamespace ?? null,
    hostname: daemon.hostname ?? null,
  });
  state.processes[daemon.name] = record;
  writeState(state);
  return record;
}

/** The same command again, after it was stopped or has crashed. */
export function startAgain(state: State, name: string): ProcessRecord {
  const record = state.processes[name];
  if (record === undefined) throw new Error(`there is no process named ${name} in this cluster`);
  if (isSameProcess(record)) return record;
  const again = launch(record);
  state.processes[name] = again;
  writeState(state);
  return again;
}

/** Ends it and forgets it: a cluster without it is healthy. */
export async function stopDaemon(state: State, name: string): Promise<void> {
  const record = state.processes[name];
  if (record === undefined) return;
  await stopProcess(record);
  delete state.processes[name];
  writeState(state);
}

function launch(record: ProcessRecord): ProcessRecord {
  mkdirSync(dirname(record.logFile), { recursive: true });
  const log = openSync(record.logFile, 'a');
  // nsenter and unshare replace themselves by what they start: the id stays.
  const [file = '', ...args] = [
    ...(record.networkNamespace === null ? [] : ['nsenter', `--net=${record.networkNamespace}`]),
    ...(record.hostname === null
      ? []
      : ['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec "$@"', record.hostname]),
    ...record.command,
  ];
  const child = spawn(file, args, {
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', ...record.env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  child.unref();
  child.on('error', () => {});
  const startTime = child.pid === undefined ? null : startTimeOf(child.pid);
  if (child.pid === undefined || startTime === null) throw new Error(`${record.command[0]} could not be started`);
  return { ...record, pid: child.pid, startTime };
}

/** SIGTERM, then SIGKILL after `graceMs` (0: at once); resolves when it is gone. */
export async function stopProcess(identity: ProcessIdentity, graceMs = GRACE_MS): Promise<void> {
  if (!isSameProcess(identity)) return;
  const gone = (): boolean => !isSameProcess(identity);
  signalProcess(identity, 'SIGCONT');
  signalProcess(identity, graceMs > 0 ? 'SIGTERM' : 'SIGKILL');
  try {
    await until(`end of process ${identity.pid}`, gone, { timeoutMs: graceMs, everyMs: 20 });
  } catch {
    signalProcess(identity, 'SIGKILL');
    await until(`end of process ${identity.pid}`, gone, { timeoutMs: KILL_MS, everyMs: 20 });
  }
}

/** Nothing when the process has gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isSameProcess(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** `check` until it holds; fails at once, with the end of its log, when the process ends before. */
export async function untilUp(
  state: State,
  name: string,
  check: () => Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const record = state.processes[name]!;
  const tail = (): string => readFileSync(record.logFile, 'utf8').slice(-LOG_CHARS);
  const outcome = await until(name, async () => (!isSameProcess(record) ? 'ended' : (await check()) ? 'up' : null), {
    timeoutMs,
    everyMs: 40,
  }).catch((error: unknown) => {
    throw new Error(`${name} is not up. The end of ${record.logFile}:\n${tail()}`, { cause: error });
  });
  if (outcome === 'ended') throw new Error(`${name} has ended. The end of ${record.logFile}:\n${tail()}`);
}
