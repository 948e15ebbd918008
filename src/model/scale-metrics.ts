/** What a backend is scaled by where nothing was measured: in place, without a trigger, there is nothing to go by between one and max. */
import type { ScaleMetric } from './demand.ts';

/** `metrics` as they are, or the one of a backend that has none: one instance while it is wanted. */
export function orAwake(metrics: readonly ScaleMetric[], wanted: boolean, atMs: number): readonly ScaleMetric[] {
  if (metrics.length > 0) return metrics;
  return [{ name: 'awake', value: wanted ? 1 : 0, target: 1, active: wanted, atMs }];
}
