/** Gateway ports for ports of Services: every (Service, port) has one of its own, since nothing in a redirected connection says whose it is. */
import type { PortAllocation } from './backend-object.ts';

export interface PortRange {
  /** Inclusive. Below 32768, where ephemeral ports begin. */
  from: number;
  to: number;
}

export class PortAllocator {
  readonly #range: PortRange;
  /** Port -> who has it. */
  readonly #taken = new Map<number, string>();
  readonly #byOwner = new Map<string, PortAllocation[]>();
  #next: number;

  constructor(range: PortRange) {
    this.#range = range;
    this.#next = range.from;
  }

  get free(): number {
    return this.#range.to - this.#range.from + 1 - this.#taken.size;
  }

  /**
   * What statuses say, before anything is allocated: whoever comes first would be given a port at which the clients of another Service arrive. Those come first whose
   * Service is redirected now; what one of them has is no longer kept for others.
   */
  reserve(owners: Iterable<{ owner: string; known: readonly PortAllocation[]; isRedirected: boolean }>): void {
    const ordered = [...owners].sort((a, b) => Number(b.isRedirected) - Number(a.isRedirected));
    for (const { owner, known } of ordered) {
      const free = known.filter(({ gatewayPort }) => this.#isFree(gatewayPort));
      for (const { gatewayPort } of free) this.#taken.set(gatewayPort, owner);
      if (free.length > 0) this.#byOwner.set(owner, free);
    }
  }

  /**
   * One gateway port for each of `ports`. What `known` (from a status) says is kept as far as it is within the range and nobody else's. null when there
   * are not enough.
   */
  allocate(owner: string, ports: readonly number[], known: readonly PortAllocation[] = []): PortAllocation[] | null {
    const before = [...(this.#byOwner.get(owner) ?? []), ...known];
    this.release(owner);
    const made: PortAllocation[] = [];
    for (const port of ports) {
      const kept = before.find((one) => one.port === port && this.#isFree(one.gatewayPort));
      const gatewayPort = kept?.gatewayPort ?? this.#unused();
      if (gatewayPort === null) {
        for (const one of made) this.#taken.delete(one.gatewayPort);
        return null;
      }
      this.#taken.set(gatewayPort, owner);
      made.push({ port, gatewayPort });
    }
    this.#byOwner.set(owner, made);
    return made;
  }

  release(owner: string): void {
    for (const { gatewayPort } of this.#byOwner.get(owner) ?? []) this.#taken.delete(gatewayPort);
    this.#byOwner.delete(owner);
  }

  #isFree(port: number): boolean {
    return port >= this.#range.from && port <= this.#range.to && !this.#taken.has(port);
  }

  /** The one that was free longest: a straggler of its former owner must not meet the new one. */
  #unused(): number | null {
    const { from, to } = this.#range;
    for (let tries = from; tries <= to; tries++) {
      const port = this.#next;
      this.#next = port === to ? from : port + 1;
      if (!this.#taken.has(port)) return port;
    }
    return null;
  }
}
