import { isIP } from 'node:net';
import type { PeerCertificate } from 'node:tls';

/** How an endpoint is asked for and known by TLS; the same for requests and for health checks. */
export interface EndpointName {
  /** Sent as SNI and verified. */
  servername: string;
  checkServerIdentity: (hostname: string, certificate: PeerCertificate) => Error | undefined;
}

/**
 * `serverName` when it is configured; else the server's host. An address can't be asked for by SNI (RFC 6066 section 3): the backend's name is, and the certificate has to be for
 * that name or for the address.
 */
export function endpointName(serverName: string | null, host: string, backend: string): EndpointName {
  // Loaded where it is needed only: it costs 7 MB.
  const { checkServerIdentity } = process.getBuiltinModule('node:tls');
  if (serverName !== null) return { servername: serverName, checkServerIdentity };
  if (isIP(host) === 0) return { servername: host, checkServerIdentity };
  return {
    servername: backend,
    checkServerIdentity: (name, certificate) => {
      const wrong = checkServerIdentity(host, certificate);
      return wrong === undefined ? undefined : checkServerIdentity(name, certificate);
    },
  };
}
