/** How many instances one backend is meant to have while it is awake: its limits, its windows and the state of its autoscaler. */
import type { ScaleConfig } from '../model/config.ts';
import {
  TICK_MS,
  clampScale,
  desiredScale,
  initialScaleState,
  panicWindowMs,
  targetPerInstance,
  type ScaleDecision,
  type ScaleLimits,
  type ScaleState,
} from '../autoscaling/index.ts';
import { delayed, delayWindow, type DelayWindow } from '../autoscaling/delay-window.ts';
import type { DemandSum } from './demand-sum.ts';

export class Scaling {
  /** What the requests alone ask for; the triggers' share is added to it. */
  #ownAsk = 1;
  #triggerDelay: DelayWindow;
  #config: ScaleConfig;
  #limits: ScaleLimits;
  #state: ScaleState;

  constructor(config: ScaleConfig) {
    this.#config = config;
    this.#limits = limitsOf(config);
    this.#state = initialScaleState(this.#limits);
    this.#triggerDelay = delayWindow(config.scaleDownDelayMs, TICK_MS);
  }

  reconfigure(config: ScaleConfig): void {
    const delayChanged = config.scaleDownDelayMs !== this.#config.scaleDownDelayMs;
    this.#config = config;
    this.#limits = limitsOf(config);
    if (!delayChanged) return;
    this.#state = initialScaleState(this.#limits);
    this.#triggerDelay = delayWindow(config.scaleDownDelayMs, TICK_MS);
  }

  /** True when there is anything to decide between one and max. */
  get active(): boolean {
    return this.#config.by === 'dormouse' && this.#limits.max > this.#limits.min;
  }

  /** The panic window, which is also what status shows as "now". */
  get shortWindowMs(): number {
    return panicWindowMs(this.#config.windows.stableMs, this.#config.windows.panicPercent);
  }

  /** The number to start with: what waits now, within the limits. */
  first(held: number): number {
    if (this.#config.by !== 'dormouse' || this.#config.target.metric !== 'concurrency') return this.clamp(1);
    return this.clamp(Math.ceil(held / targetPerInstance(this.#limits)));
  }

  clamp(count: number): number {
    return clampScale(count, this.#limits);
  }

  /** A new awake period begins without the panic of the last one. */
  reset(): void {
    this.#state = initialScaleState(this.#limits);
    this.#triggerDelay = delayWindow(this.#config.scaleDownDelayMs, TICK_MS);
    this.#ownAsk = 1;
  }

  /** `triggers`: instances that the triggers ask for; null: there are none. `alone`: a formula has requests in it already, which ask for nothing besides. */
  decide(
    demand: DemandSum<unknown>,
    nowMs: number,
    ready: number,
    present: number,
    triggers: number | null,
    alone = false,
  ): ScaleDecision {
    if (triggers === null) return this.#ofRequests(demand, nowMs, ready, present);
    const own = this.#ofRequests(demand, nowMs, ready, this.clamp(this.#ownAsk));
    this.#ownAsk = own.desired;
    const slowed = delayed(this.#triggerDelay, nowMs, triggers);
    this.#triggerDelay = slowed.window;
    const desired = this.clamp(alone ? slowed.max : Math.max(own.desired, slowed.max));
    const reason = alone || slowed.max > own.desired ? `triggers ask for ${slowed.max}` : own.reason;
    return { decision: desired === present ? 'hold' : 'scale', desired, reason };
  }

  /**
   * The load of requests over the stable window, and what one instance is meant to have of it: scale.target times utilization. `burst`: the larger of that
   * and the panic window's.
   */
  ofRequests(demand: DemandSum<unknown>, nowMs: number): { value: number; burst: number; target: number } {
    const value = this.#average(demand, nowMs, this.#config.windows.stableMs);
    const burst = Math.max(value, this.#average(demand, nowMs, this.shortWindowMs));
    return { value, burst, target: targetPerInstance(this.#limits) };
  }

  #average(demand: DemandSum<unknown>, nowMs: number, windowMs: number): number {
    return this.#config.target.metric === 'rps'
      ? demand.requestsPerSecond(nowMs, windowMs)
      : demand.concurrency(nowMs, windowMs);
  }

  #ofRequests(demand: DemandSum<unknown>, nowMs: number, ready: number, present: number): ScaleDecision {
    const { stableMs } = this.#config.windows;
    const { result, state } = desiredScale(this.#limits, this.#state, {
      nowMs,
      stable: this.#average(demand, nowMs, stableMs),
      panic: this.#average(demand, nowMs, this.shortWindowMs),
      ready,
      present,
      hasData: demand.hasData(nowMs),
    });
    this.#state = state;
    return result;
  }
}

/** While a backend is awake its least number is one: zero is the idle rule's business. */
function limitsOf(config: ScaleConfig): ScaleLimits {
  const min = Math.max(1, config.min);
  return {
    min,
    // 0 and 1 only where somebody else does the rest.
    max: config.by !== 'dormouse' ? min : Math.max(min, config.max),
    targetValue: config.target.value,
    utilizationPercent: config.target.utilizationPercent,
    stableWindowMs: config.windows.stableMs,
    upRate: config.rates.up,
    downRate: config.rates.down,
    panicThresholdPercent: config.windows.panicThresholdPercent,
    scaleDownDelayMs: config.scaleDownDelayMs,
  };
}
