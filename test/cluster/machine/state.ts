/** What of the cluster runs, in a file: the next command, maybe after a crash, knows what to stop. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isSameProcess, startTimeOf, type ProcessIdentity } from './process-identity.ts';
import { RUN_FOLDER } from './places.ts';

export type ProxyMode = 'nftables' | 'iptables';

export interface ProcessRecord extends ProcessIdentity {
  command: string[];
  env: Record<string, string>;
  logFile: string;
  /** Network namespace that it was started in; null: the machine's own. */
  networkNamespace: string | null;
  hostname: string | null;
}

export interface State {
  startedAt: string;
  proxyMode: ProxyMode;
  /** Number of nodes; 0: only the control plane. */
  nodes: number;
  keda: boolean;
  gatewayApi: boolean;
  /** Loaded into every node: name -> archive. */
  images: Record<string, string>;
  /** By name: etcd, kube-apiserver, kubelet-1 … */
  processes: Record<string, ProcessRecord>;
}

const STATE_FILE = join(RUN_FOLDER, 'state.json');

/** The state that was written last, null when no cluster was started since the last `down`. */
export function readState(): State | null {
  try {
    return JSON.parse(readFileSync(STATE_FILE, 'utf8')) as State;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Error(`${STATE_FILE} can't be read; 'npm run cluster -- down' takes down what is left`, { cause: error });
  }
}

export function writeState(state: State): void {
  mkdirSync(RUN_FOLDER, { recursive: true });
  const temporary = `${STATE_FILE}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(state, null, 2)}\n`);
  renameSync(temporary, STATE_FILE);
}

const LOCK_FILE = `${RUN_FOLDER}.lock`;
const LOCK_TIMEOUT_MS = 20 * 60_000;

/** One command at a time changes the cluster, or what `file` stands for; others wait for it (up to 20 minutes: it may be building). A lock whose owner is gone is taken over. */
export async function withLock<T>(work: () => Promise<T>, file = LOCK_FILE): Promise<T> {
  const deadline = performance.now() + LOCK_TIMEOUT_MS;
  const own: ProcessIdentity = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' };
  while (!takeLock(own, file)) {
    if (performance.now() > deadline) throw new Error(`${file} has been held for 20 minutes by another command`);
    await delay(200);
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function takeLock(own: ProcessIdentity, file: string): boolean {
  try {
    writeFileSync(file, JSON.stringify(own), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  try {
    const owner = JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
    if (!isSameProcess(owner)) rmSync(file, { force: true });
  } catch {
    // Being written or taken away just now.
  }
  return false;
}
