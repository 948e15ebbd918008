/** Ends all processes of an instance: its group and whoever left the group but carries the instance's marker. */
import type { Clock } from '../../model/ports.ts';
import { signal } from './process-table.ts';
import type { ProcessEntry, ProcessTable } from './process-table.ts';

export interface GroupToEnd {
  /** Process group, which is the leader's pid. */
  pgid: number;
  instance: string;
  /** Resolves when the leader was seen to exit. */
  exited: Promise<void>;
  hasExited(): boolean;
  /** Stopped by SIGSTOP: it sees SIGTERM only after SIGCONT. */
  frozen: boolean;
  graceMs: number;
}

/** After SIGKILL: how long to wait for the kernel to take everything away. */
const KILL_BOUND_MS = 1500;
const POLL_MS = 20;
/** A leader that is gone sooner needs no search for strays before its exit. */
const PATIENCE_MS = 100;

/**
 * SIGTERM to the group (then SIGCONT), `graceMs`, SIGKILL to all that is left. Resolves when nothing is left, at the latest graceMs + 1.5 s later; with the pids
 * that could not be ended (a process that hangs in the kernel).
 */
export async function endGroup(group: GroupToEnd, table: ProcessTable, clock: Clock): Promise<number[]> {
  const killAtMs = clock.nowMs() + group.graceMs;
  const giveUpAtMs = killAtMs + KILL_BOUND_MS;
  const asked = new Set<number>();
  if (!group.hasExited()) {
    signal(-group.pgid, 'SIGTERM');
    if (group.frozen) signal(-group.pgid, 'SIGCONT');
    asked.add(group.pgid);
    await within(group.exited, Math.min(PATIENCE_MS, group.graceMs));
  }
  for (;;) {
    const left = belonging(await table.scan(), group);
    if (left.length === 0 && group.hasExited()) return [];
    const nowMs = clock.nowMs();
    if (nowMs >= giveUpAtMs) return left.map((entry) => entry.pid);
    if (nowMs >= killAtMs) {
      if (!group.hasExited()) signal(-group.pgid, 'SIGKILL');
      for (const entry of left) signal(entry.pid, 'SIGKILL');
      await Promise.race([pause(POLL_MS), ...(group.hasExited() ? [] : [group.exited])]);
      continue;
    }
    for (const entry of left) {
      if (asked.has(entry.pid)) continue;
      asked.add(entry.pid);
      // Members of the group were asked together with the leader, unless it had ended by itself before.
      if (entry.pgid !== group.pgid || !asked.has(group.pgid)) signal(entry.pid, 'SIGTERM');
      if (group.frozen) signal(entry.pid, 'SIGCONT');
    }
    const untilKillMs = killAtMs - nowMs;
    if (group.hasExited()) await pause(Math.min(POLL_MS, untilKillMs));
    else await within(group.exited, untilKillMs);
  }
}

/**
 * The number of a group stays taken for as long as it has members. So a living process whose pid is the group's number, seen after the leader was reaped, is a
 * stranger's: the group had ended and the number was given away.
 */
function belonging(entries: readonly ProcessEntry[], group: GroupToEnd): ProcessEntry[] {
  const reused =
    group.hasExited() && entries.some((entry) => entry.pid === group.pgid && entry.instance !== group.instance);
  return entries.filter(
    (entry) => !entry.zombie && ((entry.pgid === group.pgid && !reused) || entry.instance === group.instance),
  );
}

async function within(event: Promise<void>, boundMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, boundMs);
  });
  await Promise.race([event, bound]);
  clearTimeout(timer);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
