/** What gateways are told of one backend: always the whole of it, with a version that rises. */
import { isDeepStrictEqual } from 'node:util';
import type { BackendUpdate } from '../link/messages.ts';
import type { BackendHost, Peer } from './backend-host.ts';

/** A backend as it is now. */
export type Present = Omit<BackendUpdate, 'type' | 'backend' | 'version'>;

export class Announcer {
  readonly #name: string;
  readonly #host: BackendHost;
  readonly #peers: () => Iterable<Peer>;
  readonly #present: () => Present;
  readonly #telling: (version: number, peers: readonly Peer[]) => void;
  #last: BackendUpdate | null = null;

  /** `telling` is called before an update is sent: the answer may come at once. */
  constructor(
    name: string,
    host: BackendHost,
    peers: () => Iterable<Peer>,
    present: () => Present,
    telling: (version: number, peers: readonly Peer[]) => void,
  ) {
    this.#name = name;
    this.#host = host;
    this.#peers = peers;
    this.#present = present;
    this.#telling = telling;
  }

  /** The version that every gateway was told last; 0: none. */
  get version(): number {
    return this.#last?.version ?? 0;
  }

  publish(): void {
    const peers = [...this.#peers()];
    const update = this.#update();
    this.#last = update;
    this.#telling(update.version, peers);
    for (const peer of peers) peer.send(update);
  }

  /** True when gateways know something else than what is. */
  get outdated(): boolean {
    const known = this.#last;
    if (known === null) return true;
    const { phase, crash, endpoints, direct } = this.#present();
    return (
      known.phase !== phase ||
      known.direct !== direct ||
      !isDeepStrictEqual(known.crash, crash) ||
      !isDeepStrictEqual(known.endpoints, endpoints)
    );
  }

  /** A newer version even if nothing changed: a gateway may leave out what it has seen. */
  sendTo(peer: Peer): void {
    peer.send(this.#update());
  }

  #update(): BackendUpdate {
    return { type: 'backend', backend: this.#name, version: this.#host.nextVersion(), ...this.#present() };
  }
}
