import type { Socket } from 'node:net';
import type { ConnectionInfo } from './connection-info.ts';
import type { GatewayListener } from './listener.ts';

/**
 * A client's connection as its listener sees it, whatever it speaks. The listener has it in `connections` from the moment that it was accepted until
 * `listener.onConnectionClosed(connection)`, which whoever implements this calls once, when the socket has closed. No timers: the listener's sweep looks at
 * `deadlineMs` a few times a second.
 */
export interface OpenConnection {
  /** Nothing has begun and nothing is under way: may be closed at once when the listener drains. */
  readonly idle: boolean;
  /** Monotonic ms at which `onDeadline` is due; Infinity: never. */
  readonly deadlineMs: number;
  onDeadline(): void;
  /** Called by every sweep: ends what makes no progress. */
  checkProgress(nowMs: number): void;
  /** The listener has begun to drain: finish what is under way and close. Left out where `listener.draining` is asked instead. */
  beginDrain?(): void;
  /** Sends what is written and closes. Called when it is idle and the listener drains. */
  finish(): void;
  /** Closes at once. */
  destroy(): void;
}

/**
 * What speaks on a connection after it was accepted (and its TLS handshake is done), set once on the gateway. The socket is paused and has nobody listening but for
 * 'error'; what had been read is in its buffer again: whoever takes it adds its listeners and resumes it. A handler that loads its code on first use
 * returns an OpenConnection at once and keeps the socket paused until then.
 */
export interface ProtocolHandlers {
  /** HTTP/2: by ALPN (TLSSocket), or by its preface on a plain socket. null: HTTP/2 is not offered. */
  openHttp2: ((socket: Socket, listener: GatewayListener, info: ConnectionInfo) => OpenConnection) | null;
  /** Bytes both ways: `tcp` and `tls` listeners. `route` is '' for `tcp`. null: such connections are closed. */
  openStream:
    | ((
        socket: Socket,
        listener: GatewayListener,
        info: ConnectionInfo,
        backend: string,
        route: string,
      ) => OpenConnection)
    | null;
}
