import type { GatewayBackendConfig } from '../../link/messages.ts';
import type { BreakerState } from '../../model/backend.ts';
import type { Logger } from '../../model/ports.ts';
import { Breaker, REFUSED } from './breaker.ts';
import type { BreakerTransition } from './breaker.ts';
import type { EjectionReason } from './ejection.ts';
import { fallbackAnswer } from './fallback.ts';
import type { Fallback } from './fallback.ts';
import { RetryBudget } from './retry-budget.ts';

/** What one try at an endpoint came to: an answer, a 5xx, no connection, a connection that ended without an answer, none in time, or nothing known. */
export type ResultKind = 'ok' | 'error' | 'connect' | 'reset' | 'timeout' | 'cancelled';

/** Why a request is sent once more. */
export type RetryKind = Exclude<ResultKind, 'ok' | 'cancelled'>;

/** The breaker and the retry budget of one backend, and what is counted and logged of those and of ejections. */
export class Resilience {
  readonly budget = new RetryBudget();
  /** By the state that was entered. */
  readonly transitions: Record<BreakerState, number> = { closed: 0, open: 0, 'half-open': 0 };
  /** Requests that got the fallback. */
  refused = 0;
  readonly ejections: Record<EjectionReason, number> = { 'consecutive-errors': 0, 'failure-rate': 0 };
  readonly retries: Record<RetryKind, number> = { error: 0, connect: 0, reset: 0, timeout: 0 };
  /** Retries that the budget did not allow. */
  budgetExhausted = 0;
  readonly #logger: Logger;
  #breaker: Breaker | null = null;
  #config: GatewayBackendConfig['breaker'] = null;

  constructor(config: GatewayBackendConfig, logger: Logger) {
    this.#logger = logger;
    this.reconfigure(config);
  }

  /** A reload: an open breaker stays open. */
  reconfigure({ breaker }: GatewayBackendConfig): void {
    this.#config = breaker;
    if (breaker === null) this.#breaker = null;
    else if (this.#breaker !== null) this.#breaker.configure(breaker);
    else this.#breaker = new Breaker(breaker, (transition) => this.#moved(transition));
  }

  /** null: none is configured. */
  get breakerState(): BreakerState | null {
    return this.#breaker === null ? null : this.#breaker.state;
  }

  /** Nothing of it changes with time. */
  get quiet(): boolean {
    return this.#breaker === null || this.#breaker.state !== 'open';
  }

  /** The state that admitted requests now; goes into `result`, so that older requests say nothing about a newer state. */
  get generation(): number {
    return this.#breaker === null ? REFUSED : this.#breaker.generation;
  }

  admit(nowMs: number): boolean {
    if (this.#breaker === null || this.#breaker.admit(nowMs) !== REFUSED) return true;
    this.refused++;
    return false;
  }

  result(kind: ResultKind, nowMs: number, generation = this.generation): void {
    if (this.#breaker === null) return;
    if (kind === 'cancelled') this.#breaker.withdraw(generation);
    else this.#breaker.record(generation, kind !== 'ok', nowMs);
  }

  mayRetry(nowMs: number, budgetPercent: number, kind: RetryKind): boolean {
    if (this.budget.take(nowMs, budgetPercent)) {
      this.retries[kind]++;
      return true;
    }
    this.budgetExhausted++;
    return false;
  }

  fallback(backend: string, nowMs: number): Fallback | null {
    if (this.#breaker === null || this.#config === null) return null;
    return fallbackAnswer(this.#config.fallback, backend, this.#breaker.openForMs(nowMs));
  }

  tick(nowMs: number): void {
    if (this.#breaker !== null) this.#breaker.tick(nowMs);
  }

  ejected(endpoint: string, reason: EjectionReason, forMs: number): void {
    this.ejections[reason]++;
    this.#logger.warn('an endpoint was ejected', { endpoint, reason, forMs });
  }

  returned(endpoint: string): void {
    this.#logger.info('an ejected endpoint is back', { endpoint });
  }

  #moved({ from, to, reason }: BreakerTransition): void {
    this.transitions[to]++;
    const line = `the circuit breaker is ${to}`;
    if (to === 'open') this.#logger.warn(line, { from, reason });
    else this.#logger.info(line, { from, reason });
  }
}
