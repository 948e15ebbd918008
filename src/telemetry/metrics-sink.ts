/** What a metrics sink is: somebody who is given all metrics regularly (statsd, a push gateway), beside those that scrape them. */
import type { MetricFamily } from '../model/metrics.ts';
import type { OptionsSchema } from '../model/options-schema.ts';
import type { Logger } from '../model/ports.ts';

export interface MetricsSink {
  /**
   * Takes the metrics of this moment: counters as totals since the start, of all workers together. The next ones come after the interval, and not before a
   * returned promise has settled. `signal` aborts after 10 s, and when dormouse ends.
   */
  write(families: readonly MetricFamily[], signal: AbortSignal): void | Promise<void>;
  /** The configuration names it no more, or dormouse ends: give back what it holds. */
  close?(): void | Promise<void>;
}

export interface MetricsSinkContext {
  /** Says which sink it is on each line. */
  readonly logger: Logger;
}

export interface MetricsSinkDefinition {
  /** How its options are checked; without it there are none. */
  options?: OptionsSchema;
  create(options: never, context: MetricsSinkContext): MetricsSink;
}

export type MetricsSinkRegistry = Readonly<Record<string, MetricsSinkDefinition>>;
