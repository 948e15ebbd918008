/**
 * Asks the controller for tokens and slots over the link. What is asked within one turn of the event loop goes in one message, a bounded number of messages is
 * under way, and nobody waits longer than a bound: when the controller is silent, limiters are told so and count alone meanwhile.
 */
import type { LimitAsk, LimitGrant, SharedLimitTerms } from '../../link/limit-messages.ts';
import type { DownMessage, UpMessage } from '../../link/messages.ts';
import type { Logger } from '../../model/ports.ts';
import type { Asker, TokenSource } from './token-source.ts';

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

interface Queued {
  name: string;
  key: string;
  /** null: a report. */
  asker: Asker | null;
  /** Nobody waits for the answer any more. */
  givenUp: boolean;
  used: number;
  back: number;
  /** That was needed, as told. */
  need: number;
}

export class SupervisorLink {
  readonly #send: (message: UpMessage) => void;
  readonly #logger: Logger;
  readonly #timers: SourceTimers;
  #queue: Queued[] = [];
  #scheduled = false;
  #seq = 0;
  readonly #sent = new Map<number, Queued[]>();
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

  ask(name: string, key: string, asker: Asker): boolean {
    return this.#add({ name, key, asker, givenUp: false, used: 0, back: 0, need: 0 });
  }

  report(name: string, key: string, used: number, back: number): boolean {
    return this.#add({ name, key, asker: null, givenUp: false, used, back, need: 0 });
  }

  #add(queued: Queued): boolean {
    if (this.#queue.length >= MAX_QUEUED) return false;
    this.#queue.push(queued);
    if (!this.#scheduled) {
      this.#scheduled = true;
      this.#timers.soon(this.#flush);
    }
    return true;
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    if (this.#queue.length === 0 || this.#sent.size >= MAX_MESSAGES) return;
    const sent = this.#queue;
    this.#queue = [];
    const seq = ++this.#seq;
    this.#sent.set(seq, sent);
    this.messages++;
    const asks = sent.map((queued): LimitAsk => {
      const { name, key, asker } = queued;
      // Spelled out: a spread per ask costs as much as the rest.
      if (asker === null) return { name, key, need: 0, more: 0, used: queued.used, back: queued.back };
      const { need, more, used, back } = asker.amounts();
      queued.need = need;
      return { name, key, need, more, used, back };
    });
    this.#send({ type: 'limit-ask', seq, asks });
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
    for (let i = 0; i < sent.length; i++) {
      const { name, key, asker, givenUp, need } = sent[i]!;
      const grant = grants[i] ?? NOTHING;
      if (asker === null) continue;
      if (!givenUp) asker.granted(grant);
      else if (grant.given > 0) this.report(name, key, 0, asker.unwanted(grant.given, need));
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
    this.#giveUp();
  }

  #giveUp(): void {
    // Those that were not sent yet are not sent any more.
    const unsent = this.#queue.filter(({ asker }) => asker !== null);
    this.#queue = this.#queue.filter(({ asker }) => asker === null);
    for (const queued of [...[...this.#sent.values()].flat(), ...unsent]) {
      if (queued.givenUp) continue;
      queued.givenUp = true;
      queued.asker?.unanswered();
    }
  }

  /** Another controller: it knows nothing of what was asked and told before. Whoever waits is told, and may ask again at once. */
  relinked(): void {
    this.#drop();
    this.#silent = false;
  }

  /** The link is closed, or the gateway ends: whoever waits is told. */
  end(): void {
    this.#silent = true;
    this.#drop();
  }

  #drop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#giveUp();
    this.#sent.clear();
    this.#queue = [];
  }
}

const NOTHING: LimitGrant = Object.freeze({ given: 0, left: 0, waitMs: 0 });

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

  ask(key: string, asker: Asker): boolean {
    return this.#link.ask(this.#name, key, asker);
  }

  report(key: string, used: number, back: number): boolean {
    return this.#link.report(this.#name, key, used, back);
  }

  close(): void {
    this.#link.close(this.#name);
  }
}
