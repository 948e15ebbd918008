import type { LimitAsk, LimitGrant, SharedSlotTerms } from '../../link/limit-messages.ts';
import { granted, whole } from './grant.ts';

/** Keys with something in flight, at most; a request of one more is refused. Each has a request somewhere, so that connections bound it before. */
const MAX_KEYS = 200_000;
const NOTHING: LimitGrant = Object.freeze({ given: 0, left: 0, waitMs: 0 });

/** The slots of one concurrency limit, by key. A key of which nothing is out has no entry. */
export class SlotLedger<G> {
  #max: number;
  readonly #entries = new Map<string, { leased: number; leases: Map<G, number> }>();

  constructor(terms: SharedSlotTerms) {
    this.#max = terms.max;
  }

  get keys(): number {
    return this.#entries.size;
  }

  /** What is out stays out: a lowered bound is reached as slots come back. */
  change(terms: SharedSlotTerms): void {
    this.#max = terms.max;
  }

  ask(gateway: G, ask: LimitAsk, gateways: number): LimitGrant {
    let entry = this.#entries.get(ask.key);
    const back = whole(ask.back);
    if (entry !== undefined && back > 0) {
      this.#giveBack(ask.key, entry, gateway, back);
      entry = this.#entries.get(ask.key);
    }
    const need = whole(ask.need);
    const more = whole(ask.more);
    if (need === 0 && more === 0) return NOTHING;
    if (entry === undefined && this.#entries.size >= MAX_KEYS) return NOTHING;
    const free = Math.max(0, this.#max - (entry?.leased ?? 0));
    const given = granted(free, need, more, gateways);
    if (given > 0) {
      if (entry === undefined) this.#entries.set(ask.key, (entry = { leased: 0, leases: new Map() }));
      entry.leased += given;
      entry.leases.set(gateway, (entry.leases.get(gateway) ?? 0) + given);
    }
    return { given, left: free - given, waitMs: 0 };
  }

  #giveBack(key: string, entry: { leased: number; leases: Map<G, number> }, gateway: G, slots: number): void {
    const lease = entry.leases.get(gateway) ?? 0;
    const settled = Math.min(lease, slots);
    if (settled === 0) return;
    entry.leased -= settled;
    if (settled < lease) entry.leases.set(gateway, lease - settled);
    else {
      entry.leases.delete(gateway);
      if (entry.leases.size === 0) this.#entries.delete(key);
    }
  }

  /** The gateway is gone, and with it what it had in flight. */
  left(gateway: G): void {
    for (const [key, entry] of this.#entries) this.#giveBack(key, entry, gateway, Infinity);
  }
}
