import type { ListenerConfig } from '../model/config.ts';

/**
 * Where a gateway gets the socket of a listener from. In a worker the supervisor has bound it and hands over the handle; elsewhere (tests, a
 * pod) the gateway binds the address itself.
 */
export interface ListenerSockets {
  /** Rejects with a DormouseError when there is no socket to be had. `handle` is what net.Server.listen takes. */
  open(listener: ListenerConfig): Promise<{ handle: object } | { host: string; port: number }>;
}

/** Binds the configured address. */
export const ownSockets: ListenerSockets = {
  open: async (listener) => ({ host: listener.address.host, port: listener.address.port }),
};
