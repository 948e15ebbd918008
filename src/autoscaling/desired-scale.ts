/**
 * How many instances the measured demand asks for. The formulas are those of Knative's pod autoscaler; time comes in as a parameter and the state
 * goes out as a value, so that a decision can be replayed.
 *
 *     TV = max(0.01, total * utilization)         R = max(1, ready)
 *     up = ceil(R * upRate)                       down = floor(R / downRate), 0 when the target may not be reached
 *     ds = ceil(S / TV)                           dp = ceil(P / TV)
 *     A = min(max(ds, down), up)                  B = min(max(dp, down), up)
 *     dp / R >= threshold                         -> panic from now on, until W has passed without it
 *     D = panicking ? the greatest of A and B since the panic began : A
 *     D = the greatest D of the last ceil(delay / 2 s) slots, clamped to [min, max]
 */
import { delayed, delayWindow, type DelayWindow } from './delay-window.ts';

/** How often a decision is made, and the length of one slot of the scale-down delay. */
export const TICK_MS = 2000;

export interface ScaleLimits {
  min: number;
  /** 0: no bound. */
  max: number;
  /** What one instance takes at 100 %: requests at once, or requests per second. */
  targetValue: number;
  /** 0 to 100. */
  utilizationPercent: number;
  /** W. */
  stableWindowMs: number;
  /** >= 1: at most this many times more instances in one step. */
  upRate: number;
  /** >= 1: at most this many times fewer. */
  downRate: number;
  panicThresholdPercent: number;
  scaleDownDelayMs: number;
  /** The least number of instances of a backend that has any demand; 1: no such rule. */
  activationScale?: number;
  /** False: nothing sends to it, so that it may shrink in one step. */
  reachable?: boolean;
}

export interface ScaleState {
  /** When the present panic was last confirmed; null: no panic. */
  readonly panicAtMs: number | null;
  /** The greatest number since the panic began. */
  readonly maxPanic: number;
  readonly delay: DelayWindow;
}

export interface ScaleInput {
  nowMs: number;
  /** S: stable average of concurrency or of requests per second. */
  stable: number;
  /** P: panic average. */
  panic: number;
  /** R0: instances that are ready. */
  ready: number;
  /** What is wanted now: kept when there is no data. */
  present: number;
  /** False when nothing was reported for longer than the stable window. */
  hasData: boolean;
}

export type ScaleDecision =
  | { decision: 'hold'; desired: number; reason: string }
  | { decision: 'scale'; desired: number; reason: string };

export function initialScaleState(limits: Pick<ScaleLimits, 'scaleDownDelayMs'>): ScaleState {
  return { panicAtMs: null, maxPanic: 0, delay: delayWindow(limits.scaleDownDelayMs, TICK_MS) };
}

/** TV: what one instance is meant to have. */
export function targetPerInstance(limits: Pick<ScaleLimits, 'targetValue' | 'utilizationPercent'>): number {
  return Math.max(0.01, (limits.targetValue * limits.utilizationPercent) / 100);
}

/** The length of the panic window: max(1 s, round(W * percent / 100)), whole seconds. */
export function panicWindowMs(stableWindowMs: number, panicPercent: number): number {
  return Math.max(1, Math.round((stableWindowMs / 1000) * (panicPercent / 100))) * 1000;
}

export function clampScale(value: number, limits: Pick<ScaleLimits, 'min' | 'max'>): number {
  const raised = Math.max(value, limits.min);
  return limits.max === 0 ? raised : Math.min(raised, limits.max);
}

/** One decision. `decision: 'scale'` when the clamped number differs from `present`. */
export function desiredScale(
  limits: ScaleLimits,
  state: ScaleState,
  input: ScaleInput,
): { result: ScaleDecision; state: ScaleState } {
  if (!input.hasData) {
    const desired = clampScale(input.present, limits);
    return {
      result: outcome(input.present, desired, `no demand was reported for ${seconds(limits.stableWindowMs)}`),
      state,
    };
  }
  const perInstance = targetPerInstance(limits);
  const instances = Math.max(1, input.ready);
  const up = Math.ceil(instances * limits.upRate);
  const down = limits.reachable === false ? 0 : Math.floor(instances / limits.downRate);
  const stableAsks = Math.ceil(input.stable / perInstance);
  const panicAsks = Math.ceil(input.panic / perInstance);
  const activation = limits.activationScale ?? 1;
  const bounded = (asks: number): number => {
    const value = Math.min(Math.max(asks, down), up);
    return activation > 1 && asks > 0 ? Math.max(value, activation) : value;
  };
  const fromStable = bounded(stableAsks);
  const fromPanic = bounded(panicAsks);

  const over = panicAsks / instances >= limits.panicThresholdPercent / 100;
  let panicAtMs = state.panicAtMs;
  let maxPanic = state.maxPanic;
  if (over) panicAtMs = input.nowMs;
  else if (panicAtMs !== null && panicAtMs + limits.stableWindowMs < input.nowMs) {
    panicAtMs = null;
    maxPanic = 0;
  }
  let wanted = fromStable;
  if (panicAtMs !== null) {
    maxPanic = Math.max(maxPanic, fromStable, fromPanic);
    wanted = maxPanic;
  }
  const slowed = delayed(state.delay, input.nowMs, wanted);
  const desired = clampScale(slowed.max, limits);
  return {
    result: outcome(
      input.present,
      desired,
      explain(limits, input, { perInstance, wanted, slowed: slowed.max, desired, panicking: panicAtMs !== null }),
    ),
    state: { panicAtMs, maxPanic, delay: slowed.window },
  };
}

function outcome(present: number, desired: number, reason: string): ScaleDecision {
  return { decision: desired === present ? 'hold' : 'scale', desired, reason };
}

interface Steps {
  perInstance: number;
  wanted: number;
  slowed: number;
  desired: number;
  panicking: boolean;
}

function explain(limits: ScaleLimits, input: ScaleInput, steps: Steps): string {
  const average = steps.panicking ? Math.max(input.panic, input.stable) : input.stable;
  let text = `average demand ${round(average)}, ${round(steps.perInstance)} for each instance`;
  if (steps.panicking) text += ', panic (no scale-down)';
  if (steps.slowed > steps.wanted) text += `, scale-down delayed by ${seconds(limits.scaleDownDelayMs)}`;
  if (steps.desired < steps.slowed) text += `, scale.max is ${limits.max}`;
  if (steps.desired > steps.slowed) text += `, scale.min is ${limits.min}`;
  return text;
}

function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
