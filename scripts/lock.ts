/**
 * `npm run lock`: writes package-lock.json anew after package.json was changed.
 *
 * Tools with a binary per platform name all of them as optional dependencies. A registry that doesn't serve one (a mirror often has only some) makes npm leave
 * it out of the lock file without a word, and `npm ci` then refuses that lock file on every machine. So what is missing is put in here, with what its
 * name says about its platform; npm skips it wherever it doesn't fit.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface LockedPackage {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  cpu?: string[];
  os?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

export interface Lock {
  packages: Record<string, LockedPackage>;
}

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const PROCESSORS = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

/** Optional dependencies of locked packages that have no entry of their own: name -> version. */
export function missingFrom(lock: Lock): Map<string, { version: string; dev: boolean }> {
  const missing = new Map<string, { version: string; dev: boolean }>();
  for (const [path, locked] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(locked.optionalDependencies ?? {})) {
      if (lock.packages[`${path}/node_modules/${name}`] || lock.packages[`node_modules/${name}`]) continue;
      missing.set(name, { version, dev: locked.dev === true });
    }
  }
  return missing;
}

/** `@oxlint/binding-linux-x64-musl` -> linux, x64, musl. Null when the name doesn't say. */
function platformOf(name: string): Pick<LockedPackage, 'os' | 'cpu' | 'libc'> | null {
  const words = name.split(/[-/]/);
  const os = SYSTEMS.find((system) => words.includes(system));
  const cpu = PROCESSORS.find((processor) => words.includes(processor));
  if (os === undefined || cpu === undefined) return null;
  const libc = words.some((word) => word.startsWith('musl'))
    ? ['musl']
    : words.some((word) => word.startsWith('gnu'))
      ? ['glibc']
      : undefined;
  return { cpu: [cpu], os: [os], ...(libc ? { libc } : {}) };
}

export function complete(lock: Lock): string[] {
  const added = missingFrom(lock);
  for (const [name, { version, dev }] of added) {
    const platform = platformOf(name);
    if (!/^\d+\.\d+\.\d+/.test(version) || platform === null) {
      throw new Error(
        `${name}@${version} is not served by this registry, and its platform can't be told from its name`,
      );
    }
    lock.packages[`node_modules/${name}`] = { version, ...(dev ? { dev } : {}), optional: true, ...platform };
  }
  const paths = Object.keys(lock.packages).toSorted((a, b) => (a < b ? -1 : 1));
  lock.packages = Object.fromEntries(paths.map((path) => [path, lock.packages[path] ?? {}]));
  return [...added.keys()];
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  const file = join(root, 'package-lock.json');
  execFileSync('npm', ['install', '--package-lock-only', '--ignore-scripts'], { cwd: root, stdio: 'inherit' });
  const lock = JSON.parse(readFileSync(file, 'utf8')) as Lock;
  const added = complete(lock);
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  console.error(`${added.length} packages of other platforms were added`);
  // What is installed was not changed by this: the next command decides by comparing these two times.
  const now = new Date();
  utimesSync(file, now, now);
}
