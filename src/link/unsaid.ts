/** What a gateway without a controller would have told it, kept within bounds until there is one again. */
import type { DemandWindow } from '../model/demand.ts';
import type { TraceRecord } from '../model/trace.ts';
import type { UpMessage } from './messages.ts';

/** Backends whose demand is kept. */
const MAX_BACKENDS = 20_000;
/** As in one message. */
const MAX_TRACES = 1000;
/** A window that was longer is told as its average over so much, ms: the controller adds a window to the second in which it comes. */
const TOLD_MS = 1000;

export class Unsaid {
  readonly #demand = new Map<string, DemandWindow>();
  #traces: TraceRecord[] = [];
  #droppedTraces = 0;

  /** Backends whose demand waits. */
  get backends(): number {
    return this.#demand.size;
  }

  /**
   * Keeps what a later controller can use: demand and traces. All else answers somebody who is gone, or is said anew by the gateway when it greets
   * the next one.
   */
  keep(message: UpMessage): void {
    if (message.type === 'demand') for (const window of message.windows) this.#add(window);
    else if (message.type === 'traces') {
      const room = MAX_TRACES - this.#traces.length;
      this.#traces.push(...message.records.slice(0, room));
      this.#droppedTraces += message.dropped + Math.max(0, message.records.length - room);
    }
  }

  #add(window: DemandWindow): void {
    const known = this.#demand.get(window.backend);
    if (known === undefined) {
      if (this.#demand.size < MAX_BACKENDS) this.#demand.set(window.backend, { ...window });
      return;
    }
    this.#demand.set(window.backend, {
      ...window,
      elapsedMs: known.elapsedMs + window.elapsedMs,
      concurrencyMs: known.concurrencyMs + window.concurrencyMs,
      requests: known.requests + window.requests,
      errors: known.errors + window.errors,
      lastActivityMs: Math.max(known.lastActivityMs, window.lastActivityMs),
    });
  }

  /** All of it, as messages; it is forgotten here. */
  take(): UpMessage[] {
    const messages: UpMessage[] = [];
    if (this.#demand.size > 0) messages.push({ type: 'demand', windows: [...this.#demand.values()].map(shortened) });
    if (this.#traces.length > 0 || this.#droppedTraces > 0)
      messages.push({ type: 'traces', records: this.#traces, dropped: this.#droppedTraces });
    this.#demand.clear();
    this.#traces = [];
    this.#droppedTraces = 0;
    return messages;
  }
}

function shortened(window: DemandWindow): DemandWindow {
  if (window.elapsedMs <= TOLD_MS) return window;
  const share = TOLD_MS / window.elapsedMs;
  return {
    ...window,
    elapsedMs: TOLD_MS,
    concurrencyMs: window.concurrencyMs * share,
    requests: Math.ceil(window.requests * share),
    errors: Math.ceil(window.errors * share),
  };
}
