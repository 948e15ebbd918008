/**
 * One driver of a backend and what it runs. A backend has one; while a changed source replaces a running one it has two or more for a time. An
 * instance's id is its endpoint's id too: drivers never use one twice, not even a later driver of the same backend.
 */
import type { Driver, DriverEvents, CreateDriver, Instance } from '../drivers/driver.ts';
import type { BackendConfig } from '../model/config.ts';
import type { Crash, Endpoint } from '../model/backend.ts';

/** Instances that the driver counts in `scaleUp`. */
const COUNTED: ReadonlySet<Instance['state']> = new Set(['starting', 'ready', 'unhealthy']);

export class Generation {
  readonly config: BackendConfig;
  readonly driver: Driver;
  /** Instances that the driver was asked to end (or freeze) and that it still has. */
  readonly retiring = new Set<string>();
  /** Calls of `retire` that have not come back. */
  pending = 0;

  constructor(config: BackendConfig, create: CreateDriver, events: DriverEvents) {
    this.config = config;
    this.driver = create(config, events);
  }

  /** What the driver has now, without those that are gone. */
  members(): Instance[] {
    return this.driver.instances().filter((instance) => instance.state !== 'gone');
  }

  /** Those that the driver counts in `scaleUp`. */
  counted(): Instance[] {
    return this.driver.instances().filter((instance) => COUNTED.has(instance.state));
  }

  /** Whether anything is ready that is not being ended. */
  get anyServes(): boolean {
    return this.members().some(({ id, state }) => state === 'ready' && !this.retiring.has(id));
  }

  /** The crash that holds starts back at this moment, or null. */
  heldBackBy(wallMs: number): Crash | null {
    const crash = this.driver.crash();
    return crash !== null && wallMs < crash.retryAtMs ? crash : null;
  }

  /** Asks the driver to end (or freeze) these; resolves when they are gone. Never rejects: the error goes to `onError`. */
  async retire(ids: readonly string[], freeze: boolean, onError: (error: unknown) => void): Promise<void> {
    for (const id of ids) this.retiring.add(id);
    this.pending++;
    let stays = false;
    try {
      await this.driver.retire(ids, { freeze });
    } catch (error) {
      stays = true;
      onError(error);
    }
    this.pending--;
    if (stays) {
      // Somebody else has the say too, or the platform didn't do it: whoever is still there serves on.
      for (const id of ids) this.retiring.delete(id);
      return;
    }
    // A static server is still there afterwards, and must not come back into the list. A frozen one may be thawed and is new then.
    const left = new Set(this.counted().map((instance) => instance.id));
    for (const id of ids) if (!left.has(id)) this.retiring.delete(id);
  }
}

export function toEndpoint(
  { id, address, weight, backup, ports }: Instance,
  state: Endpoint['state'],
): Endpoint | null {
  if (address === null) return null;
  const endpoint: Endpoint = { id, host: address.host, port: address.port, weight, state };
  if (backup === true) endpoint.backup = true;
  if (ports !== undefined) endpoint.ports = ports;
  return endpoint;
}
