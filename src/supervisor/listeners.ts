/**
 * The sockets of all listeners, kept for the supervisor's whole life so that no connection is lost with a worker. Where the kernel spreads
 * connections over sockets of one port (Linux, more than one worker) each slot has its own; else all workers share one.
 */
import net from 'node:net';
import { lookup } from 'node:dns/promises';
import { addressText } from '../model/address-text.ts';
import type { HostPort } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import { portOwner } from './port-owner.ts';
import { listenerKey } from './slot-messages.ts';
import { bindSocket, type RawSocket } from './sockets.ts';

export interface ListenerPlace {
  name: string;
  address: HostPort;
}

/** One bound socket; `id` names it in messages. */
export interface BoundSocket {
  id: string;
  listener: string;
  socket: RawSocket;
  /** True when every worker listens on this same one. */
  shared: boolean;
}

interface Place {
  key: string;
  name: string;
  /** As configured, for messages. */
  configured: HostPort;
  host: string;
  port: number;
  /** shared: one socket for all workers. */
  shared: boolean;
  sockets: BoundSocket[];
}

export class Listeners {
  readonly #canSpread: boolean;
  /** In force. */
  #places = new Map<string, Place>();
  /** Bound for a configuration that is not in force yet; holds places of `#places` too. */
  #staged: Map<string, Place> | null = null;
  /** Slots that share the work; a socket beyond belongs to one of them as well. */
  #slots = 1;

  constructor(options: { platform: NodeJS.Platform }) {
    // macOS knows SO_REUSEPORT, but gives all connections to one of the sockets.
    this.#canSpread = options.platform === 'linux';
  }

  /**
   * Binds what is new for these listeners and this many workers; nothing is taken away before {@link commit}. When one fails, all that this
   * call bound is closed again and a DormouseError names the listener, the address and what to do.
   */
  async prepare(listeners: readonly ListenerPlace[], slots: number): Promise<void> {
    this.abandon();
    const staged = new Map<string, Place>();
    const grown: { place: Place; from: number }[] = [];
    try {
      for (const listener of listeners) {
        const key = listenerKey(listener);
        if (staged.has(key)) throw twice(listener, staged.get(key)!.name);
        const known = this.#places.get(key);
        const place = known ?? (await this.#bindFirst(key, listener, slots));
        place.name = listener.name;
        staged.set(key, place);
        grown.push({ place, from: known === undefined ? 0 : place.sockets.length });
        while (!place.shared && place.sockets.length < slots) this.#bindAnother(place, listener);
      }
    } catch (error) {
      for (const { place, from } of grown) for (const bound of place.sockets.splice(from)) bound.socket.close();
      throw error;
    }
    this.#staged = staged;
  }

  /**
   * What was prepared is in force: sockets of listeners that are no more are closed, and returned. Call it when every gateway has let go of
   * them.
   */
  commit(slots: number): BoundSocket[] {
    this.#slots = slots;
    const staged = this.#staged;
    if (staged === null) return [];
    const removed = [...this.#places.values()].filter((place) => !staged.has(place.key));
    for (const place of removed) closePlace(place);
    this.#places = staged;
    this.#staged = null;
    return removed.flatMap((place) => place.sockets);
  }

  /** What was prepared will not come into force. */
  abandon(): void {
    for (const [key, place] of this.#staged ?? []) if (!this.#places.has(key)) closePlace(place);
    this.#staged = null;
  }

  /** The sockets of a listener that this slot serves, its own first; empty: the listener is not known. */
  socketsOf(listener: ListenerPlace, slot: number): BoundSocket[] {
    const key = listenerKey(listener);
    const place = this.#staged?.get(key) ?? this.#places.get(key);
    if (place === undefined) return [];
    if (place.shared) return [place.sockets[0]!];
    const own = place.sockets[slot];
    if (own === undefined) return [];
    return [own, ...place.sockets.filter((bound, index) => bound !== own && this.#ownerOf(index) === slot)];
  }

  /** Sockets of slots at and beyond `slots`, each with the slot that serves it when there are only so many. */
  orphans(slots: number): { bound: BoundSocket; heir: number }[] {
    return [...this.#places.values()].flatMap((place) =>
      place.shared ? [] : place.sockets.slice(slots).map((bound, i) => ({ bound, heir: (slots + i) % slots })),
    );
  }

  /** Where each listener is reached, with the port that was found for port 0. */
  addresses(): { name: string; address: string }[] {
    return [...(this.#staged ?? this.#places).values()].map((place) => ({
      name: place.name,
      address: addressText({ host: place.configured.host, port: place.port }),
    }));
  }

  /** Closes the supervisor's copies: from then on a port is open only as long as a worker listens. */
  close(): void {
    this.abandon();
    for (const place of this.#places.values()) closePlace(place);
    this.#places.clear();
  }

  #ownerOf(index: number): number {
    return index < this.#slots ? index : index % this.#slots;
  }

  async #bindFirst(key: string, listener: ListenerPlace, slots: number): Promise<Place> {
    const host = await resolveHost(listener);
    const shared = slots === 1 || !this.#canSpread;
    const { port: wanted } = listener.address;
    try {
      // With SO_REUSEPORT the kernel would let us join another program of the same user: look first without it. Not when it is
      // ourselves who are there (a reload from 127.0.0.1:80 to 0.0.0.0:80).
      if (!shared && wanted !== 0 && !this.#isOurs(wanted))
        bindSocket(host, wanted, { reusePort: false }).socket.close();
      const { socket, port } = bindSocket(host, wanted, { reusePort: !shared });
      const name = listener.name;
      const sockets = [{ id: `${key}#0`, listener: key, socket, shared }];
      return { key, name, configured: listener.address, host, port, shared, sockets };
    } catch (error) {
      throw await explain(listener, error as NodeJS.ErrnoException);
    }
  }

  #bindAnother(place: Place, listener: ListenerPlace): void {
    try {
      const { socket } = bindSocket(place.host, place.port, { reusePort: true });
      place.sockets.push({ id: `${place.key}#${place.sockets.length}`, listener: place.key, socket, shared: false });
    } catch (error) {
      throw failed(listener, error as NodeJS.ErrnoException);
    }
  }

  #isOurs(port: number): boolean {
    return [...this.#places.values()].some((place) => place.port === port);
  }
}

function closePlace(place: Place): void {
  for (const bound of place.sockets) bound.socket.close();
}

async function resolveHost(listener: ListenerPlace): Promise<string> {
  const { host } = listener.address;
  if (net.isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (error) {
    throw new DormouseError(
      'DORMOUSE_ADDRESS_UNAVAILABLE',
      `Listener "${listener.name}" cannot listen on ${host}: the name is not known here. Write an IP address (0.0.0.0 for all).`,
      { cause: error, userFault: true },
    );
  }
}

async function explain(listener: ListenerPlace, error: NodeJS.ErrnoException): Promise<DormouseError> {
  const at = `Listener "${listener.name}" cannot listen on ${addressText(listener.address)}`;
  const options = { cause: error, userFault: true };
  switch (error.code) {
    case 'EADDRINUSE': {
      const owner = await portOwner(listener.address.port);
      const who = owner === null ? 'another process listens there' : `${owner} listens there`;
      return new DormouseError(
        'DORMOUSE_PORT_TAKEN',
        `${at}: ${who}. End it, or choose another address under listeners.`,
        options,
      );
    }
    case 'EACCES':
    case 'EPERM':
      return new DormouseError(
        'DORMOUSE_PORT_FORBIDDEN',
        `${at}: ports below 1024 need a privilege. Choose a port above, or allow it: "sudo sysctl net.ipv4.ip_unprivileged_port_start=${listener.address.port}".`,
        options,
      );
    case 'EADDRNOTAVAIL':
      return new DormouseError(
        'DORMOUSE_ADDRESS_UNAVAILABLE',
        `${at}: this machine has no such address. Use one that it has, 127.0.0.1 (this machine only) or 0.0.0.0 (all).`,
        options,
      );
    default:
      return failed(listener, error);
  }
}

function failed(listener: ListenerPlace, error: NodeJS.ErrnoException): DormouseError {
  const address = addressText(listener.address);
  const next =
    error.code === 'EMFILE' || error.code === 'ENFILE'
      ? 'No file descriptors are left: raise the limit ("ulimit -n 65536").'
      : 'Check the address under listeners.';
  return new DormouseError(
    'DORMOUSE_LISTEN_FAILED',
    `Listener "${listener.name}" cannot listen on ${address}: ${error.code ?? error.message}. ${next}`,
    { cause: error, userFault: true },
  );
}

function twice(listener: ListenerPlace, other: string): DormouseError {
  const address = addressText(listener.address);
  return new DormouseError(
    'DORMOUSE_PORT_TAKEN',
    `Listener "${listener.name}" cannot listen on ${address}: listener "${other}" does already. Give one of them another port.`,
    { userFault: true },
  );
}
