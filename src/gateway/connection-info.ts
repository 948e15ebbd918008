import type { Socket } from 'node:net';
import { plainAddress, type ClientAddress } from './forwarding/client-address.ts';

/** What the TLS handshake of a client's connection agreed on. */
export interface ClientTls {
  /** The name that the client asked for, lower case; '' when it named none. */
  readonly serverName: string;
  /** 'h2', 'http/1.1', or '' when the client offered no protocol. */
  readonly alpn: string;
  /** 'TLSv1.2' or 'TLSv1.3'. */
  readonly version: string;
  readonly resumed: boolean;
  /** The client's certificate, verified against `clientAuth.ca`; null: it sent none. */
  readonly clientCertificate: ClientCertificate | null;
  /**
   * Whether requests for this host may come on this connection: not when the listener would have chosen another certificate for it than the one that
   * the client was shown (421, RFC 9110 section 15.5.20). `hostname`: lower case, without port.
   */
  covers(hostname: string): boolean;
}

export interface ClientCertificate {
  /** Distinguished name in one line, as `CN=…,O=…` (RFC 4514). */
  readonly subject: string;
  readonly issuer: string;
  /** SHA-256 of the certificate, 64 lower-case hex digits. */
  readonly fingerprint: string;
  readonly serialNumber: string;
  /** DNS names, URIs and addresses of the certificate, as Node prints them: `DNS:a, URI:spiffe://…`. */
  readonly subjectAltName: string;
}

/** What the header of the PROXY protocol says of a connection. */
export interface ToldAddresses {
  peer: string;
  peerPort: number;
  localAddress: string;
  localPort: number;
}

/** Who is at the other end of a client's connection and how it came here; fixed before its first request. */
export class ConnectionInfo {
  /** The peer's address in the form of `plainAddress`: of the socket, or what its PROXY header says. */
  readonly peer: string;
  readonly peerPort: number;
  /** The port that the client connected to. */
  readonly localPort: number;
  /** The peer may speak for others (security.trustedProxies). */
  readonly trusted: boolean;
  /** The name of the ClientHello of a connection that is passed through or terminated, lower case; '' when there is none. */
  readonly serverName: string;
  /** null: not encrypted, or not by this gateway. */
  readonly tls: ClientTls | null;
  private readonly socket: Socket;
  private readonly told: ToldAddresses | null;

  constructor(
    socket: Socket,
    localPort: number,
    addresses: ClientAddress,
    more: { told?: ToldAddresses | null; serverName?: string; tls?: ClientTls } | null = null,
  ) {
    const told = more?.told ?? null;
    this.socket = socket;
    this.told = told;
    this.peer = told === null ? plainAddress(socket.remoteAddress ?? '') : told.peer;
    this.peerPort = told === null ? (socket.remotePort ?? 0) : told.peerPort;
    this.localPort = told === null ? localPort : told.localPort;
    this.trusted = addresses.isTrusted(this.peer);
    this.tls = more?.tls ?? null;
    this.serverName = more?.tls?.serverName ?? more?.serverName ?? '';
  }

  get scheme(): 'http' | 'https' {
    return this.tls === null ? 'http' : 'https';
  }

  /** The address that the client connected to. Asks the system when no PROXY header told it. */
  get localAddress(): string {
    return this.told === null ? plainAddress(this.socket.localAddress ?? '') : this.told.localAddress;
  }
}
