/** Keeps the idle sources of all backends running, and tells what they say of each. */
import { isDeepStrictEqual } from 'node:util';
import { IdleSources, sharedIdleDeps, type IdleSourcesDeps } from './idle-sources.ts';
import { NOTHING_SAID, type IdleBackend, type IdleSourcesConfig, type IdleVerdict } from './idle-verdict.ts';

export interface IdleRunnerOptions extends Omit<IdleSourcesDeps, 'pool' | 'zones'> {
  /** Told whenever it changes; null: the backend has no source (any more). Called before `set` and `configure` return for those that are new. */
  onVerdict: (backend: string, verdict: IdleVerdict | null) => void;
}

interface Running {
  config: IdleSourcesConfig;
  idleAfterMs: number;
  sources: IdleSources;
  ended: AbortController;
  needed: boolean;
}

export class IdleRunner {
  readonly #options: IdleRunnerOptions;
  readonly #shared: IdleSourcesDeps;
  readonly #running = new Map<string, Running>();

  constructor(options: IdleRunnerOptions) {
    this.#options = options;
    this.#shared = sharedIdleDeps(options);
  }

  /** Ends the sources of backends that are gone or changed and starts new ones; the others go on. */
  configure(backends: readonly IdleBackend[]): void {
    const wanted = new Set(backends.map(({ name }) => name));
    for (const name of this.#running.keys()) if (!wanted.has(name)) this.remove(name);
    for (const backend of backends) this.set(backend);
  }

  /** The same for one of them. */
  set({ name, idle, wake, scale }: IdleBackend): void {
    const config: IdleSourcesConfig = { prometheus: idle.prometheus, schedule: idle.schedule, before: wake.before };
    const { idleAfterMs } = scale;
    const before = this.#running.get(name);
    if (before !== undefined && before.idleAfterMs === idleAfterMs && isDeepStrictEqual(before.config, config)) return;
    if (config.prometheus === null && config.schedule === null && config.before === null) return this.remove(name);
    const logger = this.#options.logger.child({ backend: name });
    const sources = new IdleSources(config, idleAfterMs, { ...this.#shared, logger });
    const ended = new AbortController();
    const needed = before?.needed ?? true;
    sources.ask(needed);
    this.#running.set(name, { config, idleAfterMs, sources, ended, needed });
    sources.start(ended.signal, (verdict) => this.#options.onVerdict(name, verdict));
    // Last, so that a server that both ask keeps its place.
    before?.ended.abort();
  }

  /** Ends its sources; then `onVerdict` is told null, if it had any. */
  remove(name: string): void {
    const running = this.#running.get(name);
    if (running === undefined) return;
    this.#running.delete(name);
    running.ended.abort();
    this.#options.onVerdict(name, null);
  }

  /** As last told; a backend without sources has nothing to say. */
  verdict(name: string): IdleVerdict {
    return this.#running.get(name)?.sources.verdict ?? { ...NOTHING_SAID };
  }

  /** As IdleSources.askAgain; a backend without sources has nothing to say. */
  async askAgain(name: string, signal: AbortSignal, sinceMs?: number): Promise<IdleVerdict> {
    return (await this.#running.get(name)?.sources.askAgain(signal, sinceMs)) ?? { ...NOTHING_SAID };
  }

  /** Whether it matters now if the backend is idle: Prometheus is not asked about one that sleeps. */
  ask(name: string, needed: boolean): void {
    const running = this.#running.get(name);
    if (running === undefined || running.needed === needed) return;
    running.needed = needed;
    running.sources.ask(needed);
  }

  close(): void {
    for (const { ended } of this.#running.values()) ended.abort();
    this.#running.clear();
  }
}
