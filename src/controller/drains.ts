/**
 * Endpoints that are being taken away, and the gateways that have not yet said that nothing is left there. One conversation for sleep, scale-down,
 * replacement and removal: an endpoint is drained when every gateway that was told has answered, or is gone.
 */
export type DrainPurpose = 'sleep' | 'scale-down' | 'replace' | 'remove';

interface Drain<G> {
  purpose: DrainPurpose;
  /** Version of the update that first listed it as draining; 0: not told yet. Older answers belong to a drain that was taken back. */
  version: number;
  owing: Set<G>;
  cancelBound: () => void;
}

export class Drains<G> {
  readonly #drains = new Map<string, Drain<G>>();
  readonly #isTold: (endpoint: string) => boolean;

  /** `isTold`: whether gateways are told of this endpoint; of one without an address they know nothing, and owe nothing. */
  constructor(isTold: (endpoint: string) => boolean = () => true) {
    this.#isTold = isTold;
  }

  has(endpoint: string): boolean {
    return this.#drains.has(endpoint);
  }

  /** Marks it; it counts as told with the next `told`. One that drains already only changes its purpose. `cancelBound` ends its time limit. */
  begin(endpoint: string, purpose: DrainPurpose, cancelBound: () => void = () => {}): void {
    const known = this.#drains.get(endpoint);
    if (known === undefined) {
      this.#drains.set(endpoint, { purpose, version: 0, owing: new Set(), cancelBound });
      return;
    }
    known.cancelBound();
    known.cancelBound = cancelBound;
    known.purpose = purpose;
  }

  /** An update of this version, which lists all that drain, is being sent to these gateways. Call it before sending: an answer may come at once. */
  told(version: number, gateways: Iterable<G>): void {
    let all: G[] | null = null;
    for (const [endpoint, drain] of this.#drains) {
      if (drain.version !== 0) continue;
      drain.version = version;
      if (!this.#isTold(endpoint)) continue;
      all ??= [...gateways];
      for (const gateway of all) drain.owing.add(gateway);
    }
  }

  /** A gateway that came later is told too, and asked too. */
  join(gateway: G): void {
    for (const [endpoint, drain] of this.#drains)
      if (drain.version !== 0 && this.#isTold(endpoint)) drain.owing.add(gateway);
  }

  /** True when the answer counts. */
  answer(gateway: G, endpoint: string, version: number): boolean {
    const drain = this.#drains.get(endpoint);
    if (drain === undefined || drain.version === 0 || version < drain.version) return false;
    return drain.owing.delete(gateway);
  }

  /** The gateway is gone: nothing of it is in flight any more. */
  forget(gateway: G): void {
    for (const drain of this.#drains.values()) drain.owing.delete(gateway);
  }

  /** Forgets one: it is ready again, or gone. */
  drop(endpoint: string): void {
    this.#drains.get(endpoint)?.cancelBound();
    this.#drains.delete(endpoint);
  }

  clear(): void {
    for (const endpoint of [...this.#drains.keys()]) this.drop(endpoint);
  }

  of(purpose: DrainPurpose): string[] {
    return [...this.#drains].filter(([, drain]) => drain.purpose === purpose).map(([endpoint]) => endpoint);
  }

  /** Those of this purpose that every gateway has answered for. */
  drained(purpose: DrainPurpose): string[] {
    return [...this.#drains]
      .filter(([, drain]) => drain.purpose === purpose && drain.version !== 0 && drain.owing.size === 0)
      .map(([endpoint]) => endpoint);
  }

  /** Gateways that owe an answer for an endpoint of this purpose. */
  owing(purpose: DrainPurpose): Set<G> {
    const all = new Set<G>();
    for (const drain of this.#drains.values()) {
      if (drain.purpose === purpose) for (const gateway of drain.owing) all.add(gateway);
    }
    return all;
  }

  get size(): number {
    return this.#drains.size;
  }
}
