/** The machine's processes: who belongs to a group, who carries our marker. Read asynchronously and only to stop instances and to find orphans. */
import { execFile } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { MARKER_VARIABLE, INSTANCE_VARIABLE } from './marker.ts';

export interface ProcessEntry {
  pid: number;
  ppid: number;
  pgid: number;
  /** Tells two processes with the same pid apart; Linux: clock ticks since boot (field 22 of stat), macOS: a date. */
  startTime: string;
  /** Ended but not yet waited for: nothing can be done about it, nothing is left of it. */
  zombie: boolean;
  /** The instance it was started for, when it carries our marker; null: it doesn't, or it isn't ours to read. */
  instance: string | null;
}

/** Files open at once in one scan. */
const READERS = 16;
const PS_TIMEOUT_MS = 5000;
const PS_MAX_BYTES = 16 * 1024 * 1024;

export class ProcessTable {
  readonly #needle: Buffer;
  readonly #linux: boolean;
  #next: Promise<ProcessEntry[]> | null = null;
  #running: Promise<unknown> = Promise.resolve();

  constructor(marker: string, platform: NodeJS.Platform) {
    this.#needle = Buffer.from(`${MARKER_VARIABLE}=${marker}`);
    this.#linux = platform === 'linux';
  }

  /** All processes, as of a moment after the call. Calls while a scan runs share the next one: many instances that stop at once cost two scans. */
  scan(): Promise<ProcessEntry[]> {
    this.#next ??= this.#running.then(() => {
      this.#next = null;
      const scan = this.#linux ? this.#scanProc() : scanPs();
      this.#running = scan.catch(() => {});
      return scan;
    });
    return this.#next;
  }

  /** null: there is no such process. */
  async startTime(pid: number): Promise<string | null> {
    if (this.#linux) return (await readStat(pid))?.startTime ?? null;
    return (await scanPs()).find((entry) => entry.pid === pid)?.startTime ?? null;
  }

  async #scanProc(): Promise<ProcessEntry[]> {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
    const entries: ProcessEntry[] = [];
    let at = 0;
    const reader = async (): Promise<void> => {
      while (at < pids.length) {
        const pid = pids[at++]!;
        const stat = await readStat(pid);
        if (stat !== null) entries.push({ ...stat, instance: stat.zombie ? null : await this.#instanceOf(pid) });
      }
    };
    await Promise.all(Array.from({ length: READERS }, reader));
    return entries;
  }

  async #instanceOf(pid: number): Promise<string | null> {
    // EACCES for processes of other users, ESRCH for one that just ended: not ours either way.
    const environ = await readFile(`/proc/${pid}/environ`).catch(() => null);
    if (environ === null || !hasVariable(environ, this.#needle)) return null;
    const start = variableAt(environ, Buffer.from(`${INSTANCE_VARIABLE}=`));
    if (start < 0) return '';
    const end = environ.indexOf(0, start);
    return environ.toString('utf8', start + INSTANCE_VARIABLE.length + 1, end < 0 ? environ.length : end);
  }
}

/** Random per boot: a pid and start time mean nothing after the next one. '' where it isn't told. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '')).trim();
}

/** Signals a process, or with a negative number a group. False: nobody there, or it isn't ours to signal. */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

async function readStat(pid: number): Promise<Omit<ProcessEntry, 'instance'> | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
  return text === null ? null : parseStat(pid, text);
}

/** proc_pid_stat(5). The command stands in parentheses and may hold spaces and parentheses itself: count from the last one. */
export function parseStat(pid: number, text: string): Omit<ProcessEntry, 'instance'> | null {
  const close = text.lastIndexOf(')');
  if (close < 0) return null;
  const fields = text.slice(close + 2).split(' ');
  const [state, ppid, pgid] = fields;
  const startTime = fields[19];
  if (state === undefined || ppid === undefined || pgid === undefined || startTime === undefined) return null;
  return { pid, ppid: Number(ppid), pgid: Number(pgid), startTime, zombie: state === 'Z' || state === 'X' };
}

/** macOS: no look into environments, so a child that left its group isn't found there. */
function scanPs(): Promise<ProcessEntry[]> {
  const options = { timeout: PS_TIMEOUT_MS, maxBuffer: PS_MAX_BYTES, env: { LC_ALL: 'C', PATH: '/bin:/usr/bin' } };
  return new Promise((resolve, reject) => {
    execFile('ps', ['-axo', 'pid=,ppid=,pgid=,stat=,lstart='], options, (error, stdout) => {
      if (error !== null) return reject(error);
      resolve(stdout.split('\n').flatMap(parsePs));
    });
  });
}

export function parsePs(line: string): ProcessEntry[] {
  const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.+?)\s*$/.exec(line);
  if (match === null) return [];
  const [, pid, ppid, pgid, state, startTime] = match as unknown as [string, string, string, string, string, string];
  return [
    {
      pid: Number(pid),
      ppid: Number(ppid),
      pgid: Number(pgid),
      startTime,
      zombie: state.startsWith('Z'),
      instance: null,
    },
  ];
}

function hasVariable(environ: Buffer, variable: Buffer): boolean {
  const start = variableAt(environ, variable);
  if (start < 0) return false;
  const end = start + variable.length;
  return end === environ.length || environ[end] === 0;
}

/** Where a variable begins in NUL-separated text, or -1. */
function variableAt(environ: Buffer, prefix: Buffer): number {
  for (let at = environ.indexOf(prefix); at >= 0; at = environ.indexOf(prefix, at + 1)) {
    if (at === 0 || environ[at - 1] === 0) return at;
  }
  return -1;
}
