/** The control groups below which a node's pods live, in every hierarchy of version 1 or in the one of version 2. */
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';

export function createCgroups(name: string): void {
  for (const hierarchy of hierarchies()) {
    const folder = join(hierarchy, name);
    mkdirSync(folder, { recursive: true });
    // A cpuset of version 1 takes no process before it has processors and memory.
    for (const setting of ['cpuset.cpus', 'cpuset.mems']) {
      const file = join(folder, setting);
      if (existsSync(file) && readFileSync(file, 'utf8').trim() === '' && existsSync(join(hierarchy, setting)))
        writeFileSync(file, readFileSync(join(hierarchy, setting)));
    }
  }
}

/** Ids of all processes below it. */
export function processesIn(name: string): number[] {
  const ids = new Set<number>();
  for (const hierarchy of hierarchies()) {
    for (const folder of foldersBelow(join(hierarchy, name)))
      for (const id of readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n'))
        if (id !== '') ids.add(Number(id));
  }
  return [...ids];
}

/** Deepest first; what still has processes stays. */
export function removeCgroups(name: string): void {
  for (const hierarchy of hierarchies()) {
    for (const folder of foldersBelow(join(hierarchy, name))) {
      try {
        rmdirSync(folder);
      } catch {
        continue;
      }
    }
  }
}

function hierarchies(): string[] {
  if (existsSync(join(ROOT, 'cgroup.controllers'))) return [ROOT];
  return readdirSync(ROOT)
    .map((name) => join(ROOT, name))
    .filter((path) => lstatSync(path).isDirectory() && existsSync(join(path, 'cgroup.procs')));
}

/** Itself last. */
function foldersBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...below.flatMap((entry) => foldersBelow(join(folder, entry.name))), folder];
}
