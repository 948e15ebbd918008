/** Ends what a killed supervisor left behind. */
import { rm } from 'node:fs/promises';
import type { Clock, Logger } from '../../model/ports.ts';
import { readRecords } from './instance-records.ts';
import { ProcessTable, bootId, signal } from './process-table.ts';
import type { ProcessEntry } from './process-table.ts';

export interface OrphanDeps {
  stateDir: string;
  marker: string;
  logger: Logger;
  clock: Clock;
}

const GRACE_MS = 2000;
const KILL_BOUND_MS = 2000;
const POLL_MS = 20;

/**
 * Ends every process that a record names with the same pid and start time (and the group that it leads), and every process with our marker: SIGTERM and
 * SIGCONT, 2 s, SIGKILL. A process that neither matches is never touched. Removes the records. Resolves within about 4 s, with the number of processes that are gone. Call it before any
 * instance is started.
 */
export async function endOrphans(deps: OrphanDeps): Promise<{ ended: number }> {
  const table = new ProcessTable(deps.marker, process.platform);
  const [{ records, junk }, boot, entries] = await Promise.all([readRecords(deps.stateDir), bootId(), table.scan()]);
  const own = ancestors(entries);
  const targets = new Map<number, ProcessEntry>();
  const take = (entry: ProcessEntry): void => {
    if (!entry.zombie && !own.has(entry.pid)) targets.set(entry.pid, entry);
  };
  for (const { record } of records) {
    if (record.boot !== boot) continue;
    const leader = entries.find((entry) => entry.pid === record.pid);
    if (leader === undefined || leader.startTime !== record.startTime) continue;
    take(leader);
    // The leader is the one we started, so its group is ours as well, even those members that have changed their environment.
    if (leader.pgid === leader.pid) entries.filter((entry) => entry.pgid === leader.pid).forEach(take);
  }
  entries.filter((entry) => entry.instance !== null).forEach(take);

  const ended = targets.size === 0 ? 0 : await endAll(targets, own, table, deps);
  await Promise.all(
    [...records.map(({ file }) => file), ...junk].map((file) => rm(file, { force: true }).catch(() => {})),
  );
  return { ended };
}

async function endAll(
  targets: Map<number, ProcessEntry>,
  own: ReadonlySet<number>,
  table: ProcessTable,
  deps: OrphanDeps,
): Promise<number> {
  const { logger, clock } = deps;
  let found = targets.size;
  logger.warn(`ending ${found} ${found === 1 ? 'process' : 'processes'} that an earlier run left behind`, {
    pids: [...targets.keys()],
  });
  for (const pid of targets.keys()) {
    signal(pid, 'SIGTERM');
    signal(pid, 'SIGCONT');
  }
  const killAtMs = clock.nowMs() + GRACE_MS;
  for (;;) {
    const now = new Map((await table.scan()).map((entry) => [entry.pid, entry]));
    for (const [pid, target] of targets) {
      const entry = now.get(pid);
      if (entry === undefined || entry.zombie || entry.startTime !== target.startTime) targets.delete(pid);
    }
    // Born after the first look.
    for (const entry of now.values()) {
      if (entry.instance === null || entry.zombie || own.has(entry.pid) || targets.has(entry.pid)) continue;
      targets.set(entry.pid, entry);
      found++;
      signal(entry.pid, 'SIGTERM');
    }
    if (targets.size === 0) return found;
    const nowMs = clock.nowMs();
    if (nowMs >= killAtMs + KILL_BOUND_MS) {
      logger.error('could not end these processes of an earlier run; end them by hand', { pids: [...targets.keys()] });
      return found - targets.size;
    }
    if (nowMs >= killAtMs) for (const pid of targets.keys()) signal(pid, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** This process and those that it descends from: dormouse may itself have been started by something that carries the marker. */
function ancestors(entries: readonly ProcessEntry[]): Set<number> {
  const parents = new Map(entries.map((entry) => [entry.pid, entry.ppid]));
  const line = new Set<number>();
  for (
    let pid: number | undefined = process.pid;
    pid !== undefined && pid > 0 && !line.has(pid);
    pid = parents.get(pid)
  )
    line.add(pid);
  return line;
}
