/** TLS towards a source. */
import type { ConnectionOptions } from 'node:tls';
import type { Credentials } from '../model/credentials.ts';

export interface TlsOptions {
  /** Takes any certificate. */
  insecure: boolean;
  /** The name that the certificate must be for; null: the host's. */
  serverName: string | null;
}

/** For node:tls, with what files and Secrets say. */
export function tlsOptions(tls: TlsOptions, credentials: Credentials): ConnectionOptions {
  return {
    rejectUnauthorized: !tls.insecure,
    ...(tls.serverName === null ? {} : { servername: tls.serverName }),
    ...(credentials.ca === undefined ? {} : { ca: credentials.ca }),
    ...(credentials.cert === undefined ? {} : { cert: credentials.cert }),
    ...(credentials.key === undefined ? {} : { key: credentials.key }),
  };
}
