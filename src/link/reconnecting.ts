/**
 * The link of a gateway in a cluster: a stream to each operator, which come and go, and of which one leads. To the gateway it is one link that never closes by
 * itself. What the leader says counts; all is told to the leader, and that somebody waits for a sleeping backend to every operator, since each may wake it. While
 * nobody leads, the pods of what was woken come from whoever woke it.
 */
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import { Inbox } from './inbox.ts';
import type { Link } from './link.ts';
import type { DownMessage, UpMessage } from './messages.ts';
import { Unsaid } from './unsaid.ts';

/** Operators that are dialled, at most. */
const MAX_OPERATORS = 16;
/** How often it is asked where operators are, ms; and how long an answer may take. */
const RESOLVE_MS = 1000;
const RESOLVE_BOUND_MS = 5000;
/** Between attempts at one operator, ms: doubled after each that fails, and a random half less. */
const BACKOFF_MS = { least: 100, most: 5000 };
/** A stream that lasted this long makes the next attempt a first one again, ms. */
const STEADY_MS = 10_000;

export interface OperatorAddress {
  host: string;
  port: number;
}

export interface ReconnectingLinkOptions {
  /** Where operators are now: the addresses behind a headless Service's name. Rejects when that can't be found out; those that are known are kept then. */
  resolve(signal: AbortSignal): Promise<readonly OperatorAddress[]>;
  /** One stream to one operator. Rejects when there is none to be had; bounded in time. */
  dial(address: OperatorAddress, signal: AbortSignal): Promise<Link<UpMessage, DownMessage>>;
  /** Another operator leads, or the same one over another stream: the gateway has to state itself anew, hello first, before this returns. */
  onLeader(): void;
  clock: Clock;
  random: RandomSource;
  logger: Logger;
  /** Shorter ones are for tests. */
  resolveMs?: number;
  backoffMs?: { least: number; most: number };
}

export interface LinkState {
  /** Operators that are known. */
  operators: number;
  /** Those to which there is a stream. */
  connected: number;
  /** Address of the leader; null: there is none now. */
  leader: string | null;
  /** How often a leader was lost and another, or the same, was found. */
  relinks: number;
}

interface Operator {
  readonly key: string;
  readonly address: OperatorAddress;
  /** The name resolves to it still. */
  listed: boolean;
  link: Link<UpMessage, DownMessage> | null;
  openedMs: number;
  leads: boolean;
  term: number;
  /** Order in which operators said that they lead. */
  claim: number;
  dialling: boolean;
  failures: number;
  retry: NodeJS.Timeout | null;
}

export class ReconnectingLink implements Link<UpMessage, DownMessage> {
  readonly #options: ReconnectingLinkOptions;
  readonly #operators = new Map<string, Operator>();
  readonly #inbox = new Inbox<DownMessage>(() => this.#overflow());
  readonly #unsaid = new Unsaid();
  readonly #stop = new AbortController();
  #leader: Operator | null = null;
  #claims = 0;
  #relinks = 0;
  #resolveTimer: NodeJS.Timeout | null = null;
  #resolveFailed = false;

  constructor(options: ReconnectingLinkOptions) {
    this.#options = options;
  }

  /** Begins to look for operators. */
  start(): void {
    void this.#look();
  }

  get state(): LinkState {
    let connected = 0;
    for (const { link } of this.#operators.values()) if (link !== null) connected++;
    return { operators: this.#operators.size, connected, leader: this.#leader?.key ?? null, relinks: this.#relinks };
  }

  send(message: UpMessage): void {
    if (this.#stop.signal.aborted) return;
    if (message.type === 'wake') {
      const wake = this.#leader === null ? { ...message, alone: true } : message;
      for (const { link } of this.#operators.values()) link?.send(wake);
      return;
    }
    const link = this.#leader?.link ?? null;
    if (link === null) return this.#unsaid.keep(message);
    link.send(message);
    // A controller listens to nobody who has not said hello.
    if (message.type === 'hello') for (const kept of this.#unsaid.take()) link.send(kept);
  }

  onMessage(handler: (message: DownMessage) => void): void {
    this.#inbox.onMessage(handler);
  }

  /** Only after `close`: operators that are gone are no reason to end. */
  onClose(handler: () => void): void {
    this.#inbox.onClose(handler);
  }

  close(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    if (this.#resolveTimer !== null) clearTimeout(this.#resolveTimer);
    this.#inbox.drop();
    const ends: Promise<void>[] = [];
    for (const { link, retry } of this.#operators.values()) {
      if (retry !== null) clearTimeout(retry);
      if (link === null) continue;
      ends.push(new Promise((resolve) => link.onClose(resolve)));
      link.close();
    }
    // What was said before has gone out then; a link that closes is bounded in time.
    void Promise.all(ends).then(() => this.#inbox.close());
  }

  /** One look after the other, a second apart, as long as the link is open. */
  async #look(): Promise<void> {
    const { resolve, logger } = this.#options;
    const { signal } = this.#stop;
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(RESOLVE_BOUND_MS)]);
      this.#found(await resolve(bounded));
      this.#resolveFailed = false;
    } catch (error) {
      if (signal.aborted) return;
      if (!this.#resolveFailed) logger.warn('no operator is to be found; looking on', { reason: reasonOf(error) });
      this.#resolveFailed = true;
    }
    if (!signal.aborted)
      this.#resolveTimer = setTimeout(() => void this.#look(), this.#options.resolveMs ?? RESOLVE_MS);
  }

  #found(addresses: readonly OperatorAddress[]): void {
    if (this.#stop.signal.aborted) return;
    for (const operator of this.#operators.values()) operator.listed = false;
    for (const address of addresses.slice(0, MAX_OPERATORS)) {
      const key = `${address.host} ${address.port}`;
      let operator = this.#operators.get(key);
      if (operator === undefined) {
        operator = {
          key,
          address,
          listed: true,
          link: null,
          openedMs: 0,
          leads: false,
          term: 0,
          claim: 0,
          dialling: false,
          failures: 0,
          retry: null,
        };
        this.#operators.set(key, operator);
        void this.#dial(operator);
      }
      operator.listed = true;
    }
    // One that is connected may only be about to end: the stream says when it has.
    for (const operator of this.#operators.values())
      if (!operator.listed && operator.link === null) this.#forget(operator);
  }

  #forget(operator: Operator): void {
    if (operator.retry !== null) clearTimeout(operator.retry);
    if (!operator.dialling) this.#operators.delete(operator.key);
  }

  async #dial(operator: Operator): Promise<void> {
    const { dial, logger, clock } = this.#options;
    const { signal } = this.#stop;
    operator.retry = null;
    operator.dialling = true;
    let link: Link<UpMessage, DownMessage> | null = null;
    try {
      link = await dial(operator.address, signal);
    } catch (error) {
      if (signal.aborted) return;
      const level = operator.failures === 0 ? 'warn' : 'debug';
      logger[level]('no link to an operator; trying on', { operator: operator.key, reason: reasonOf(error) });
    } finally {
      operator.dialling = false;
    }
    if (signal.aborted) return link?.close();
    if (link === null) {
      operator.failures++;
      return this.#again(operator);
    }
    operator.link = link;
    operator.openedMs = clock.nowMs();
    logger.debug('linked to an operator', { operator: operator.key });
    const opened = link;
    link.onClose(() => this.#lost(operator, opened));
    link.onMessage((message) => this.#received(operator, opened, message));
  }

  #lost(operator: Operator, link: Link<UpMessage, DownMessage>): void {
    if (operator.link !== link) return;
    operator.link = null;
    operator.leads = false;
    if (this.#stop.signal.aborted) return;
    const lastedMs = this.#options.clock.nowMs() - operator.openedMs;
    operator.failures = lastedMs >= STEADY_MS ? 0 : operator.failures + 1;
    this.#choose();
    this.#again(operator);
  }

  #again(operator: Operator): void {
    if (!operator.listed) return this.#forget(operator);
    const { least, most } = this.#options.backoffMs ?? BACKOFF_MS;
    const atMost = Math.min(most, least * 2 ** Math.min(operator.failures - 1, 16));
    const waitMs = Math.max(0, atMost) * (0.5 + this.#options.random() / 2);
    operator.retry = setTimeout(() => void this.#dial(operator), waitMs);
  }

  #received(operator: Operator, link: Link<UpMessage, DownMessage>, message: DownMessage): void {
    if (operator.link !== link || this.#stop.signal.aborted) return;
    if (message.type === 'role') {
      const began = message.leader && (!operator.leads || operator.term !== message.term);
      operator.leads = message.leader;
      operator.term = message.term;
      if (began) operator.claim = ++this.#claims;
      if (began && this.#leader === operator) this.#leader = null;
      return this.#choose();
    }
    // One that leads no more may not know it yet; while nobody leads, whoever woke a backend tells its pods.
    const isWoken = this.#leader === null && message.type === 'backend';
    if (operator === this.#leader || isWoken) this.#inbox.deliver(message);
  }

  #choose(): void {
    let best: Operator | null = null;
    for (const operator of this.#operators.values()) {
      if (operator.link === null || !operator.leads) continue;
      if (best === null || operator.term > best.term || (operator.term === best.term && operator.claim > best.claim))
        best = operator;
    }
    if (best === this.#leader) return;
    const { logger, onLeader } = this.#options;
    this.#leader = best;
    if (best === null) {
      logger.warn('no operator leads: serving on with what is known', {});
      return;
    }
    if (this.#claims > 1) this.#relinks++;
    logger.info('an operator leads', { operator: best.key, term: best.term });
    onLeader();
  }

  /** Nobody takes messages: the leader has to say everything again. */
  #overflow(): void {
    this.#options.logger.error('closing a link', { reason: '10,000 messages wait for a handler' });
    this.#leader?.link?.close();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
