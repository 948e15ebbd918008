/** Keeps the triggers of the configuration running, and says for each backend what they want together. */
import { isDeepStrictEqual } from 'node:util';
import type { TriggerConfig } from '../model/config.ts';
import type { TriggerDemand } from '../model/demand.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { TriggerDefinition, TriggerRegistry, TriggerReport } from './trigger.ts';

const RESTART_MS = 1000;
const MAX_RESTART_MS = 60_000;
const MAX_REASON = 200;
/** A trigger that reports more instances than this means something else. */
const MAX_DESIRED = 1_000_000;
/** An equal report is told again after this. */
const SAME_AGAIN_MS = 1000;

export interface TriggerRunnerOptions {
  clock: Clock;
  logger: Logger;
  /** Told whenever it changes; null: the backend has no trigger, or none has reported yet. */
  onDemand: (backend: string, demand: TriggerDemand | null) => void;
  /** Told of what a trigger threw. `type`: its name in the registry. */
  onFailure: (type: string, what: string, error: unknown) => void;
}

export class TriggerRunner {
  readonly #options: TriggerRunnerOptions;
  readonly #running = new Map<string, RunningTrigger[]>();

  constructor(options: TriggerRunnerOptions) {
    this.#options = options;
  }

  /** Ends triggers that are gone or changed and starts new ones; the others go on. A type that the registry doesn't have is left out. */
  configure(backends: readonly { name: string; triggers: TriggerConfig[] }[], registry: TriggerRegistry): void {
    const wanted = new Map(backends.map(({ name, triggers }) => [name, triggers]));
    for (const name of this.#running.keys()) if (!wanted.get(name)?.length) this.#set(name, []);
    for (const [name, configs] of wanted) if (configs.length > 0) this.#set(name, configs, registry);
  }

  close(): void {
    for (const triggers of this.#running.values()) for (const trigger of triggers) trigger.stop();
    this.#running.clear();
  }

  #set(backend: string, configs: readonly TriggerConfig[], registry: TriggerRegistry = {}): void {
    const before = this.#running.get(backend) ?? [];
    const next: RunningTrigger[] = [];
    for (const config of configs) {
      const definition = Object.hasOwn(registry, config.type) ? registry[config.type] : undefined;
      if (definition === undefined) continue;
      const known = before.find((trigger) => trigger.fits(config, definition));
      next.push(known ?? new RunningTrigger(backend, config, definition, this.#options, () => this.#tell(backend)));
    }
    if (next.length === 0) this.#running.delete(backend);
    else this.#running.set(backend, next);
    for (const trigger of before) if (!next.includes(trigger)) trigger.stop();
    for (const trigger of next) if (!before.includes(trigger)) trigger.start();
    if (next.length !== before.length || next.some((trigger) => !before.includes(trigger))) this.#tell(backend);
  }

  #tell(backend: string): void {
    const reports = (this.#running.get(backend) ?? []).flatMap(({ name, type, atMs, report }) =>
      report === null ? [] : [{ name, type, atMs, ...report }],
    );
    this.#options.onDemand(
      backend,
      reports.length === 0
        ? null
        : {
            desired: Math.max(...reports.map(({ desired }) => desired)),
            active: reports.filter(({ active }) => active).map(({ name, reason }) => `trigger ${name}: ${reason}`),
            metrics: reports.map(({ name, type, atMs, active, metric }) => ({
              name,
              type,
              value: metric.value,
              target: metric.target,
              active,
              atMs,
            })),
          },
    );
  }
}

class RunningTrigger {
  readonly name: string;
  readonly type: string;
  report: Required<TriggerReport> | null = null;
  /** When it last reported, wall clock ms. */
  atMs = 0;
  readonly #config: TriggerConfig;
  readonly #definition: TriggerDefinition;
  readonly #backend: string;
  readonly #options: TriggerRunnerOptions;
  readonly #changed: () => void;
  readonly #stopped = new AbortController();
  #restartMs = RESTART_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    backend: string,
    config: TriggerConfig,
    definition: TriggerDefinition,
    options: TriggerRunnerOptions,
    changed: () => void,
  ) {
    this.name = config.name;
    this.type = config.type;
    this.#backend = backend;
    this.#config = config;
    this.#definition = definition;
    this.#options = options;
    this.#changed = changed;
  }

  fits(config: TriggerConfig, definition: TriggerDefinition): boolean {
    return definition === this.#definition && isDeepStrictEqual(config, this.#config);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort(new Error('the trigger has ended'));
  }

  start(): void {
    if (this.#stopped.signal.aborted) return;
    const { logger, clock } = this.#options;
    // Each run has its own end, so that a run that failed gives back what it holds before the next one begins.
    const run = new AbortController();
    const signal = AbortSignal.any([run.signal, this.#stopped.signal]);
    const failed = (error: unknown): void => {
      if (signal.aborted) return;
      run.abort(error);
      this.#options.onFailure(this.#config.type, `watch for ${this.#backend}`, error);
      this.#timer = setTimeout(() => this.start(), this.#restartMs);
      this.#restartMs = Math.min(this.#restartMs * 2, MAX_RESTART_MS);
    };
    try {
      const started: unknown = this.#definition.start(
        this.#config.options as never,
        signal,
        (report) => {
          if (signal.aborted) return;
          try {
            this.#take(report);
          } catch (error) {
            failed(error);
          }
        },
        {
          backend: this.#backend,
          name: this.name,
          clock,
          logger: logger.child({ backend: this.#backend, trigger: this.name }),
        },
      );
      if (started instanceof Promise) started.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Throws an Error when it is no report. */
  #take(report: TriggerReport): void {
    const { active, desired, reason, metric } = report;
    if (typeof active !== 'boolean' || typeof desired !== 'number' || !(desired >= 0) || typeof reason !== 'string')
      throw new TypeError('it reported something else than { active, desired, reason }');
    if (metric !== undefined && !isMetric(metric))
      throw new TypeError('its metric is something else than { value >= 0, target > 0, activation }');
    this.#restartMs = RESTART_MS;
    const instances = Math.min(Math.ceil(desired), MAX_DESIRED);
    const taken = {
      active,
      desired: instances,
      reason: reason.length > MAX_REASON ? `${reason.slice(0, MAX_REASON - 1)}…` : reason,
      metric:
        metric === undefined
          ? { value: instances, target: 1, activation: 0 }
          : { value: metric.value, target: metric.target, activation: metric.activation },
    };
    const atMs = this.#options.clock.wallMs();
    // The same again is told only so that nobody takes the number for an old one.
    if (isDeepStrictEqual(taken, this.report) && atMs - this.atMs < SAME_AGAIN_MS) return;
    this.report = taken;
    this.atMs = atMs;
    this.#changed();
  }
}

function isMetric({ value, target, activation }: NonNullable<TriggerReport['metric']>): boolean {
  return (
    Number.isFinite(value) && value >= 0 && Number.isFinite(target) && target > 0 && typeof activation === 'number'
  );
}
