/**
 * Metrics as plain data. The data path counts in plain fields; a scrape collects those fields into families, adds up the families of
 * all workers and renders them. Names follow Prometheus conventions (base units, `_total` on counters) with the prefix `dormouse_`.
 */
export interface MetricFamily {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  series: MetricSeries[];
}

export interface MetricSeries {
  labels: Record<string, string>;
  /** For counter and gauge. */
  value?: number;
  /** For histogram: `counts[i]` observations <= bounds[i] and > bounds[i-1] (not cumulative), the last count is +Inf, so counts.length = bounds.length + 1. */
  histogram?: { bounds: readonly number[]; counts: number[]; sum: number };
}

/** Upper bounds in seconds of the request and wake duration histograms. */
export const DURATION_BOUNDS_SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];
