import type { ListenerConfig, ListenerTlsConfig } from '../model/config.ts';
import { authoritiesFile, pairFiles, type CertificateContext } from './certificate-files.ts';
import type { Path } from './config-error.ts';
import { problem } from './explain.ts';
import type { ListenerEntry } from './schema/listener.ts';

/** One entry of `listeners:` in the shape of the model. */
export function compileListener(
  entry: ListenerEntry,
  standardName: string,
  at: Path,
  context: CertificateContext,
): ListenerConfig {
  const { problems } = context;
  const { protocol } = entry;
  if (protocol === 'tcp' && entry.backend === undefined) {
    problems.push(problem(at, 'has protocol tcp and no backend', 'add backend: NAME'));
  } else if (protocol !== 'tcp' && entry.backend !== undefined) {
    const instead = 'routes say where its requests go';
    problems.push(problem([...at, 'backend'], `has no meaning with protocol ${protocol}`, instead));
  }
  if (protocol === 'https' && entry.tls === undefined) {
    const hint = 'add tls: { certificates: [{ cert: FILE, key: FILE }] }';
    problems.push(problem(at, 'has protocol https and no certificate', hint));
  } else if (protocol !== 'https' && entry.tls !== undefined) {
    const hint = protocol === 'tls' ? 'remove it: the backend has the certificate' : 'write protocol: https';
    problems.push(problem([...at, 'tls'], `has no meaning with protocol ${protocol}`, hint));
  }
  return {
    name: entry.name ?? standardName,
    address: entry.address,
    protocol,
    backend: entry.backend ?? null,
    tls: entry.tls === undefined ? null : compileTls(entry.tls, [...at, 'tls'], context),
    proxyProtocol: entry.proxyProtocol,
    clients: entry.clients,
    http2: {
      maxStreams: entry.http2.maxStreams,
      maxResetsPerSecond: entry.http2.maxResetsPerSecond,
      windowBytes: entry.http2.window,
    },
    limits: entry.limits,
    timeouts: { headerMs: entry.timeouts.header, bodyMs: entry.timeouts.body, idleMs: entry.timeouts.idle },
  };
}

function compileTls(tls: NonNullable<ListenerEntry['tls']>, at: Path, context: CertificateContext): ListenerTlsConfig {
  const { problems } = context;
  const { ca, mode } = tls.clientAuth;
  if (mode !== 'none' && ca === undefined) {
    const hint = 'add ca: FILE with the certificates of those who issue them';
    problems.push(problem([...at, 'clientAuth'], `mode ${mode} needs a ca`, hint));
  } else if (mode === 'none' && ca !== undefined) {
    problems.push(problem([...at, 'clientAuth', 'ca'], 'has no effect with mode none', 'add mode: require'));
  }
  return {
    certificates: tls.certificates.map((pair, index) => pairFiles(pair, [...at, 'certificates', index], context)),
    minVersion: tls.minVersion,
    clientAuth: { caFile: ca === undefined ? null : authoritiesFile(ca, [...at, 'clientAuth', 'ca'], context), mode },
    hsts:
      tls.hsts === undefined
        ? null
        : {
            maxAgeSeconds: Math.floor(tls.hsts.maxAge / 1000),
            includeSubdomains: tls.hsts.includeSubdomains,
            preload: tls.hsts.preload,
          },
  };
}
