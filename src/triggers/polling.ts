/**
 * Asks a source again and again until the signal aborts. While it has nothing, the source may also be looked at in a way that waits for the first message, so
 * that it is seen at once. A source that fails is told of as failing, closed, and opened anew for the next time.
 */
import type { TriggerContext, TriggerReport } from './trigger.ts';
import { pause } from '../model/pause.ts';

export interface Source {
  /** Asks once. Rejects with an Error whose message is a sentence with the next step. */
  read(signal: AbortSignal): Promise<TriggerReport>;
  /**
   * Resolves when something may have come since the last `read` began, at the latest after a while of its own. Rejects with NoLook when the source can't be
   * looked at like this, and with anything else when it could not this time. null: not now. Missing: there is only asking.
   */
  arrival?(signal: AbortSignal): Promise<void> | null;
  /** Gives back what it holds; called once. */
  close(): void;
}

/** The source may only be asked. Told once, as information. */
export class NoLook extends Error {}

export interface PollingOptions {
  pollingMs: number;
  /** Opening, and one reading, ms. */
  boundMs: number;
  open(signal: AbortSignal): Promise<Source>;
  signal: AbortSignal;
  report(report: TriggerReport): void;
  context: TriggerContext;
}

/** What a source that does not keep its own bounds is given up after: bounds of its own, with sentences of its own, come first. */
const GIVE_UP_FACTOR = 2;
/** Between two readings that messages have asked for. The first one is made at once. */
const GAP_MS = 50;

/** Resolves when the signal has aborted and the source is closed. Never rejects. */
export async function poll(options: PollingOptions): Promise<void> {
  const { signal, report, context, pollingMs } = options;
  let source: Source | null = null;
  let looks = true;
  let arrival: Promise<void> | null = null;
  let seenMs = -GAP_MS;
  let over = new AbortController();
  context.onAsked(() => over.abort());
  while (!signal.aborted) {
    over = new AbortController();
    let isActive = true;
    try {
      source ??= await opened(options);
      const said = await bounded(options, (bound) => source!.read(bound));
      // oxlint-disable-next-line typescript/no-unnecessary-condition
      if (signal.aborted) break;
      isActive = said.active;
      report(said);
    } catch (error) {
      if (signal.aborted) break;
      context.failed(error instanceof Error ? error.message : String(error));
      source?.close();
      source = null;
      arrival = null;
    }
    if (source?.arrival !== undefined && looks && !isActive) {
      const asked: Source = source;
      arrival ??=
        asked.arrival!(signal)?.then(
          () => {
            if (source === asked) arrival = null;
          },
          (error: unknown) => {
            if (source !== asked) return;
            arrival = null;
            if (error instanceof NoLook) {
              looks = false;
              context.logger.info('messages are seen by asking only', { reason: error.message, everyMs: pollingMs });
            }
            // It is asked again at its time, and says then what is wrong. Here nobody waits for it any more.
            return new Promise<void>(() => {});
          },
        ) ?? null;
      const beganMs = context.clock.nowMs();
      await Promise.race([...(arrival === null ? [] : [arrival]), pause(pollingMs, signal, over.signal)]);
      // A queue that never has enough to be active must not be asked at each message.
      const leftMs = seenMs + GAP_MS - context.clock.nowMs();
      if (leftMs > 0) await pause(Math.min(leftMs, pollingMs), signal);
      seenMs = context.clock.nowMs();
      if (seenMs - beganMs >= pollingMs) seenMs = -GAP_MS;
    } else await pause(pollingMs, signal, over.signal);
    over.abort();
  }
  source?.close();
}

async function opened(options: PollingOptions): Promise<Source> {
  let late = false;
  try {
    return await bounded(options, async (bound) => {
      const source = await options.open(bound);
      if (late) source.close();
      return source;
    });
  } catch (error) {
    late = true;
    throw error;
  }
}

/** Rejects at its bound even when what is waited for takes no notice of it. */
async function bounded<T>({ signal, boundMs }: PollingOptions, run: (bound: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const aborted = (): void => {
    controller.abort(signal.reason);
    reject(signal.reason as Error);
  };
  const timer = setTimeout(() => {
    const error = new Error(`no answer within ${boundMs / 1000} s`);
    controller.abort(error);
    reject(error);
  }, boundMs * GIVE_UP_FACTOR);
  signal.addEventListener('abort', aborted, { once: true });
  promise.catch(() => {});
  try {
    if (signal.aborted) throw signal.reason;
    return await Promise.race([run(controller.signal), promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  }
}

export interface Measured {
  /** Of the whole backend; what is in flight is in it where the source counts it so. */
  value: number;
  target: number;
  activation: number;
  /** Messages that a worker has and has not acknowledged: it must not be stopped while there are any. */
  inFlight?: number;
  reason: string;
}

/** A report of so many messages. Throws an Error when the number is none. */
export function measured({ value, target, activation, inFlight = 0, reason }: Measured): TriggerReport {
  if (!Number.isFinite(value)) throw new Error(`it gives ${value}, which is no number to scale by: see what it counts`);
  const counted = Math.max(0, value);
  return {
    active: counted > activation || inFlight > 0,
    desired: counted / target,
    reason,
    metric: { value: counted, target, activation },
  };
}

/** "1 message waits", "12 messages wait". */
export function some(count: number, noun: string, verb = ''): string {
  const one = count === 1;
  const plural = noun.endsWith('y') ? `${noun.slice(0, -1)}ies` : `${noun}s`;
  return `${count} ${one ? noun : plural}${verb === '' ? '' : ` ${one ? `${verb}s` : verb}`}`;
}
