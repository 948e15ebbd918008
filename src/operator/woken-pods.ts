/**
 * The pods of what was woken while nobody leads. A new leader is there only when the former one's Lease has run out, and who waits for a sleeping service has waited for its start already:
 * the operator that woke it tells the gateways its pods, until a leader does.
 */
import { atPort, toEndpoint } from '../controller/index.ts';
import type { CreateDriver, Driver, Instance } from '../drivers/driver.ts';
import type { BackendUpdate } from '../link/messages.ts';
import type { Endpoint } from '../model/backend.ts';
import type { BackendConfig } from '../model/config.ts';

/** Longer than a Lease takes to run out and a leader to begin, ms. */
const FOLLOW_MS = 60_000;
/** Backends at once; more wait for the leader. */
const MOST = 100;

interface Woken {
  driver: Driver;
  instances: Map<string, Instance>;
  /** Names of its further ports. */
  ports: readonly string[];
  told: boolean;
  end: NodeJS.Timeout;
}

export interface WokenPodsDeps {
  createDriver: CreateDriver;
  /** To every gateway; those that have a leader do not listen. */
  tell(update: BackendUpdate): void;
  /** Shorter ones are for tests. */
  followMs?: number;
}

export class WokenPods {
  readonly #deps: WokenPodsDeps;
  readonly #woken = new Map<string, Woken>();

  constructor(deps: WokenPodsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#woken.size;
  }

  /** Its pods are told as they become ready, for a minute after the last call. */
  follow(backend: BackendConfig): void {
    const { name } = backend;
    const { createDriver, followMs = FOLLOW_MS } = this.#deps;
    const known = this.#woken.get(name);
    if (known !== undefined) {
      known.end.refresh();
      // Asked for again: a gateway may have come since.
      if (known.told) this.#tell(name, known);
      return;
    }
    if (this.#woken.size >= MOST) return;
    const instances = new Map<string, Instance>();
    const driver = createDriver(backend, {
      instance: (instance) => {
        if (instance.state === 'gone') instances.delete(instance.id);
        else instances.set(instance.id, instance);
        const woken = this.#woken.get(name);
        if (woken !== undefined) this.#tell(name, woken);
      },
      // Who waits is told by the leader, when there is one.
      crash: () => {},
    });
    const end = setTimeout(() => this.#forget(name), followMs);
    end.unref();
    const ports = (backend.ports ?? []).map((port) => port.name);
    this.#woken.set(name, { driver, instances, ports, told: false, end });
  }

  #tell(name: string, woken: Woken): void {
    const endpoints: Endpoint[] = [];
    for (const instance of woken.instances.values()) {
      const endpoint = instance.state === 'ready' ? toEndpoint(instance, 'ready') : null;
      if (endpoint !== null) endpoints.push(endpoint);
    }
    if (endpoints.length === 0 && !woken.told) return;
    woken.told = true;
    const update: BackendUpdate = {
      type: 'backend',
      backend: name,
      version: 1,
      phase: endpoints.length > 0 ? 'awake' : 'asleep',
      endpoints,
      crash: null,
      wakingSinceMs: 0,
    };
    this.#deps.tell(update);
    for (const port of woken.ports) {
      const own = endpoints.flatMap((endpoint) => atPort(endpoint, port));
      this.#deps.tell({ ...update, backend: `${name}:${port}`, endpoints: own });
    }
  }

  #forget(name: string): void {
    const woken = this.#woken.get(name);
    this.#woken.delete(name);
    clearTimeout(woken?.end);
    // Leaves the workload as it is.
    woken?.driver.close().catch(() => {});
  }

  /** Somebody leads. */
  close(): void {
    for (const name of [...this.#woken.keys()]) this.#forget(name);
  }
}
