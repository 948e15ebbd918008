/**
 * How an endpoint is chosen. A strategy is one file: a class that implements `Strategy`, a line in registry.ts, and strategy.contract.ts
 * run against it. State is per worker and per backend.
 */
import type { BalanceConfig } from '../../model/config.ts';
import type { RandomSource } from '../../model/ports.ts';
import type { RequestView } from '../request-view.ts';

export interface BalancedEndpoint {
  /** Unique within the backend and never reused. */
  readonly id: string;
  /** Share of the traffic relative to the others; an endpoint of weight 0 gets nothing. */
  readonly weight: number;
  /** Requests of this worker that it is busy with. Kept by the gateway. */
  inFlight: number;
}

export interface PickContext {
  /** null: no request (a raw connection). */
  readonly view: RequestView | null;
  /** The resolved client address. */
  readonly client: string;
  /** Uniform in [0, 1). */
  readonly random: RandomSource;
}

export interface Strategy<E extends BalancedEndpoint> {
  /** The set of ready endpoints changed; replaces the former one. May take time proportional to their number. */
  update(endpoints: readonly E[]): void;
  /**
   * `exclude`: endpoints that were tried for this request, or null. Returns null only when no endpoint with a weight is left. Never
   * changes `inFlight`, and makes nothing per call.
   */
  pick(context: PickContext, exclude: readonly E[] | null): E | null;
}

export type StrategyFactory = <E extends BalancedEndpoint>(balance: BalanceConfig) => Strategy<E>;

export type StrategyRegistry = Readonly<Record<string, StrategyFactory>>;
