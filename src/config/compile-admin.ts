import type { AdminConfig, BackendConfig, HostPort, ListenerConfig } from '../model/config.ts';
import { isLoopback } from '../model/loopback.ts';
import { authoritiesFile, pairFiles, type CertificateContext } from './certificate-files.ts';
import { problem } from './explain.ts';
import type { Placed } from './references.ts';
import type { AdminEntry } from './schema/admin.ts';

export interface AdminNeighbours {
  listeners: readonly Placed<ListenerConfig>[];
  observe: HostPort | null;
  backends: readonly BackendConfig[];
}

/**
 * `admin:` in the shape of the model. Beyond a loopback address it needs TLS and tokens. When something else of the file has its usual port, there is none.
 */
export function compileAdmin(
  entry: AdminEntry | null,
  neighbours: AdminNeighbours,
  context: CertificateContext,
): AdminConfig | null {
  if (entry === null) return null;
  const { problems } = context;
  const isUsual = entry.address.host === '127.0.0.1' && entry.address.port === 8081;
  const taker = takerOf(entry.address, neighbours);
  if (taker !== null) {
    if (isUsual) return null;
    problems.push(
      problem(['admin', 'address'], `port ${entry.address.port} is taken by ${taker}`, 'choose another port for one'),
    );
  }
  if (!isLoopback(entry.address.host)) {
    const missing = [...(entry.tls === undefined ? ['tls'] : []), ...(entry.tokens === undefined ? ['tokens'] : [])];
    if (missing.length > 0) {
      const hint = `add admin.${missing.join(' and admin.')}, or keep it on a loopback address such as 127.0.0.1:8081`;
      problems.push(
        problem(
          ['admin', 'address'],
          `others than this machine reach it, and there is no ${missing.join(' and no ')}`,
          hint,
        ),
      );
    }
  }
  const names = new Set<string>();
  const hashes = new Set<string>();
  for (const [index, { name, hash }] of (entry.tokens ?? []).entries()) {
    const at = ['admin', 'tokens', index];
    if (names.has(name))
      problems.push(problem([...at, 'name'], `${name} is another token's`, 'give each its own name'));
    if (hashes.has(hash)) problems.push(problem([...at, 'hash'], 'is the hash of another token', 'make one for each'));
    names.add(name);
    hashes.add(hash);
  }
  const { tls } = entry;
  return {
    address: entry.address,
    isUsual,
    tokens: entry.tokens ?? null,
    tls:
      tls === undefined
        ? null
        : {
            ...pairFiles(tls, ['admin', 'tls'], context),
            clientCaFile:
              tls.clientCa === undefined ? null : authoritiesFile(tls.clientCa, ['admin', 'tls', 'clientCa'], context),
          },
    commands: entry.commands,
    hosts: entry.hosts,
  };
}

function takerOf({ host, port }: HostPort, { listeners, observe, backends }: AdminNeighbours): string | null {
  if (port === 0) return null;
  const overlaps = (other: HostPort): boolean =>
    other.port === port && (other.host === host || isEvery(other.host) || isEvery(host));
  const listener = listeners.find(({ entry }) => overlaps(entry.address));
  if (listener !== undefined) return `listener ${listener.entry.name}`;
  if (observe !== null && overlaps(observe)) return 'observe';
  // Where processes are reached.
  const backend = backends.find(
    ({ source }) =>
      source.driver === 'process' &&
      typeof source.process.port === 'number' &&
      overlaps({ host: '127.0.0.1', port: source.process.port }),
  );
  return backend === undefined ? null : `backend ${backend.name}`;
}

function isEvery(host: string): boolean {
  return host === '::' || host === '0.0.0.0';
}
