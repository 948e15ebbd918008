import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger } from '../model/ports.ts';

/** A part that fails with each request is logged this often at most, ms. */
const LOG_EVERY_MS = 10_000;

const OWN_FOLDER = fileURLToPath(new URL('../', import.meta.url));

export type PluginPartKind = 'filter' | 'strategy' | 'metrics sink' | 'trigger' | 'module';

/** Where a plugin failed: one series and one log line. */
export interface PluginPlace {
  plugin: string;
  kind: PluginPartKind;
  /** The part's name in the file. */
  part: string;
}

interface Known extends PluginPlace {
  count: number;
  loggedMs: number;
  unlogged: number;
}

/** Faults of plugins: counted, and logged without flooding the log. Its entries are at most as many as plugins have parts. */
export class PluginFailures {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  /** Names of loaded plugins by the folders of their files. */
  readonly #folders = new Map<string, string>();

  constructor(options: { logger: Logger; clock: Clock }) {
    this.#logger = options.logger;
    this.#clock = options.clock;
  }

  /** `what`: what it was to do. */
  count(place: PluginPlace, what: string, error: unknown): void {
    const key = `${place.plugin}\n${place.kind}\n${place.part}`;
    let known = this.#known.get(key);
    if (known === undefined) this.#known.set(key, (known = { ...place, count: 0, loggedMs: -Infinity, unlogged: 0 }));
    known.count++;
    const nowMs = this.#clock.nowMs();
    if (nowMs - known.loggedMs < LOG_EVERY_MS) {
      known.unlogged++;
      return;
    }
    const more = known.unlogged > 0 ? { unlogged: known.unlogged } : {};
    known.loggedMs = nowMs;
    known.unlogged = 0;
    this.#logger.error('a plugin failed', { ...place, what, error: errorText(error), ...more });
  }

  /** From now on what it throws where nobody catches it is known to be its own. */
  loaded(plugin: string, path: string): void {
    this.#folders.set(`${dirname(path)}/`, plugin);
  }

  /**
   * Whether an error that nobody caught is a plugin's alone, and then it is counted and nothing of dormouse was left half done: it was thrown in a
   * timer or the like of the plugin, or it is the reason of a promise that the plugin forgot.
   */
  claims(error: unknown, origin: 'uncaughtException' | 'unhandledRejection'): boolean {
    if (this.#folders.size === 0 || !(error instanceof Error)) return false;
    const files = [...(error.stack ?? '').matchAll(/(?:\(|at )(?:async )?(file:\/\/[^?:)]+|\/[^?:)]+)/g)].map(
      (match) => match[1]!,
    );
    const first = files[0];
    if (first === undefined) return false;
    const ownerOf = (file: string): string | undefined => {
      const path = file.startsWith('file:') ? fileURLToPath(file) : file;
      if (path.startsWith(OWN_FOLDER)) return undefined;
      for (const [folder, plugin] of this.#folders) {
        // What is installed below a plugin's folder is others' code, dormouse perhaps.
        if (path.startsWith(folder) && !path.slice(folder.length).includes('node_modules/')) return plugin;
      }
      return undefined;
    };
    const plugin = ownerOf(first);
    const alone = origin === 'unhandledRejection' || files.every((file) => ownerOf(file) !== undefined);
    if (plugin === undefined || !alone) return false;
    this.count({ plugin, kind: 'module', part: '' }, origin, error);
    return true;
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'dormouse_plugin_failures_total',
        help: 'Times that a part of a plugin threw, rejected or took too long.',
        type: 'counter',
        series: Array.from(this.#known.values(), ({ plugin, kind, part, count }) => ({
          labels: { plugin, kind, part },
          value: count,
        })),
      },
    ];
  }
}

const MAX_TEXT = 2000;

/** With the stack: a plugin's author needs it. */
function errorText(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}
