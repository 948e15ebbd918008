import type { Duplex } from 'node:stream';
import type { ForwardingContext } from './forwarding/forwarded.ts';
import type { ListenerConfig } from '../model/config.ts';
import type { ClientTls } from './connection-info.ts';
import type { ClientRules } from './forwarding/client-rules.ts';
import type { Runtime } from './runtime.ts';

/** What an exchange needs of the listener that its client came through. */
export interface ListenerView {
  readonly config: ListenerConfig;
  readonly runtime: Runtime;
  readonly draining: boolean;
  /** Who may ask here, by `security` and the listener; null: everybody. */
  readonly clients: ClientRules | null;
  /** Lines that every response carries (Strict-Transport-Security), '' mostly. */
  readonly fixedLines: string;
  nowMs(): number;
}

/** What is known of the client's connection. ConnectionInfo is one. */
export interface ClientInfo {
  readonly peer: string;
  readonly peerPort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly tls: ClientTls | null;
}

/**
 * The client of one exchange: an HTTP/1.1 connection, an HTTP/2 stream, or the gateway itself (a side call). What an exchange needs to know about
 * it, how its request body is read and how the response goes out. The protocol's own framing (chunks, Connection, frames) is its business.
 */
export interface ClientSide {
  readonly listener: ListenerView;
  readonly info: ClientInfo;
  /** The peer's address: of the connection, or what its PROXY header says. */
  readonly peer: string;
  /** The peer may speak for others (security.trustedProxies). */
  readonly trusted: boolean;
  readonly forwarding: ForwardingContext;
  /** Monotonic ms of the first byte of the present request. */
  readonly requestStartedMs: number;
  /** Monotonic ms at which its connection was accepted, when this is the first request on it; -1 otherwise. */
  readonly acceptedMs: number;
  /** The gateway's own request: neither logged nor counted. */
  readonly silent: boolean;
  /** Its requests come by HTTP/2. */
  readonly isHttp2: boolean;
  /** No request comes after this one: HTTP/1.1 says `Connection: close`. May be set by the exchange; without a meaning elsewhere. */
  closing: boolean;
  /** The client has closed its sending side. */
  readonly halfClosed: boolean;
  readonly destroyed: boolean;

  // ---- Request body: handed to Exchange.onBody, onRequestEnd, onRequestBroken, onBodyTimeout, onClientGone

  /** The body's last byte has not come yet. */
  readonly bodyPending: boolean;
  /** Bytes of the body that are still to come: -1 unknown, 0 none. */
  readonly bodyMissing: number;
  readonly bodyPaused: boolean;
  pauseBody(): void;
  resumeBody(): void;
  /** Somebody takes the body from now on: the time for its next part begins anew. */
  expectBody(): void;
  /** The head that was handed to Exchange.begin stays good until `releaseHead`: a filter waits for something. */
  keepHead(): void;
  releaseHead(): void;

  // ---- Response

  /** 1xx but 101. `lines`: whole header lines. */
  sendInterim(status: number, reason: string, lines: string): void;
  /** A whole response; `lines` have its Content-Length. `body[start, end)` is only good during the call. */
  sendWhole(status: number, reason: string, lines: string, body: Buffer, start: number, end: number): void;
  /** The head of a response whose body comes in parts. `lengthKnown`: a Content-Length stands among the lines. */
  sendHead(status: number, reason: string, lines: string, lengthKnown: boolean): void;
  /** A part of the body; it is kept until it has gone out. False: hold back until Exchange.onClientDrain. */
  sendBody(part: Buffer): boolean;
  /** The body is complete. `trailers`: whole lines, or ''. */
  sendEnd(trailers: string): void;
  /** Answers with an upgrade (101 there, 200 to an extended CONNECT) and gives both directions away. `stash`: what had been read beyond the head. */
  sendSwitch(lines: string, protocol: string): { stream: Duplex; stash: Buffer | null };
  /** The endpoint's end of the tunnel is gone: what was written goes out, then it closes. */
  endTunnel(): void;
  /** Bytes that wait to be sent. */
  readonly unsentBytes: number;

  // ---- End

  /** The exchange is over: the next request, or the end of the connection. */
  exchangeDone(): void;
  /** The same when the rest of the request won't be read. */
  finish(): void;
  /** Breaks the transfer off: the client must not take what it got for complete. */
  abort(): void;
  /** Closes without more ado. */
  destroy(): void;
}
