/** Keeps the triggers of the configuration running, and says for each backend what they want together. */
import { isDeepStrictEqual } from 'node:util';
import type { TriggerConfig } from '../model/config.ts';
import type { TriggerDemand, TriggerTrouble } from '../model/demand.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { TriggerDefinition, TriggerRegistry, TriggerReport } from './trigger.ts';

const RESTART_MS = 1000;
const MAX_RESTART_MS = 60_000;
const MAX_REASON = 200;
const MAX_FAILURE = 300;
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
  /** Reads a Secret of the backend's namespace; there are none when left out. */
  readSecret?: (backend: string, name: string, signal: AbortSignal) => Promise<Readonly<Record<string, string>>>;
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

  /**
   * Has sources asked anew whose last answer is older than `maxAgeMs`. Resolves when each has answered or failed, or `signal` has aborted; never rejects. Sources that tell of
   * changes by themselves are not asked.
   */
  async refresh(backend: string, maxAgeMs: number, signal: AbortSignal): Promise<void> {
    await Promise.all((this.#running.get(backend) ?? []).map((trigger) => trigger.refresh(maxAgeMs, signal)));
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
      if (known !== undefined) {
        next.push(known);
        continue;
      }
      const made = new RunningTrigger(backend, config, definition, this.#options, () => this.#tell(backend));
      made.inherit(before.find(({ name, type }) => name === config.name && type === config.type));
      next.push(made);
    }
    if (next.length === 0) this.#running.delete(backend);
    else this.#running.set(backend, next);
    for (const trigger of before) if (!next.includes(trigger)) trigger.stop();
    for (const trigger of next) if (!before.includes(trigger)) trigger.start();
    if (next.length !== before.length || next.some((trigger) => !before.includes(trigger))) this.#tell(backend);
  }

  /** What a scrape reads. Labels are names of the configuration. */
  families(): MetricFamily[] {
    const gauge = (name: string, help: string): MetricFamily => ({ name, type: 'gauge', help, series: [] });
    const value = gauge('dormouse_trigger_value', 'What a trigger measured last, of the whole backend.');
    const target = gauge('dormouse_trigger_target', 'How much of it one instance is meant to have.');
    const active = gauge('dormouse_trigger_active', '1 when the trigger alone is a reason to be awake.');
    const failing = gauge('dormouse_trigger_failing', '1 when its source could not be asked the last time.');
    const failures: MetricFamily = {
      name: 'dormouse_trigger_failures_total',
      type: 'counter',
      help: 'Times that the source of a trigger could not be asked.',
      series: [],
    };
    for (const [backend, triggers] of this.#running) {
      for (const { name: trigger, type, report, trouble, failures: failed } of triggers) {
        const labels = { backend, trigger, type };
        if (report !== null) {
          value.series.push({ labels, value: report.metric.value });
          target.series.push({ labels, value: report.metric.target });
          active.series.push({ labels, value: Number(report.active) });
        }
        failing.series.push({ labels, value: Number(trouble !== null) });
        failures.series.push({ labels, value: failed });
      }
    }
    return [value, target, active, failing, failures];
  }

  #tell(backend: string): void {
    const reports = (this.#running.get(backend) ?? []).flatMap(({ name, type, atMs, report }) =>
      report === null ? [] : [{ name, type, atMs, ...report }],
    );
    const troubles = (this.#running.get(backend) ?? []).flatMap(({ name, type, trouble }) =>
      trouble === null ? [] : [{ name, type, ...trouble }],
    );
    this.#options.onDemand(
      backend,
      reports.length === 0 && troubles.length === 0
        ? null
        : {
            desired: Math.max(0, ...reports.map(({ desired }) => desired)),
            active: reports.filter(({ active }) => active).map(({ name, reason }) => `trigger ${name}: ${reason}`),
            metrics: reports.map(({ name, type, atMs, active, reason, metric }) => ({
              name,
              type,
              value: metric.value,
              target: metric.target,
              active,
              reason,
              atMs,
            })),
            troubles,
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
  /** null: its source answers. */
  trouble: Pick<TriggerTrouble, 'sinceMs' | 'failures' | 'reason'> | null = null;
  /** All there ever were. */
  failures = 0;
  readonly #config: TriggerConfig;
  readonly #definition: TriggerDefinition;
  readonly #backend: string;
  readonly #options: TriggerRunnerOptions;
  readonly #changed: () => void;
  readonly #logger: Logger;
  readonly #stopped = new AbortController();
  #restartMs = RESTART_MS;
  /** When its source answered last, or failed to; monotonic ms. */
  #heardMs = Number.NEGATIVE_INFINITY;
  #askAgain: (() => void) | null = null;
  /** Who waits for the next answer. */
  readonly #waiting = new Set<() => void>();
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
    this.#logger = options.logger.child({ backend, trigger: config.name });
  }

  fits(config: TriggerConfig, definition: TriggerDefinition): boolean {
    return definition === this.#definition && isDeepStrictEqual(config, this.#config);
  }

  /** What the one in its place said stands until it says something itself. */
  inherit(before: RunningTrigger | undefined): void {
    if (before === undefined) return;
    this.report = before.report;
    this.atMs = before.atMs;
    this.trouble = before.trouble;
    this.failures = before.failures;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stopped.abort(new Error('the trigger has ended'));
  }

  refresh(maxAgeMs: number, signal: AbortSignal): Promise<void> {
    if (this.#askAgain === null || this.#options.clock.nowMs() - this.#heardMs <= maxAgeMs) return Promise.resolve();
    const ended = AbortSignal.any([signal, this.#stopped.signal]);
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        ended.removeEventListener('abort', done);
        resolve();
      };
      if (ended.aborted) return done();
      ended.addEventListener('abort', done);
      this.#waiting.add(done);
      this.#askAgain?.();
    });
  }

  #heard(): void {
    this.#heardMs = this.#options.clock.nowMs();
    for (const done of [...this.#waiting]) done();
  }

  start(): void {
    if (this.#stopped.signal.aborted) return;
    const { clock } = this.#options;
    // Each run has its own end, so that a run that failed gives back what it holds before the next one begins.
    const run = new AbortController();
    const signal = AbortSignal.any([run.signal, this.#stopped.signal]);
    this.#askAgain = null;
    const failed = (error: unknown): void => {
      if (signal.aborted) return;
      run.abort(error);
      this.#failed(error instanceof Error ? error.message : String(error));
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
          logger: this.#logger,
          failed: (reason) => {
            if (!signal.aborted) this.#failed(reason);
          },
          onAsked: (listener) => {
            if (!signal.aborted) this.#askAgain = listener;
          },
          readSecret: (name, bound) => this.#readSecret(name, bound),
        },
      );
      if (started instanceof Promise) started.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** Told once in the log, and each time to whom the number of failures matters. */
  #failed(reason: string): void {
    const shown = cut(reason, MAX_FAILURE);
    const before = this.trouble;
    this.failures++;
    this.trouble = {
      sinceMs: before?.sinceMs ?? this.#options.clock.wallMs(),
      failures: (before?.failures ?? 0) + 1,
      reason: shown,
    };
    if (before?.reason !== shown)
      this.#logger.warn('its source can not be asked; the scale stays as it is', { reason: shown });
    this.#changed();
    this.#heard();
  }

  #readSecret(name: string, signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const { readSecret } = this.#options;
    if (readSecret !== undefined) return readSecret(this.#backend, name, signal);
    return Promise.reject(new Error(`the Secret ${name} can't be read: Secrets are for objects of a cluster`));
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
      reason: cut(reason, MAX_REASON),
      metric:
        metric === undefined
          ? { value: instances, target: 1, activation: 0 }
          : { value: metric.value, target: metric.target, activation: metric.activation },
    };
    const atMs = this.#options.clock.wallMs();
    const wasFailing = this.trouble !== null;
    if (wasFailing) {
      this.#logger.info('its source answers again', { failures: this.trouble?.failures });
      this.trouble = null;
    }
    // The same again is told only so that nobody takes the number for an old one.
    if (wasFailing || !isDeepStrictEqual(taken, this.report) || atMs - this.atMs >= SAME_AGAIN_MS) {
      this.report = taken;
      this.atMs = atMs;
      this.#changed();
    }
    this.#heard();
  }
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function isMetric({ value, target, activation }: NonNullable<TriggerReport['metric']>): boolean {
  return (
    Number.isFinite(value) && value >= 0 && Number.isFinite(target) && target > 0 && typeof activation === 'number'
  );
}
