/** Gives the metrics to each sink of the configuration, every so often. */
import { isDeepStrictEqual } from 'node:util';
import type { MetricsSinkConfig } from '../model/config.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Logger } from '../model/ports.ts';
import type { MetricsSink, MetricsSinkDefinition, MetricsSinkRegistry } from './metrics-sink.ts';

/** For one write, and for a close, ms. */
const WRITE_BOUND_MS = 10_000;
const CLOSE_BOUND_MS = 2000;

export interface MetricsSinksOptions {
  logger: Logger;
  /** All metrics of this moment. */
  collect: () => Promise<MetricFamily[]>;
  /** Told of what a sink threw. `type`: its name in the registry. */
  onFailure: (type: string, what: string, error: unknown) => void;
}

export class MetricsSinks {
  readonly #options: MetricsSinksOptions;
  #running: RunningSink[] = [];

  constructor(options: MetricsSinksOptions) {
    this.#options = options;
  }

  /** Sinks that are gone or changed are closed in the background, the others go on. */
  configure(configs: readonly MetricsSinkConfig[], registry: MetricsSinkRegistry): void {
    const before = this.#running;
    const next: RunningSink[] = [];
    for (const config of configs) {
      const definition = Object.hasOwn(registry, config.type) ? registry[config.type] : undefined;
      if (definition === undefined) continue;
      const known = before.find((sink) => !next.includes(sink) && sink.fits(config, definition));
      next.push(known ?? new RunningSink(config, definition, this.#options));
    }
    this.#running = next;
    for (const sink of before) if (!next.includes(sink)) void sink.close();
  }

  /** The last metrics are written first. Bounded. */
  async close(): Promise<void> {
    const running = this.#running;
    this.#running = [];
    await Promise.all(running.map((sink) => sink.close()));
  }
}

class RunningSink {
  readonly #config: MetricsSinkConfig;
  readonly #definition: MetricsSinkDefinition;
  readonly #options: MetricsSinksOptions;
  readonly #closing = new AbortController();
  #sink: MetricsSink | null = null;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | null = null;

  constructor(config: MetricsSinkConfig, definition: MetricsSinkDefinition, options: MetricsSinksOptions) {
    this.#config = config;
    this.#definition = definition;
    this.#options = options;
    this.#next();
  }

  fits(config: MetricsSinkConfig, definition: MetricsSinkDefinition): boolean {
    return definition === this.#definition && isDeepStrictEqual(config, this.#config);
  }

  #next(): void {
    this.#timer = setTimeout(() => {
      this.#writing = this.#write(this.#closing.signal).finally(() => {
        this.#writing = null;
        if (!this.#closing.signal.aborted) this.#next();
      });
    }, this.#config.intervalMs);
    this.#timer.unref();
  }

  /** Never rejects, and settles within the bound. */
  async #write(ending: AbortSignal | null): Promise<void> {
    try {
      // Made here so that one that can't be made is tried again.
      this.#sink ??= this.#definition.create(this.#config.options as never, {
        logger: this.#options.logger.child({ metricsSink: this.#config.type }),
      });
      const families = await this.#options.collect();
      const late = AbortSignal.timeout(ending === null ? CLOSE_BOUND_MS : WRITE_BOUND_MS);
      const signal = ending === null ? late : AbortSignal.any([late, ending]);
      await within(signal, Promise.resolve(this.#sink.write(families, signal)));
    } catch (error) {
      if (ending?.aborted !== true) this.#options.onFailure(this.#config.type, 'write', error);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing.abort(new Error('the metrics sink has ended'));
    await this.#writing;
    await this.#write(null);
    try {
      await within(AbortSignal.timeout(CLOSE_BOUND_MS), Promise.resolve(this.#sink?.close?.()));
    } catch (error) {
      this.#options.onFailure(this.#config.type, 'close', error);
    }
  }
}

/** Rejects when the signal aborts first. */
function within(signal: AbortSignal, promise: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('it took too long'));
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}
