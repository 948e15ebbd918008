/** What a table was measured on. */
import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { findProgram } from '../packages.ts';

const VERSION_OF: Readonly<Record<string, readonly string[]>> = {
  nginx: ['-v'],
  haproxy: ['-v'],
  caddy: ['version'],
  wrk: ['-v'],
  h2load: ['--version'],
};

export function machineFacts(programs: readonly string[]): string[] {
  const processors = cpus();
  return [
    `${processors.length} cores (${processors[0]?.model.trim() ?? 'unknown'}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${distribution()}, Linux ${release()}`,
    `Node ${process.versions.node}${programs.map((name) => `, ${name} ${versionOf(name)}`).join('')}`,
  ];
}

function distribution(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown distribution';
  } catch {
    return 'unknown distribution';
  }
}

function versionOf(program: string): string {
  const path = findProgram(program);
  if (path === null) return 'missing';
  try {
    const text = execFileSync('sh', ['-c', '"$0" "$@" 2>&1; true', path, ...(VERSION_OF[program] ?? ['--version'])], {
      encoding: 'utf8',
    });
    return /\d+\.\d+(?:\.\d+)?/.exec(text)?.[0] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
