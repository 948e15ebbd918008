import type { EventBusConfig, EventsConfig } from '../model/config.ts';
import { authoritiesFile, pairFiles, type CertificateContext } from './certificate-files.ts';
import type { Path } from './config-error.ts';
import { problem } from './explain.ts';
import type { TopEntry } from './schema/file.ts';

const AT: Path = ['events'];

/** `events:`, with the files that it names. */
export function compileEvents(entry: TopEntry['events'], context: CertificateContext): EventsConfig {
  const { each, stream, maxLength, buffer } = entry;
  const bus = compileBus(entry, context);
  if (bus.kind === 'nats' && /[{}]/.test(stream))
    context.problems.push(
      problem([...AT, 'stream'], 'has { }, which are for a Redis Cluster', 'leave them out for NATS'),
    );
  return { bus, each, stream, maxLength, buffer };
}

function compileBus(
  { bus, passwordFile, credentialsFile, tls }: TopEntry['events'],
  context: CertificateContext,
): EventBusConfig {
  const { files, problems } = context;
  if (bus.kind === 'memory') {
    for (const [key, value] of Object.entries({ passwordFile, credentialsFile, tls }))
      if (value !== undefined)
        problems.push(problem([...AT, key], 'has no meaning for the bus in memory', 'name a bus, or remove it'));
    return { kind: 'memory' };
  }
  const { kind, url } = bus;
  const { protocol, password } = new URL(url);
  if (credentialsFile !== undefined && kind === 'redis')
    problems.push(problem([...AT, 'credentialsFile'], 'is for NATS', 'use passwordFile for Redis'));
  if (passwordFile !== undefined && password !== '')
    problems.push(problem([...AT, 'passwordFile'], 'stands beside a password in bus', 'keep one of them'));
  if (passwordFile !== undefined && credentialsFile !== undefined)
    problems.push(problem([...AT, 'credentialsFile'], 'stands beside passwordFile', 'keep one of them'));
  if (tls !== undefined && protocol === 'redis:')
    problems.push(problem([...AT, 'tls'], 'stands beside redis://, which has no TLS', 'write rediss://'));
  if (tls !== undefined && (tls.cert === undefined) !== (tls.key === undefined)) {
    const key = tls.cert === undefined ? 'cert' : 'key';
    problems.push(problem([...AT, 'tls'], `has no ${key}`, 'a certificate and its key belong together'));
  }
  return {
    kind,
    url,
    passwordFile: passwordFile === undefined ? null : files.path(passwordFile, [...AT, 'passwordFile']),
    credentialsFile: credentialsFile === undefined ? null : files.path(credentialsFile, [...AT, 'credentialsFile']),
    tls: tls === undefined ? null : compileTls(tls, context),
  };
}

function compileTls(
  { ca, cert, key, serverName }: NonNullable<TopEntry['events']['tls']>,
  context: CertificateContext,
): NonNullable<Exclude<EventBusConfig, { kind: 'memory' }>['tls']> {
  const pair =
    cert === undefined || key === undefined
      ? { certFile: null, keyFile: null }
      : pairFiles({ cert, key }, [...AT, 'tls'], context);
  const caFile = ca === undefined ? null : authoritiesFile(ca, [...AT, 'tls', 'ca'], context);
  return { caFile, ...pair, serverName: serverName ?? null };
}
