/**
 * One driver of a backend and what it runs. A backend has one; while a changed source replaces a running one it has two or more for a time. Ids of
 * endpoints are never reused, not even by the driver of a later generation, which counts from one again: those carry the generation's mark.
 */
import type { Driver, DriverEvents, CreateDriver, Instance } from '../drivers/driver.ts';
import type { BackendConfig } from '../model/config.ts';
import type { Crash, Endpoint } from '../model/backend.ts';

/** Instances that the driver counts in `scaleUp`. */
const COUNTED: ReadonlySet<Instance['state']> = new Set(['starting', 'ready', 'unhealthy']);

export interface Member {
  /** Id of the endpoint. */
  endpoint: string;
  instance: Instance;
}

export class Generation {
  readonly config: BackendConfig;
  readonly driver: Driver;
  /** Endpoints that the driver was asked to end. */
  readonly retiring = new Set<string>();
  readonly #mark: string;

  constructor(config: BackendConfig, mark: string, create: CreateDriver, events: DriverEvents) {
    this.config = config;
    this.#mark = mark;
    this.driver = create(config, events);
  }

  endpointId(instance: string): string {
    return instance + this.#mark;
  }

  /** What the driver has now, without those that are gone. */
  members(): Member[] {
    const members: Member[] = [];
    for (const instance of this.driver.instances()) {
      if (instance.state !== 'gone') members.push({ endpoint: this.endpointId(instance.id), instance });
    }
    return members;
  }

  /** Those that the driver counts in `scaleUp`. */
  counted(): Member[] {
    return this.members().filter((member) => COUNTED.has(member.instance.state));
  }

  /** The crash that holds starts back at this moment, or null. */
  heldBackBy(wallMs: number): Crash | null {
    const crash = this.driver.crash();
    return crash !== null && wallMs < crash.retryAtMs ? crash : null;
  }

  /** Asks the driver to end (or freeze) these endpoints; resolves when they are gone. Never rejects: the error goes to `onError`. */
  async retire(endpoints: readonly string[], freeze: boolean, onError: (error: unknown) => void): Promise<void> {
    const ids = endpoints.map((endpoint) => endpoint.slice(0, endpoint.length - this.#mark.length));
    for (const endpoint of endpoints) this.retiring.add(endpoint);
    try {
      await this.driver.retire(ids, { freeze });
    } catch (error) {
      onError(error);
    }
    for (const endpoint of endpoints) this.retiring.delete(endpoint);
  }
}

export function toEndpoint(member: Member, state: Endpoint['state']): Endpoint | null {
  const { address, weight } = member.instance;
  return address === null ? null : { id: member.endpoint, host: address.host, port: address.port, weight, state };
}
