/** CPU time and memory of a program and everything it started, read from /proc. */
import { readFileSync, readdirSync } from 'node:fs';

/** USER_HZ: what /proc counts time in, 100 on every Linux that this runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

interface ProcessStat {
  pid: number;
  parent: number;
  /** utime + stime of all its threads, and of children that were waited for. */
  cpuMs: number;
  rssBytes: number;
}

/** proc(5): the name in parentheses may hold spaces, so fields are counted from the last parenthesis. */
function readStat(pid: number): ProcessStat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const field = (number: number): number => Number(fields[number - 3]);
    return {
      pid,
      parent: field(4),
      cpuMs: ((field(14) + field(15)) * 1000) / TICKS_PER_SECOND,
      rssBytes: field(24) * PAGE_BYTES,
    };
  } catch {
    return null;
  }
}

export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : null;
    if (stat) children.set(stat.parent, [...(children.get(stat.parent) ?? []), stat.pid]);
  }
  const found = [root];
  for (let index = 0; index < found.length; index++) found.push(...(children.get(found[index] ?? -1) ?? []));
  return found;
}

/** Sum over `pids`, in ms with a resolution of 10 ms per process. */
export function cpuTimeMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readStat(pid)?.cpuMs ?? 0), 0);
}

export function rssBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readStat(pid)?.rssBytes ?? 0), 0);
}

/** Memory without counting shared pages twice. Needs the right to read smaps (own processes, or root). */
export function pssBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      const kilobytes = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
      return sum + Number(kilobytes ?? 0) * 1024;
    } catch {
      return sum;
    }
  }, 0);
}

export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** The most that it has had in memory so far; 0 when it has ended. */
export function peakBytes(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
