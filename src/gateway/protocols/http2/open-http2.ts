import type { Socket } from 'node:net';
import type { Http2Memory } from '../../../http2/memory.ts';
import type { ConnectionInfo } from '../../connection-info.ts';
import type { GatewayListener } from '../../listener.ts';
import type { OpenConnection, ProtocolHandlers } from '../../open-connection.ts';

/** Loaded when the first HTTP/2 connection comes: a worker without one doesn't carry the code. */
const load = () => Promise.all([import('./client-session.ts'), import('../../../http2/memory.ts')]);
type Loaded = Awaited<ReturnType<typeof load>>;

/** What opens HTTP/2 connections of one gateway. */
export function http2Handler(): NonNullable<ProtocolHandlers['openHttp2']> {
  let loaded: Loaded | null = null;
  let memory: Http2Memory | null = null;
  const open = (socket: Socket, listener: GatewayListener, info: ConnectionInfo, [sessions, memories]: Loaded) => {
    memory ??= new memories.Http2Memory();
    return new sessions.ClientSession(socket, memory, listener, info);
  };
  return (socket, listener, info) => {
    if (loaded !== null) return open(socket, listener, info, loaded);
    const waiting = new LoadingConnection(socket, listener);
    load().then(
      (parts) => {
        loaded = parts;
        if (waiting.handOver()) listener.connections.add(open(socket, listener, info, parts));
      },
      (error: unknown) => {
        listener.runtime.logger.error('HTTP/2 could not be loaded', { error: String(error) });
        socket.destroy();
      },
    );
    return waiting;
  };
}

/** A connection in the moment in which the code for it is loaded. */
class LoadingConnection implements OpenConnection {
  readonly idle = false;
  readonly deadlineMs = Number.POSITIVE_INFINITY;
  private readonly socket: Socket;
  private readonly listener: GatewayListener;
  private readonly onClose = (): void => this.listener.onConnectionClosed(this);

  constructor(socket: Socket, listener: GatewayListener) {
    this.socket = socket;
    this.listener = listener;
    socket.on('close', this.onClose);
  }

  /** False: it has closed meanwhile. */
  handOver(): boolean {
    if (this.socket.destroyed) return false;
    this.socket.off('close', this.onClose);
    this.listener.onHandedOver(this);
    return true;
  }

  onDeadline(): void {}

  checkProgress(): void {}

  finish(): void {
    this.socket.destroy();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
