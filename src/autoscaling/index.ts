/** Pure functions of (windows, limits, now). No clock of its own. */
export { SecondBuckets } from './second-buckets.ts';
export { idleRule, span, type IdleDecision, type IdleInput } from './idle-rule.ts';
export {
  clampScale,
  desiredScale,
  initialScaleState,
  panicWindowMs,
  targetPerInstance,
  TICK_MS,
  type ScaleDecision,
  type ScaleInput,
  type ScaleLimits,
  type ScaleState,
} from './desired-scale.ts';
