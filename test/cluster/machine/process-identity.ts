/** A process is known by its id and the moment it was started: ids are given again. */
import { readFileSync, readdirSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since the machine's start, field 22 of /proc/PID/stat (proc(5)). */
  startTime: string;
}

/** Null when there is no such process, or all of it has ended and nobody has asked for its exit code yet. */
export function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, field 2, is in brackets and may hold spaces and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // The first thread may have ended while others still hold the sockets.
    const ended = fields[0] === 'Z' && readdirSync(`/proc/${pid}/task`).length === 1;
    return ended || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

export function isSameProcess({ pid, startTime }: ProcessIdentity): boolean {
  return startTimeOf(pid) === startTime;
}

/** Resident memory, bytes; 0 for a process that is gone. */
export function residentBytes(pid: number): number {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}
