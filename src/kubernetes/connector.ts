/** Connections to an API server that are given up whole: what was written to one and has not arrived never arrives. */
import net from 'node:net';
import { buildConnector } from 'undici';

/**
 * As undici's own connector, but a TLS connection that is destroyed with an error (an abort, a timeout) is reset. Closed the usual way, the kernel goes on sending what was written for a minute or more, and a write that its
 * caller had given up, and has acted upon since, would be done as soon as the network is back. Without TLS the server is on this machine (`kubectl proxy`).
 */
export function resettingConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const connect = buildConnector({ ...options, allowH2: false });
  return (target, callback) => {
    if (target.protocol !== 'https:') return connect(target, callback);
    const below = net.connect({ host: target.hostname, port: Number(target.port) || 443, noDelay: true });
    connect({ ...target, httpSocket: below as never }, (error, socket) => {
      if (error !== null) {
        below.destroy();
        return callback(error, null);
      }
      let isGivenUp = false;
      const destroy = socket.destroy.bind(socket);
      socket.destroy = (reason?: Error) => {
        isGivenUp ||= reason !== undefined;
        return destroy(reason);
      };
      // The end of the TLS socket ends the one below in its own time: a reset before that would have it close before it tells its error.
      const destroyBelow = below.destroy.bind(below);
      below.destroy = (reason?: Error) => {
        if (!isGivenUp) return destroyBelow(reason);
        isGivenUp = false;
        return below.resetAndDestroy();
      };
      callback(null, socket);
    });
  };
}
