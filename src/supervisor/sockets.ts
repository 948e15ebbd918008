/**
 * The one file that uses what Node does not document: binding a TCP socket without listening on it and keeping the raw handle, so that it can
 * be sent to one process after another (a net.BoundSocket can bind without listening too, but is gone from here once it is sent). Node's
 * own cluster module works with the same calls. Node is pinned by this package; sockets.test.ts fails where they change.
 *
 * Why so: to close or kill a process that owns a listening socket resets what waits in its accept queue. A socket that the supervisor
 * holds too outlives its worker, and the next worker accepts what waits there.
 */
import net from 'node:net';
import { getSystemErrorName } from 'node:util';

/** A raw TCP handle. `child.send(message, handle)` takes it, and `net.Server.listen(handle)`. */
export interface RawSocket {
  readonly fd: number;
  close(): void;
}

interface TcpHandle extends RawSocket {
  getsockname(out: { address?: string; port?: number }): number;
  listen(backlog: number): number;
  onconnection: ((status: number, client: unknown) => void) | null;
}

type CreateServerHandle = (
  host: string,
  port: number,
  family: 4 | 6,
  fd: undefined,
  flags: number | undefined,
) => TcpHandle | number;

/** libuv's UV_TCP_REUSEPORT. */
const REUSE_PORT = 2;

/** Connections that the kernel keeps for a worker that is busy or not there; net.core.somaxconn bounds it too. */
export const BACKLOG = 4096;

/**
 * Binds `host` (an IP address) and `port` (0: any free one) without listening: as long as nobody listens, the kernel gives the socket no
 * connections. Throws the system error (`code`: EADDRINUSE, EACCES, EADDRNOTAVAIL …).
 */
export function bindSocket(
  host: string,
  port: number,
  options: { reusePort: boolean },
): { socket: RawSocket; port: number } {
  const create = (net as unknown as { _createServerHandle: CreateServerHandle })._createServerHandle;
  const handle = create(host, port, net.isIPv6(host) ? 6 : 4, undefined, options.reusePort ? REUSE_PORT : undefined);
  if (typeof handle === 'number') throw bindError(handle);
  const name: { port?: number } = {};
  // libuv keeps an EADDRINUSE of bind(2) back until the next call.
  const failure = handle.getsockname(name);
  if (failure !== 0) {
    handle.close();
    throw bindError(failure);
  }
  return { socket: handle, port: name.port! };
}

function bindError(number: number): Error {
  const code = getSystemErrorName(number);
  return Object.assign(new Error(`bind ${code}`), { code, errno: number, syscall: 'bind' });
}

/**
 * In a worker: listens on `extra` and hands what it accepts to the server that listens on `own()`, as if it had come there. Returns what ends
 * it; the socket itself lives on in the supervisor. Throws the system error of listen(2).
 */
export function joinSocket(extra: RawSocket, own: () => RawSocket | undefined): () => void {
  const handle = extra as TcpHandle;
  handle.onconnection = (status, client) => {
    const server = own() as TcpHandle | undefined;
    if (server?.onconnection) server.onconnection(status, client);
    else (client as TcpHandle | undefined)?.close();
  };
  const failure = handle.listen(BACKLOG);
  if (failure !== 0) {
    handle.close();
    throw bindError(failure);
  }
  return () => handle.close();
}

/**
 * Makes `net.Server.listen(socket)` use {@link BACKLOG} whatever it is told: the queue must hold the connections that come while a worker is
 * replaced, and a later listen(2) with a smaller number would cut it. `listening` is called when it has succeeded.
 */
export function withBacklog(socket: RawSocket, listening: () => void): RawSocket {
  const handle = socket as TcpHandle;
  const listen = handle.listen.bind(handle);
  handle.listen = () => {
    const failure = listen(BACKLOG);
    if (failure === 0) listening();
    return failure;
  };
  return socket;
}
