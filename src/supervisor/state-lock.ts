/**
 * One supervisor per state folder. The lock is a file with the holder's pid and start time, so that one left by a killed supervisor is
 * told from one that is held, even when its pid is somebody else's now. Beside it stands the record of worker processes, which a next start
 * reads to wait for those that a killed supervisor left behind.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DormouseError } from '../model/errors.ts';
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts';

interface LockRecord extends ProcessIdentity {
  /** Wall clock, ms. */
  sinceMs: number;
  token: string;
}

export class StateLock {
  readonly #file: string;
  readonly #workersFile: string;
  readonly #record: LockRecord;
  #workers = new Map<number, ProcessIdentity>();

  private constructor(file: string, workersFile: string, record: LockRecord) {
    this.#file = file;
    this.#workersFile = workersFile;
    this.#record = record;
  }

  /**
   * Takes the lock of a state folder that exists. Throws DORMOUSE_STATE_LOCKED with the holder's pid and since when, or
   * DORMOUSE_STATE_DIR when the folder can't be written.
   */
  static acquire(stateDir: string, wallMs: number): StateLock {
    const file = join(stateDir, 'lock');
    const self = identify(process.pid) ?? { pid: process.pid, started: '' };
    const record: LockRecord = { ...self, sinceMs: wallMs, token: randomUUID() };
    const draft = join(stateDir, `lock.${record.token}`);
    try {
      writeFileSync(draft, JSON.stringify(record), { mode: 0o600, flag: 'wx' });
      // link(2) makes the file appear with its content, or fails: nobody ever reads half a lock.
      for (let attempt = 0; ; attempt++) {
        if (tryLink(draft, file)) return new StateLock(file, join(stateDir, 'workers'), record);
        const holder = readJson<LockRecord>(file);
        if (holder !== null && isAlive(holder)) throw locked(stateDir, holder);
        if (attempt >= 3) throw locked(stateDir, holder);
        removeStale(file, holder, record.token);
      }
    } catch (error) {
      if (error instanceof DormouseError) throw error;
      throw new DormouseError(
        'DORMOUSE_STATE_DIR',
        `The state folder ${stateDir} cannot be used: ${(error as Error).message}. Set stateDir to a folder that this user may write.`,
        { cause: error, userFault: true },
      );
    } finally {
      rmSync(draft, { force: true });
    }
  }

  /** Worker processes that the former supervisor of this folder left and that still run. Read it before the first {@link recordWorkers}. */
  leftWorkers(): ProcessIdentity[] {
    const recorded = readJson<ProcessIdentity[]>(this.#workersFile);
    return Array.isArray(recorded) ? recorded.filter((identity) => isAlive(identity)) : [];
  }

  /** Writes down which worker processes there are. Never throws: a full disk must not stop the service. */
  recordWorkers(pids: readonly number[]): void {
    const workers = new Map<number, ProcessIdentity>();
    for (const pid of pids) {
      const identity = this.#workers.get(pid) ?? identify(pid);
      if (identity !== null) workers.set(pid, identity);
    }
    this.#workers = workers;
    const draft = `${this.#workersFile}.${this.#record.token}`;
    try {
      writeFileSync(draft, JSON.stringify([...workers.values()]), { mode: 0o600 });
      renameSync(draft, this.#workersFile);
    } catch {
      rmSync(draft, { force: true });
    }
  }

  release(): void {
    if (readJson<LockRecord>(this.#file)?.token !== this.#record.token) return;
    rmSync(this.#workersFile, { force: true });
    rmSync(this.#file, { force: true });
  }
}

function tryLink(draft: string, file: string): boolean {
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Two starts may find the same stale lock. Each moves it aside under a name of its own; who finds that it moved another one (a fresh one that
 * the faster start just made) puts that back.
 */
function removeStale(file: string, stale: LockRecord | null, token: string): void {
  const aside = `${file}.stale.${token}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  const moved = readJson<LockRecord>(aside);
  if (moved !== null && moved.token !== stale?.token && isAlive(moved)) tryLink(aside, file);
  rmSync(aside, { force: true });
}

function readJson<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return null;
  }
}

function locked(stateDir: string, holder: LockRecord | null): DormouseError {
  const who = holder === null ? '' : ` (pid ${holder.pid}, since ${new Date(holder.sinceMs).toISOString()})`;
  const next = holder === null ? '' : ` End it first ("kill ${holder.pid}"), or give this one another stateDir.`;
  return new DormouseError(
    'DORMOUSE_STATE_LOCKED',
    `Another dormouse runs on the state folder ${stateDir}${who}.${next}`,
    { userFault: true },
  );
}
