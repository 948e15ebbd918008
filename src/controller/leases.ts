/**
 * How many requests, and how many bytes of them, may be held for one backend across all gateways. A gateway asks for a batch, so that a request
 * costs no round trip; what a gateway that went away had comes back.
 */
export interface LeaseAmount {
  holds: number;
  bytes: number;
}

export class Leases<G> {
  #maxHolds: number;
  #maxBytes: number;
  readonly #given = new Map<G, LeaseAmount>();

  constructor(limits: { maxHeld: number; maxHeldBytes: number }) {
    this.#maxHolds = limits.maxHeld;
    this.#maxBytes = limits.maxHeldBytes;
  }

  /** New totals. What is out stays out: a lowered total is reached as leases come back. */
  limit(limits: { maxHeld: number; maxHeldBytes: number }): void {
    this.#maxHolds = limits.maxHeld;
    this.#maxBytes = limits.maxHeldBytes;
  }

  get remaining(): LeaseAmount {
    let holds = this.#maxHolds;
    let bytes = this.#maxBytes;
    for (const given of this.#given.values()) {
      holds -= given.holds;
      bytes -= given.bytes;
    }
    return { holds: Math.max(0, holds), bytes: Math.max(0, bytes) };
  }

  /** At most what was asked for, at most what remains; zeros when nothing does. */
  ask(gateway: G, wanted: LeaseAmount): LeaseAmount {
    const remaining = this.remaining;
    const granted = {
      holds: Math.min(whole(wanted.holds), remaining.holds),
      bytes: Math.min(whole(wanted.bytes), remaining.bytes),
    };
    if (granted.holds === 0 && granted.bytes === 0) return granted;
    const given = this.#given.get(gateway) ?? { holds: 0, bytes: 0 };
    this.#given.set(gateway, { holds: given.holds + granted.holds, bytes: given.bytes + granted.bytes });
    return granted;
  }

  /** Never more than was given. */
  giveBack(gateway: G, amount: LeaseAmount): void {
    const given = this.#given.get(gateway);
    if (given === undefined) return;
    const left = {
      holds: Math.max(0, given.holds - whole(amount.holds)),
      bytes: Math.max(0, given.bytes - whole(amount.bytes)),
    };
    if (left.holds === 0 && left.bytes === 0) this.#given.delete(gateway);
    else this.#given.set(gateway, left);
  }

  /** What a gateway still has of a former controller: out is out, also beyond the totals. Replaces what was given to it. */
  adopt(gateway: G, held: LeaseAmount): void {
    const given = { holds: whole(held.holds), bytes: whole(held.bytes) };
    if (given.holds > 0 || given.bytes > 0) this.#given.set(gateway, given);
    else this.#given.delete(gateway);
  }

  forget(gateway: G): void {
    this.#given.delete(gateway);
  }
}

function whole(value: number): number {
  return Number.isFinite(value) ? Math.max(0, Math.floor(value)) : 0;
}
