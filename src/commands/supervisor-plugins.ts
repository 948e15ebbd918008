/** Triggers, idle sources and metrics sinks, which run in the supervisor: those of plugins, and idle sources, are loaded when the configuration uses them. */
import type { Config } from '../model/config.ts';
import type { IdleRunner } from '../idle/idle-runner.ts';
import type { IdleVerdict, TriggerDemand } from '../model/demand.ts';
import { DormouseError } from '../model/errors.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger } from '../model/ports.ts';
import { PluginFailures } from '../plugins/plugin-failures.ts';
import type { MetricsSinkDefinition } from '../telemetry/metrics-sink.ts';
import { MetricsSinks } from '../telemetry/metrics-sinks.ts';
import { triggers as ownTriggers } from '../triggers/registry.ts';
import type { TriggerDefinition } from '../triggers/trigger.ts';
import { TriggerRunner } from '../triggers/trigger-runner.ts';

export interface SupervisorPluginsOptions {
  clock: Clock;
  logger: Logger;
  /** All metrics of this moment. */
  collect: () => Promise<MetricFamily[]>;
  triggered: (backend: string, demand: TriggerDemand | null) => void;
  idle: (backend: string, verdict: IdleVerdict | null) => void;
}

/** Loaded for one configuration. */
export interface SupervisorParts {
  triggers: Record<string, TriggerDefinition>;
  metricsSinks: Record<string, MetricsSinkDefinition>;
  /** Names of the plugins that the parts are from, by kind and part. */
  owners: Map<string, string>;
}

export class SupervisorPlugins {
  readonly #failures: PluginFailures;
  readonly #triggers: TriggerRunner;
  readonly #sinks: MetricsSinks;
  #owners: ReadonlyMap<string, string> = new Map();
  readonly #makeIdle: (Runner: typeof IdleRunner) => IdleRunner;
  /** null: no configuration has needed it. */
  #idle: IdleRunner | null = null;

  constructor(options: SupervisorPluginsOptions) {
    const { clock, logger } = options;
    this.#failures = new PluginFailures({ clock, logger });
    const onFailure =
      (kind: 'trigger' | 'metrics sink') =>
      (part: string, what: string, error: unknown): void =>
        this.#failures.count({ plugin: this.#owners.get(`${kind} ${part}`) ?? 'dormouse', kind, part }, what, error);
    this.#triggers = new TriggerRunner({ clock, logger, onDemand: options.triggered, onFailure: onFailure('trigger') });
    this.#makeIdle = (Runner) => new Runner({ clock, logger, onVerdict: options.idle });
    this.#sinks = new MetricsSinks({ logger, collect: options.collect, onFailure: onFailure('metrics sink') });
  }

  /** Loads what the configuration needs here; nothing is changed yet. Rejects with DORMOUSE_PLUGIN. Bounded: 10 s for each plugin. */
  async prepare(config: Config): Promise<SupervisorParts> {
    const parts: SupervisorParts = { triggers: { ...ownTriggers }, metricsSinks: {}, owners: new Map() };
    if (this.#idle === null && config.backends.some(needsIdleSources))
      this.#idle = this.#makeIdle((await import('../idle/idle-runner.ts')).IdleRunner);
    const types = new Set(config.backends.flatMap(({ triggers }) => triggers.map(({ type }) => type)));
    for (const type of Object.keys(ownTriggers)) types.delete(type);
    if (types.size === 0 && config.telemetry.metricsSinks.length === 0) return parts;
    const { loadPlugin } = await import('../plugins/load-plugin.ts');
    for (const found of config.plugins) {
      const plugin = await loadPlugin(found).catch((error: Error) => {
        throw new DormouseError('DORMOUSE_PLUGIN', `the plugin ${found.path} can't be loaded: ${error.message}`, {
          cause: error,
          userFault: true,
        });
      });
      this.#failures.loaded(plugin.name, found.path);
      for (const [part, definition] of Object.entries(plugin.triggers ?? {})) {
        parts.triggers[part] ??= definition;
        parts.owners.set(`trigger ${part}`, plugin.name);
      }
      for (const [part, definition] of Object.entries(plugin.metricsSinks ?? {})) {
        parts.metricsSinks[part] ??= definition;
        parts.owners.set(`metrics sink ${part}`, plugin.name);
      }
    }
    return parts;
  }

  /** The configuration is in force. */
  apply(config: Config, parts: SupervisorParts): void {
    this.#owners = parts.owners;
    this.#triggers.configure(config.backends, parts.triggers);
    this.#idle?.configure(config.backends);
    this.#sinks.configure(config.telemetry.metricsSinks, parts.metricsSinks);
  }

  /** Bounded: a few seconds. */
  async close(): Promise<void> {
    this.#triggers.close();
    this.#idle?.close();
    await this.#sinks.close();
  }

  /** Whether an error that nobody caught is a plugin's alone; then it is counted and logged. */
  claims(error: unknown, origin: 'uncaughtException' | 'unhandledRejection'): boolean {
    return this.#failures.claims(error, origin);
  }

  families(): MetricFamily[] {
    return [...this.#failures.families(), ...this.#triggers.families()];
  }
}

function needsIdleSources({ idle, wake }: Config['backends'][number]): boolean {
  return idle.prometheus !== null || idle.schedule !== null || wake.before !== null;
}
