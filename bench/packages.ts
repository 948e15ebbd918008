/** Peers and load generators come from Debian's packages, so that everyone measures against the same builds. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Program -> package. */
export const PACKAGE_OF: Readonly<Record<string, string>> = {
  nginx: 'nginx-light',
  haproxy: 'haproxy',
  caddy: 'caddy',
  wrk: 'wrk',
  h2load: 'nghttp2-client',
  promtool: 'prometheus',
  curl: 'curl',
  chromium: 'chromium',
  taskset: 'util-linux',
};

/** Administrators' programs (nginx, haproxy) are in sbin, which is not on everyone's PATH. */
const SBIN = ['/usr/sbin', '/usr/local/sbin', '/sbin'];

export function hasProgram(name: string, path = process.env['PATH'] ?? ''): boolean {
  return findProgram(name, path) !== null;
}

export function findProgram(name: string, path = process.env['PATH'] ?? ''): string | null {
  for (const folder of [...path.split(delimiter), ...SBIN]) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      continue;
    }
  }
  return null;
}

/** Installs what is missing with apt-get when this user may; otherwise throws with the line to run. */
export function ensurePrograms(names: readonly string[]): void {
  const missing = names.filter((name) => !hasProgram(name));
  if (missing.length === 0) return;
  const packages = missing.map((name) => PACKAGE_OF[name] ?? name);
  const line = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (!hasProgram('apt-get'))
    throw new Error(`${missing.join(', ')} missing, and this system has no apt-get to install them`);
  if (process.getuid?.() !== 0) throw new Error(`${missing.join(', ')} missing. As root: ${line}`);
  console.error(`installing ${packages.join(' ')}`);
  // Packages of servers would start them where an init system runs; a bench starts its own.
  const quiet = `printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d`;
  const hadPolicy = hasProgram('policy-rc.d', '/usr/sbin');
  const result = spawnSync('sh', ['-c', `${hadPolicy ? ':' : quiet} && ${line}`], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    encoding: 'utf8',
    timeout: 10 * 60_000,
  });
  if (!hadPolicy) spawnSync('rm', ['-f', '/usr/sbin/policy-rc.d']);
  if (result.status !== 0)
    throw new Error(`${line} failed:\n${result.stdout.slice(-2000)}\n${result.stderr.slice(-2000)}`);
}
