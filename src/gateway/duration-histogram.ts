import { DURATION_BOUNDS_SECONDS } from '../model/metrics.ts';
import type { MetricSeries } from '../model/metrics.ts';

/** A histogram of durations in plain fields. */
export class DurationHistogram {
  readonly counts: Float64Array;
  sumMs = 0;
  private readonly boundsSeconds: readonly number[];

  constructor(boundsSeconds: readonly number[] = DURATION_BOUNDS_SECONDS) {
    this.boundsSeconds = boundsSeconds;
    this.counts = new Float64Array(boundsSeconds.length + 1);
  }

  observe(durationMs: number): void {
    this.sumMs += durationMs;
    const bounds = this.boundsSeconds;
    const seconds = durationMs / 1000;
    let i = 0;
    while (i < bounds.length && seconds > bounds[i]!) i++;
    this.counts[i]!++;
  }

  get count(): number {
    let n = 0;
    for (const c of this.counts) n += c;
    return n;
  }

  snapshot(): NonNullable<MetricSeries['histogram']> {
    return { bounds: this.boundsSeconds, counts: Array.from(this.counts), sum: this.sumMs / 1000 };
  }
}
