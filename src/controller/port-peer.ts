/**
 * A further port of a backend, at one gateway. To the gateway it is a backend of its own (`<name>:<port>`), with demand, holds and drains of its own; to the controller it is
 * another peer of the one backend, so that a request on any port wakes it, and it sleeps only when all are quiet.
 */
import type { Endpoint } from '../model/backend.ts';
import type { DownMessage } from '../link/messages.ts';
import type { Peer } from './backend-host.ts';

export class PortPeer implements Peer {
  readonly id: string;
  /** Name of the backend here. */
  readonly backend: string;
  readonly #session: Peer;
  readonly #name: string;
  readonly #port: string;

  /** `name`: what the gateway calls it. */
  constructor(session: Peer, { name, port, backend }: { name: string; port: string; backend: string }) {
    this.id = `${session.id} (port ${port})`;
    this.backend = backend;
    this.#session = session;
    this.#name = name;
    this.#port = port;
  }

  send(message: DownMessage): void {
    if (message.type !== 'backend') this.#session.send(message);
    else {
      const endpoints = message.endpoints.flatMap((endpoint) => atPort(endpoint, this.#port));
      this.#session.send({ ...message, backend: this.#name, endpoints });
    }
  }
}

/** None when the instance does not have that port. */
export function atPort({ ports, ...endpoint }: Endpoint, name: string): Endpoint[] {
  const port = ports?.[name];
  return port === undefined ? [] : [{ ...endpoint, port }];
}
