import { connect } from 'node:net';
import type { OnReadOpts, Socket } from 'node:net';
import type { connect as ConnectTls, ConnectionOptions } from 'node:tls';

/** What a PROXY header tells an endpoint of its client. */
export interface ProxySource {
  /** The resolved client address and, where it is the peer's own, its port; else 0. */
  address: string;
  port: number;
  /** Where the client connected to. */
  localAddress: string;
  localPort: number;
}

/** How connections to a backend's endpoints begin, before the first byte of a request. Compiled once per configuration. */
export interface EndpointSecurity {
  /** `tls.connect`, which is loaded only where it is used; null: not TLS. */
  connectTls: typeof ConnectTls | null;
  /** null: not TLS. Called once per connection. */
  tlsOptions: ((host: string, port: number) => ConnectionOptions) | null;
  /** The endpoint has sent what a next connection may take its session up with; null: not TLS. */
  keepSession: ((host: string, port: number, session: Buffer) => void) | null;
  /** null: no PROXY header. `source` null: a connection of the gateway's own. */
  proxyHeader: ((source: ProxySource | null) => Buffer) | null;
}

/** The socket's reads: into a buffer that the reader gives. Both are called without `this`. */
export interface SocketReads {
  buffer: () => Buffer;
  callback: (sizeBytes: number, buffer: Buffer) => boolean;
}

/**
 * Begins to connect to an endpoint. `onOpen` is called when the first byte of the protocol may be written: after the connect, the PROXY
 * header and the handshake. Errors come as the socket's `error` and `close`; a bound on the time is the caller's.
 */
export function openUpstreamSocket(
  host: string,
  port: number,
  security: EndpointSecurity | null,
  source: ProxySource | null,
  reads: SocketReads,
  onOpen: () => void,
): Socket {
  const onread = reads as OnReadOpts;
  if (security === null) {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true, onread });
    socket.on('connect', onOpen);
    return socket;
  }
  const { connectTls, tlsOptions, keepSession, proxyHeader } = security;
  if (connectTls === null || tlsOptions === null) {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true, onread });
    socket.on('connect', () => {
      if (proxyHeader !== null) socket.write(proxyHeader(source));
      onOpen();
    });
    return socket;
  }
  const options = { ...tlsOptions(host, port), allowHalfOpen: true };
  if (proxyHeader === null) {
    const socket = connectTls({ ...options, host, port, onread } as ConnectionOptions);
    socket.setNoDelay(true);
    socket.on('secureConnect', onOpen);
    if (keepSession !== null) socket.on('session', (session) => keepSession(host, port, session));
    return socket;
  }
  // The header goes before the handshake. `onread` is not offered on a socket that exists already.
  const raw = connect({ host, port, noDelay: true, allowHalfOpen: true });
  raw.on('connect', () => raw.write(proxyHeader(source)));
  const socket = connectTls({ ...options, socket: raw });
  socket.on('secureConnect', onOpen);
  if (keepSession !== null) socket.on('session', (session) => keepSession(host, port, session));
  socket.on('data', (chunk: Buffer) => reads.callback(chunk.length, chunk));
  return socket;
}
