/**
 * The controller's side of rate and concurrency limits: one ledger per limit, for as long as a gateway has it open. A rate limit that no gateway
 * has open (a worker is being replaced, a reload took it away) is kept until all its buckets would be full again.
 */
import type { LimitAsk, LimitGrant, SharedLimitTerms } from '../../link/limit-messages.ts';
import type { Clock } from '../../model/ports.ts';
import { RateLedger } from './rate-ledger.ts';
import { SlotLedger } from './slot-ledger.ts';

/** Limits that nobody has open and that are still remembered, at most. */
const MAX_RETIRED = 32;
/** What a limit is told that is not open: a fault of ours, refused rather than let through without bound. */
const UNKNOWN: LimitGrant = Object.freeze({ given: 0, left: 0, waitMs: 1000 });

type Ledger<G> = { kind: 'rate'; ledger: RateLedger<G> } | { kind: 'concurrency'; ledger: SlotLedger<G> };
type Desk<G> = Ledger<G> & { openBy: Set<G> };

export class LimitDesk<G> {
  readonly #clock: Clock;
  readonly #desks = new Map<string, Desk<G>>();
  /** Rate limits that nobody has open, the one that was closed longest ago first. */
  readonly #retired = new Set<string>();
  /** Whom the free tokens and slots have to do for. */
  readonly #gateways: () => number;

  constructor(options: { clock: Clock; gateways: () => number }) {
    this.#clock = options.clock;
    this.#gateways = options.gateways;
  }

  /** Limits that are remembered. */
  get size(): number {
    return this.#desks.size;
  }

  /** Keys of a limit that are remembered. */
  keys(name: string): number {
    return this.#desks.get(name)?.ledger.keys ?? 0;
  }

  /** Opens it, or gives it other terms. */
  open(gateway: G, terms: SharedLimitTerms): void {
    const nowMs = this.#clock.nowMs();
    this.#forgetRetired(nowMs);
    let desk = this.#desks.get(terms.name);
    if (desk === undefined || desk.kind !== terms.kind) {
      const openBy = desk?.openBy ?? new Set<G>();
      desk =
        terms.kind === 'rate'
          ? { kind: 'rate', ledger: new RateLedger<G>(terms, nowMs), openBy }
          : { kind: 'concurrency', ledger: new SlotLedger<G>(terms), openBy };
      this.#desks.set(terms.name, desk);
    } else if (desk.kind === 'rate' && terms.kind === 'rate') desk.ledger.change(terms, nowMs);
    else if (desk.kind === 'concurrency' && terms.kind === 'concurrency') desk.ledger.change(terms);
    desk.openBy.add(gateway);
    this.#retired.delete(terms.name);
  }

  close(gateway: G, name: string): void {
    const desk = this.#desks.get(name);
    if (desk === undefined || !desk.openBy.has(gateway)) return;
    this.#settle(gateway, desk);
    this.#closed(gateway, name, desk);
  }

  ask(gateway: G, asks: readonly LimitAsk[]): LimitGrant[] {
    const nowMs = this.#clock.nowMs();
    const gateways = this.#gateways();
    return asks.map((ask) => {
      const desk = this.#desks.get(ask.name);
      if (desk === undefined) return UNKNOWN;
      return desk.kind === 'rate'
        ? desk.ledger.ask(gateway, ask, gateways, nowMs)
        : desk.ledger.ask(gateway, ask, gateways);
    });
  }

  /** The gateway's link is closed. */
  left(gateway: G): void {
    const nowMs = this.#clock.nowMs();
    for (const [name, desk] of this.#desks) {
      this.#settle(gateway, desk);
      if (desk.openBy.has(gateway)) this.#closed(gateway, name, desk);
    }
    this.#forgetRetired(nowMs);
  }

  /** It will give nothing back any more. */
  #settle(gateway: G, desk: Desk<G>): void {
    if (desk.kind === 'rate') desk.ledger.left(gateway, this.#clock.nowMs());
    else desk.ledger.left(gateway);
  }

  #closed(gateway: G, name: string, desk: Desk<G>): void {
    desk.openBy.delete(gateway);
    if (desk.openBy.size > 0) return;
    if (desk.kind === 'rate') this.#retired.add(name);
    else this.#desks.delete(name);
    this.#forgetRetired(this.#clock.nowMs());
  }

  #forgetRetired(nowMs: number): void {
    for (const name of this.#retired) {
      const desk = this.#desks.get(name);
      const isOver = desk?.kind !== 'rate' || desk.ledger.forgettableAtMs <= nowMs;
      if (!isOver && this.#retired.size <= MAX_RETIRED) continue;
      this.#retired.delete(name);
      this.#desks.delete(name);
    }
  }
}
