/**
 * Asks the controller for tokens and slots over the link. What is asked within one turn of the event loop goes in one message, a bounded number of messages is
 * under way, and nobody waits longer than a bound: when the controller is silent, limiters are told so and count alone meanwhile.
 */
import type { LimitAsk, LimitGrant, SharedLimitTerms } from '../../link/limit-messages.ts';
import type { DownMessage, UpMessage } from '../../link/messages.ts';
import type { Logger } from '../../model/ports.ts';
import type { Amounts, Asker, TokenSource } from './token-source.ts';

/** How long an answer may take, ms. It usually takes a fifth of one. */
export const SILENCE_MS = 250;
/** Messages under way. */
const MAX_MESSAGES = 16;
/** Asks and reports that wait for their turn. */
const MAX_QUEUED = 10_000;

export interface SourceTimers {
  /** At the end of this turn. */
  soon(fn: () => void): void;
  /** Returns what cancels it. What has arrived by then is read first: a process that was busy for long shall not take itself for the other end. Does not keep the process alive. */
  later(ms: number, fn: () => void): () => void;
}

export const systemSourceTimers: SourceTimers = {
  soon: (fn) => void setImmediate(fn),
  later: (ms, fn) => {
    let cancelled = false;
    // Immediates run after the poll phase, in which sockets are read.
    const timer = setTimeout(() => setImmediate(() => setImmediate(() => cancelled || fn())), ms);
    timer.unref();
    return () => {
      cancelled = true;
      clearTimeout(timer);
    };
  },
};

interface Sent {
  askers: (Asker | null)[];
  /** Of the asks: so that what comes too late can be given back. */
  asks: LimitAsk[];
}

export class SupervisorLink {
  readonly #send: (message: UpMessage) => void;
  readonly #logger: Logger;
  readonly #timers: SourceTimers;
  #queue: Sent = { askers: [], asks: [] };
  #scheduled = false;
  #seq = 0;
  readonly #sent = new Map<number, Sent>();
  #cancelTimer: (() => void) | null = null;
  #silent = false;
  /** Messages that were not answered in time. */
  unanswered = 0;
  /** Messages that were sent. */
  messages = 0;

  constructor(deps: { send(message: UpMessage): void; logger: Logger; timers: SourceTimers }) {
    this.#send = deps.send;
    this.#logger = deps.logger;
    this.#timers = deps.timers;
  }

  get ready(): boolean {
    return !this.#silent;
  }

  /** Messages that are under way. */
  get underWay(): number {
    return this.#sent.size;
  }

  open(terms: SharedLimitTerms): void {
    this.#send({ type: 'limit-open', terms });
  }

  /** What has been told before is told first. */
  close(name: string): void {
    this.#flush();
    this.#send({ type: 'limit-close', name });
  }

  add(name: string, key: string, { need, more, used, back }: Amounts, asker: Asker | null): boolean {
    if (this.#queue.asks.length >= MAX_QUEUED) return false;
    this.#queue.asks.push({ name, key, need, more, used, back });
    this.#queue.askers.push(asker);
    if (!this.#scheduled) {
      this.#scheduled = true;
      this.#timers.soon(this.#flush);
    }
    return true;
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    if (this.#queue.asks.length === 0 || this.#sent.size >= MAX_MESSAGES) return;
    const sent = this.#queue;
    this.#queue = { askers: [], asks: [] };
    const seq = ++this.#seq;
    this.#sent.set(seq, sent);
    this.messages++;
    this.#send({ type: 'limit-ask', seq, asks: sent.asks });
    this.#cancelTimer ??= this.#timers.later(SILENCE_MS, () => this.#waitedFor(seq));
  };

  receive({ seq, grants }: Extract<DownMessage, { type: 'limit-grant' }>): void {
    const sent = this.#sent.get(seq);
    if (sent === undefined) return;
    this.#sent.delete(seq);
    if (this.#silent) {
      this.#silent = false;
      this.#logger.info('rate and concurrency limits are counted across workers again');
    }
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const next = this.#sent.keys().next();
    if (!next.done) this.#cancelTimer = this.#timers.later(SILENCE_MS, () => this.#waitedFor(next.value));
    for (let i = 0; i < sent.asks.length; i++) {
      const grant = grants[i];
      const ask = sent.asks[i]!;
      const asker = sent.askers[i];
      if (asker !== null && asker !== undefined) asker.granted(grant ?? NOTHING);
      else if (grant !== undefined && grant.given > 0)
        this.add(ask.name, ask.key, { need: 0, more: 0, used: 0, back: grant.given }, null);
    }
    this.#flush();
  }

  /** The oldest message has not been answered: nobody waits for it, nor for those after it, and no new ones are sent until an answer comes. */
  #waitedFor(seq: number): void {
    this.#cancelTimer = null;
    if (!this.#sent.has(seq)) return;
    this.unanswered++;
    if (!this.#silent) {
      this.#silent = true;
      this.#logger.warn(
        'the supervisor does not answer: this worker counts rate and concurrency limits alone, with its share',
        {
          afterMs: SILENCE_MS,
        },
      );
    }
    for (const sent of [...this.#sent.values(), this.#queue]) {
      for (let i = 0; i < sent.askers.length; i++) {
        const asker = sent.askers[i];
        sent.askers[i] = null;
        asker?.unanswered();
      }
    }
  }

  /** The link is closed, or the gateway ends: whoever waits is told. */
  end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#silent = true;
    const all = [...this.#sent.values(), this.#queue];
    this.#sent.clear();
    this.#queue = { askers: [], asks: [] };
    for (const sent of all) for (const asker of sent.askers) asker?.unanswered();
  }
}

const NOTHING: LimitGrant = Object.freeze({ given: 0, left: 0, waitMs: 0 });
const NO_NEED: Amounts = { need: 0, more: 0, used: 0, back: 0 };

/** One limit at the controller. */
export class SupervisorSource implements TokenSource {
  readonly #link: SupervisorLink;
  readonly #name: string;

  constructor(link: SupervisorLink, name: string) {
    this.#link = link;
    this.#name = name;
  }

  get ready(): boolean {
    return this.#link.ready;
  }

  ask(key: string, amounts: Amounts, asker: Asker): boolean {
    return this.#link.add(this.#name, key, amounts, asker);
  }

  report(key: string, used: number, back: number): boolean {
    return this.#link.add(this.#name, key, { ...NO_NEED, used, back }, null);
  }

  close(): void {
    this.#link.close(this.#name);
  }
}
