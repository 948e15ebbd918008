/** Tells a process from another one that got the same pid later: by its start time. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** When the process started, as the system tells it: only good to compare for equality. */
  started: string;
}

/** null: no such process (or a zombie, which holds nothing any more). */
export function identify(pid: number, platform: NodeJS.Platform = process.platform): ProcessIdentity | null {
  const started = platform === 'linux' ? startedByProc(pid) : startedByPs(pid);
  return started === null ? null : { pid, started };
}

export function isAlive(identity: ProcessIdentity, platform: NodeJS.Platform = process.platform): boolean {
  return identify(identity.pid, platform)?.started === identity.started;
}

/**
 * Field 22 of /proc/<pid>/stat (proc(5)): clock ticks since boot. Field 2, the name in parentheses, may hold spaces and parentheses, so
 * counting begins behind the last one; field 3 is the state.
 */
function startedByProc(pid: number): string | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}

function startedByPs(pid: number): string | null {
  try {
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      timeout: 2000,
    }).trim();
    return started === '' ? null : started;
  } catch {
    return null;
  }
}
