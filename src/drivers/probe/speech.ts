/** How an application is spoken to when it is asked whether it is well: as gateways speak to it. */
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { BackendConfig, EndpointTlsConfig } from '../../model/config.ts';
import { endpointName } from '../../tls/endpoint-name.ts';

export interface Speech {
  /** null: plain. Called for each look, so that files may change meanwhile; throws when one can't be read. */
  tls: ((host: string) => ConnectionOptions) | null;
  http2: boolean;
  /** What each connection begins with (a PROXY header); null: nothing. */
  preamble: Buffer | null;
}

export const PLAIN: Speech = { tls: null, http2: false, preamble: null };

/** A connection of the proxy's own, not on behalf of anybody (PROXY protocol, sections 2.1 and 2.2). */
const PROXY_OWN = {
  v1: Buffer.from('PROXY UNKNOWN\r\n', 'latin1'),
  v2: Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'),
};

export function speechOf({ name, tls, proxyProtocol, endpoints }: BackendConfig): Speech {
  const http2 = endpoints.protocol === 'h2' || endpoints.protocol === 'h2c';
  return {
    tls: tls === null ? null : (host) => tlsOptions(tls, host, name, http2),
    http2,
    preamble: proxyProtocol === 'off' ? null : PROXY_OWN[proxyProtocol],
  };
}

function tlsOptions(tls: EndpointTlsConfig, host: string, backend: string, http2: boolean): ConnectionOptions {
  return {
    ...endpointName(tls.serverName, host, backend),
    ALPNProtocols: [http2 ? 'h2' : 'http/1.1'],
    rejectUnauthorized: !tls.insecure,
    ...(tls.caFile === null ? {} : { ca: readFileSync(tls.caFile) }),
    ...(tls.certFile === null ? {} : { cert: readFileSync(tls.certFile) }),
    ...(tls.keyFile === null ? {} : { key: readFileSync(tls.keyFile) }),
  };
}
