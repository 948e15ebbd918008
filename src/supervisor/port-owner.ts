/** Who listens on a port, read from /proc: for the message that says why a start was refused. Linux only; elsewhere nobody is named. */
import { readdir, readFile, readlink } from 'node:fs/promises';

const LISTEN = '0A';
/** Processes looked at; a machine with more gets no name, the message does without. */
const MAX_PROCESSES = 4000;

/** "node server.js (pid 4711)", or null when it cannot be found out (another user's process, no /proc). */
export async function portOwner(port: number, proc = '/proc'): Promise<string | null> {
  try {
    const inodes = await listeningInodes(port, proc);
    if (inodes.size === 0) return null;
    const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name)).slice(0, MAX_PROCESSES);
    for (const pid of pids) {
      if (!(await holds(`${proc}/${pid}/fd`, inodes))) continue;
      const command = (await readFile(`${proc}/${pid}/cmdline`, 'utf8')).split('\0').join(' ').trim().slice(0, 120);
      return `${command} (pid ${pid})`;
    }
  } catch {
    // No /proc, or a process that ended while we looked: a missing name is no reason to fail.
  }
  return null;
}

/** Column 2 of /proc/net/tcp is local address:port in hex, 4 the state, 10 the inode (proc(5)). */
async function listeningInodes(port: number, proc: string): Promise<Set<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set<string>();
  for (const file of ['tcp', 'tcp6']) {
    const table = await readFile(`${proc}/net/${file}`, 'utf8').catch(() => '');
    for (const line of table.split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      if (columns[3] === LISTEN && columns[1]?.endsWith(suffix)) inodes.add(`socket:[${columns[9]}]`);
    }
  }
  return inodes;
}

async function holds(folder: string, inodes: Set<string>): Promise<boolean> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const target = await readlink(`${folder}/${name}`).catch(() => '');
    if (inodes.has(target)) return true;
  }
  return false;
}
