/**
 * What a plugin is: a module whose default export (or an export with the name `plugin`) is a `Plugin`. The file names it in `plugins:`. These types are the
 * package's export `dormouse/plugin`; there is nothing to import at run time: `import type { Plugin } from 'dormouse/plugin'`.
 */
import type { BalancedEndpoint, PickContext, Strategy } from '../gateway/balancing/strategy.ts';
import type { RequestEdit, ResponseEdit } from '../gateway/filters/edits.ts';
import type { Logger } from '../model/ports.ts';
import type { OptionsSchema } from '../model/options-schema.ts';
import type { MetricsSinkDefinition } from '../telemetry/metrics-sink.ts';
import type { TriggerDefinition } from '../triggers/trigger.ts';

export interface Plugin {
  /** For messages: a-z, 0-9, - and the like. */
  name: string;
  /** By the names that `balance.strategy` has for them. They run in workers. */
  strategies?: Readonly<Record<string, StrategyDefinition>>;
  /** By the names that `filters` have for them. They run in workers. */
  filters?: Readonly<Record<string, FilterDefinition>>;
  /** By the names that `telemetry.metricsSinks` have for them. They run in the supervisor. */
  metricsSinks?: Readonly<Record<string, MetricsSinkDefinition>>;
  /** By the names that `triggers` of backends have for them. They run in the supervisor. */
  triggers?: Readonly<Record<string, TriggerDefinition>>;
}

export interface StrategyDefinition {
  /** How `balance.options` are checked; without it there are none. */
  options?: OptionsSchema;
  /** Called per backend and worker, and again when its options or the plugin change. */
  create(options: never, context: { readonly logger: Logger }): PluginStrategy;
}

/** One that throws, or picks what it was not offered, is replaced by round-robin for that request. */
export type PluginStrategy = Strategy<BalancedEndpoint>;

export interface FilterDefinition {
  /** How its options are checked; without it there are none. */
  options?: OptionsSchema;
  /** It answers each request that comes to it, so that its rule needs no backends. */
  answers?: boolean;
  /** Called for each place of the filter in the routes, per worker, with each new configuration. */
  create(options: never, context: PluginFilterContext): PluginFilter;
}

export interface PluginFilterContext {
  readonly route: string;
  readonly logger: Logger;
}

/** A response that the filter gives instead of the backend. */
export interface PluginAnswer {
  status: number;
  /** Without those of framing; length and date are added. */
  headers?: Readonly<Record<string, string | readonly string[]>>;
  body?: string;
}

export type PluginVerdict = PluginAnswer | null | undefined | void;

/** Each part may be left out. One that throws, or whose promise rejects or takes longer than 30 s, gives 500. */
export interface PluginFilter {
  /** Runs before a backend is chosen or woken. An answer ends the request; nothing goes on. A promise holds the request meanwhile. */
  request?(edit: RequestEdit): PluginVerdict | Promise<PluginVerdict>;
  /** Runs when the whole body is there, after all `request` steps. */
  body?: {
    /** A longer body is answered 413. */
    limitBytes: number;
    wants(edit: RequestEdit): boolean;
    /** A Buffer is sent instead of the body. */
    run(edit: RequestEdit, body: Buffer): PluginVerdict | Buffer | Promise<PluginVerdict | Buffer>;
  };
  /** Runs when the head of the response is there, be it the backend's or dormouse's own. Must not wait. */
  response?(edit: ResponseEdit): void;
  /** The configuration was replaced and its last request is over. */
  close?(): void;
}

export type { BalancedEndpoint, PickContext, RequestEdit, ResponseEdit };
export type { BodyOutput, BodyTransform } from '../gateway/filters/body-transform.ts';
export type { RequestView } from '../gateway/request-view.ts';
export type { MetricFamily, MetricSeries } from '../model/metrics.ts';
export type { OptionsSchema, StandardSchema } from '../model/options-schema.ts';
export type { Clock, Logger } from '../model/ports.ts';
export type { MetricsSink, MetricsSinkContext, MetricsSinkDefinition } from '../telemetry/metrics-sink.ts';
export type { TriggerContext, TriggerDefinition, TriggerReport } from '../triggers/trigger.ts';
