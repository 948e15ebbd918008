/**
 * A listening socket for a child, by systemd's protocol (sd_listen_fds(3)): descriptor 3, LISTEN_FDS=1, LISTEN_PID.
 *
 * The only place that reads a descriptor's number out of a net.Server, which Node doesn't document (`_handle.fd`). The server listens, the child is spawned and the
 * server is closed within one turn of the event loop, so this process never polls the socket: it can't accept what is the child's, and it holds no
 * copy afterwards. From then on only the child keeps the port open, and when it ends the kernel refuses connections again.
 */
import net from 'node:net';

/** Room for connections that come before the application accepts; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4096;

/**
 * Listens on 127.0.0.1 and calls `use` with the descriptor, which is valid during that call only. Rejects with the errno of bind, or with what `use` throws.
 * `port` 0: any free one.
 */
export function withListeningSocket(port: number, use: (fd: number, port: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    // 'listening' is told in the same turn in which the socket was made, before the event loop looks at it.
    server.listen({ host: '127.0.0.1', port, backlog: BACKLOG, exclusive: true }, () => {
      try {
        const handle = (server as unknown as { _handle: { fd: number } | null })._handle;
        if (handle === null || !(handle.fd >= 0))
          throw new Error(`this version of Node (${process.version}) does not tell a listening socket's descriptor`);
        use(handle.fd, (server.address() as net.AddressInfo).port);
        resolve();
      } catch (error) {
        reject(error as Error);
      } finally {
        server.close();
      }
    });
  });
}

/**
 * LISTEN_PID must be the child's own pid, which is known only after the fork: a shell says it and becomes the program. The socket comes in as descriptor 0 because libuv makes
 * descriptors 0 to 2 blocking again, as systemd hands them over; a program that doesn't ask for O_NONBLOCK would fail in accept otherwise.
 */
export function inheritingCommand(command: readonly string[]): string[] {
  return ['/bin/sh', '-c', 'exec 3<&0 0</dev/null; LISTEN_PID=$$; export LISTEN_PID; exec "$@"', 'sh', ...command];
}
