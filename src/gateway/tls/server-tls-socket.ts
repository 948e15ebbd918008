/**
 * The one file that uses what Node does not document of TLS sockets. A `tls.Server` would do the same, but tells only after the handshake which socket it was for, and not
 * which connection: who came through which PROXY header would be lost. Node is pinned by this package; listener-tls.test.ts fails where these change.
 */
import type { Socket } from 'node:net';
import { TLSSocket, type SecureContext } from 'node:tls';

interface Undocumented {
  /** After it, errors of the socket are emitted as 'error'; before, they end it. */
  _releaseControl(): boolean;
  _handle: { verifyError(): (Error & { code?: string }) | null | undefined } | null;
}

export interface ServerTlsSocketOptions {
  secureContext: SecureContext;
  /** In the form of ALPN's wire. */
  alpn: Buffer;
  requestCert: boolean;
  /** The handshake fails when the client has no certificate; what is wrong with one that it has is told by `peerProblem`. */
  rejectUnauthorized: boolean;
}

/** The gateway's end of a TLS connection on a socket of which nothing may have been read but what is in its buffer again. */
export class ServerTlsSocket extends TLSSocket {
  readonly #raw: Socket;

  constructor(raw: Socket, options: ServerTlsSocketOptions) {
    const { secureContext, alpn, requestCert, rejectUnauthorized } = options;
    super(raw, { isServer: true, secureContext, requestCert, rejectUnauthorized, ALPNProtocols: alpn });
    this.#raw = raw;
  }

  /** Calls `done` after the handshake, `failed` when TLS ends it (a 'close' follows). */
  onHandshake(done: () => void, failed: (error: Error) => void): void {
    this.once('_tlsError', failed);
    this.once('secure', () => {
      this.off('_tlsError', failed);
      (this as unknown as Undocumented)._releaseControl();
      // Node tells of a record that is wrong, but leaves the connection open.
      this.on('error', () => this.destroy());
      done();
    });
  }

  /** What is wrong with the client's certificate; null: it is fine, or there is none. */
  get peerProblem(): string | null {
    const error = (this as unknown as Undocumented)._handle?.verifyError();
    return error === null || error === undefined ? null : (error.code ?? error.message);
  }

  /** Ends the TCP connection by a reset: without it a client of HTTP/1.0 could take what it got for complete. */
  override resetAndDestroy(): this {
    this.#raw.resetAndDestroy();
    return this;
  }
}
