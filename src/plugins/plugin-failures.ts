import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger } from '../model/ports.ts';

/** A part that fails with each request is logged this often at most, ms. */
const LOG_EVERY_MS = 10_000;

export type PluginPartKind = 'filter' | 'strategy' | 'metrics sink' | 'trigger';

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
