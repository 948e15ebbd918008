/**
 * A program in a network and a /run of its own, so that a cluster can be made there beside another one on this machine (docs/test-cluster.md). Its network ends with it; the mounts
 * are private.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProgram, type Program } from '../processes.ts';

/** `hosts`: names that lead to 127.0.0.1 there. Needs root. */
export function startInOwnNetwork(
  command: readonly string[],
  options: { dir: string; clusterDir: string; hosts: readonly string[]; onLine: (line: string) => void },
): Program {
  mkdirSync(options.dir, { recursive: true });
  const hosts = join(options.dir, 'hosts');
  writeFileSync(hosts, `${readFileSync('/etc/hosts', 'utf8').trimEnd()}\n127.0.0.1 ${options.hosts.join(' ')}\n`);
  const prepare = [
    'mount --make-rprivate /',
    'mount -t tmpfs tmpfs /run',
    'mount --bind "$0" /etc/hosts',
    'ip link set lo up',
    'exec "$@"',
  ].join(' && ');
  return startProgram(['unshare', '--net', '--mount', 'sh', '-c', prepare, hosts, ...command], {
    core: null,
    env: { DORMOUSE_CLUSTER_DIR: options.clusterDir },
    onLine: options.onLine,
  });
}
