import type { BreakerState } from '../../model/backend.ts';
import type { BreakerConfig } from '../../model/config.ts';
import { FailureWindow } from './failure-window.ts';

/** What moves it: `tripped` too many failed; `waited` openFor is over; `failed` and `recovered` what the trials say. */
export type BreakerEvent = 'tripped' | 'waited' | 'failed' | 'recovered';

/** The state that an event leads to; what is not listed can't happen. */
export const BREAKER_TRANSITIONS: Readonly<
  Record<BreakerState, Readonly<Partial<Record<BreakerEvent, BreakerState>>>>
> = {
  closed: { tripped: 'open' },
  open: { waited: 'half-open' },
  'half-open': { failed: 'open', recovered: 'closed' },
};

export interface BreakerTransition {
  from: BreakerState;
  to: BreakerState;
  /** One sentence for people. */
  reason: string;
}

/** The generation of no admission: the request was refused. */
export const REFUSED = 0;

/**
 * A circuit breaker: when the share of failed requests in a sliding window reaches a bound, nothing is sent for a time; then a bounded number of trials
 * decides whether it closes again. Each admission carries the generation of the state that gave it, so that what was sent before a
 * transition says nothing after it. Time is passed in; nothing is made per request.
 */
export class Breaker {
  #config: BreakerConfig;
  #window: FailureWindow;
  #state: BreakerState = 'closed';
  /** Rises with each transition, from 1. */
  #generation = 1;
  /** Open: until when. Half open: when trials that haven't told anything are given up. */
  #untilMs = 0;
  // Half open
  #given = 0;
  #passed = 0;
  #failed = 0;
  readonly #onTransition: (transition: BreakerTransition) => void;

  constructor(config: BreakerConfig, onTransition: (transition: BreakerTransition) => void) {
    this.#config = config;
    this.#window = new FailureWindow(config.windowMs);
    this.#onTransition = onTransition;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Of the present state; what `admit` gives out. */
  get generation(): number {
    return this.#generation;
  }

  /** Other bounds for the same state; another length of the window begins with an empty one. */
  configure(config: BreakerConfig): void {
    if (config.windowMs !== this.#config.windowMs) this.#window = new FailureWindow(config.windowMs);
    this.#config = config;
  }

  /** How long it stays open, ms; 0 when it isn't open. */
  openForMs(nowMs: number): number {
    return this.#state === 'open' ? Math.max(0, this.#untilMs - nowMs) : 0;
  }

  /** Whether a request may be sent: the generation to give back with its result, or REFUSED. Half open this takes one of the trials. */
  admit(nowMs: number): number {
    if (this.#state === 'closed') return this.#generation;
    this.tick(nowMs);
    if (this.#state !== 'half-open' || this.#given >= this.#config.trials) return REFUSED;
    this.#given++;
    return this.#generation;
  }

  /** What an admitted request came to. */
  record(generation: number, failed: boolean, nowMs: number): void {
    if (generation !== this.#generation) return;
    if (this.#state === 'closed') {
      this.#window.add(nowMs, failed);
      if (failed) this.#judgeWindow(nowMs);
    } else if (this.#state === 'half-open') {
      if (failed) this.#failed++;
      else this.#passed++;
      this.#judgeTrials(nowMs);
    }
  }

  /** An admitted request ended without saying anything about the backend: its trial goes to another one. */
  withdraw(generation: number): void {
    if (generation === this.#generation && this.#state === 'half-open' && this.#given > this.#passed + this.#failed)
      this.#given--;
  }

  /** Draws the consequences of time: half open after openFor; trials that have told nothing for as long are given to others. */
  tick(nowMs: number): void {
    if (this.#state === 'closed' || nowMs < this.#untilMs) return;
    if (this.#state === 'open') {
      this.#move('waited', nowMs, `it was open for ${seconds(this.#config.openForMs)}`);
      return;
    }
    this.#given = this.#passed + this.#failed;
    this.#untilMs = nowMs + this.#config.openForMs;
  }

  #judgeWindow(nowMs: number): void {
    const requests = this.#window.requests(nowMs);
    if (requests < this.#config.minimumRequests) return;
    const failures = this.#window.failures(nowMs);
    if (failures * 100 < this.#config.failurePercent * requests) return;
    this.#move('tripped', nowMs, `${failures} of ${requests} requests failed in ${seconds(this.#config.windowMs)}`);
  }

  /** Decides as soon as the trials that are left can't change the result. */
  #judgeTrials(nowMs: number): void {
    const { trials, failurePercent } = this.#config;
    if (this.#failed * 100 >= failurePercent * trials)
      this.#move('failed', nowMs, `${this.#failed} of ${this.#failed + this.#passed} trials failed`);
    else if ((trials - this.#passed) * 100 < failurePercent * trials)
      this.#move('recovered', nowMs, `${this.#passed} of ${this.#passed + this.#failed} trials went well`);
  }

  #move(event: BreakerEvent, nowMs: number, reason: string): void {
    const from = this.#state;
    const to = BREAKER_TRANSITIONS[from][event];
    if (to === undefined) return;
    this.#state = to;
    this.#generation++;
    this.#window.clear();
    this.#given = 0;
    this.#passed = 0;
    this.#failed = 0;
    this.#untilMs = nowMs + this.#config.openForMs;
    this.#onTransition({ from, to, reason });
  }
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
