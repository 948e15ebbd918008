/**
 * What people and the admin API ask of a Backend by annotations: to wake it, to put it to sleep, to keep it awake until a time. A wish counts for a minute, so that a leader who
 * comes later, or somebody who applies an old manifest, doesn't do it again.
 */
import type { WakeCause } from '../model/backend.ts';
import type { Clock, Logger } from '../model/ports.ts';
import type { BackendObject } from './backend-object.ts';

/** RFC 3339, all three. */
export const AWAKE_UNTIL = 'dormouse.dev/awake-until';
export const WAKE_AT = 'dormouse.dev/wake-at';
export const SLEEP_AT = 'dormouse.dev/sleep-at';

const FRESH_MS = 60_000;
/** Clocks of who asks and of who does are not the same. */
const AHEAD_MS = 60_000;
const WITHIN_MS = 600_000;

export interface OrdersDeps {
  controller: {
    wake(name: string, cause: WakeCause, signal: AbortSignal): Promise<void>;
    sleep(name: string, signal: AbortSignal): Promise<void>;
    pin(name: string, untilMs: number | null): void;
  };
  clock: Clock;
  logger: Logger;
  event(object: BackendObject, type: 'Normal' | 'Warning', reason: string, note: string): void;
}

interface Seen {
  uid: string;
  awakeUntil: string | undefined;
  wakeAt: string | undefined;
  sleepAt: string | undefined;
}

export class Orders {
  readonly #deps: OrdersDeps;
  readonly #seen = new Map<string, Seen>();

  constructor(deps: OrdersDeps) {
    this.#deps = deps;
  }

  /** Does what has not been done yet. The controller has to know the backend. */
  obey(key: string, object: BackendObject): void {
    const { uid, annotations = {} } = object.metadata;
    const known = this.#seen.get(key);
    const before = known?.uid === uid ? known : undefined;
    const now: Seen = {
      uid,
      awakeUntil: annotations[AWAKE_UNTIL],
      wakeAt: annotations[WAKE_AT],
      sleepAt: annotations[SLEEP_AT],
    };
    this.#seen.set(key, now);
    if (now.awakeUntil !== before?.awakeUntil) this.#pin(key, object, now.awakeUntil);
    if (now.wakeAt !== before?.wakeAt && this.#isFresh(now.wakeAt)) this.#wake(key, object);
    if (now.sleepAt !== before?.sleepAt && this.#isFresh(now.sleepAt)) this.#sleep(key, object);
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }

  #isFresh(at: string | undefined): boolean {
    const ageMs = this.#deps.clock.wallMs() - Date.parse(at ?? '');
    return ageMs < FRESH_MS && ageMs > -AHEAD_MS;
  }

  #pin(key: string, object: BackendObject, until: string | undefined): void {
    const untilMs = until === undefined ? null : Date.parse(until);
    if (untilMs !== null && !Number.isFinite(untilMs)) {
      const note = `the annotation ${AWAKE_UNTIL} is no time; write one of RFC 3339, such as 2030-01-31T18:00:00Z`;
      this.#deps.event(object, 'Warning', 'AwakeUntilInvalid', note);
      return;
    }
    try {
      this.#deps.controller.pin(key, untilMs);
    } catch (error) {
      this.#failed(key, object, 'PinFailed', error);
    }
  }

  #wake(key: string, object: BackendObject): void {
    const { controller, clock } = this.#deps;
    controller
      .wake(key, { kind: 'command', atMs: clock.wallMs() }, AbortSignal.timeout(WITHIN_MS))
      .catch((error: unknown) => this.#failed(key, object, 'WakeFailed', error));
  }

  #sleep(key: string, object: BackendObject): void {
    this.#deps.controller
      .sleep(key, AbortSignal.timeout(WITHIN_MS))
      .catch((error: unknown) => this.#failed(key, object, 'SleepRefused', error));
  }

  #failed(key: string, object: BackendObject, reason: string, error: unknown): void {
    const note = error instanceof Error ? error.message : String(error);
    this.#deps.logger.info('what an annotation asked for was not done', { backend: key, reason: note });
    this.#deps.event(object, 'Warning', reason, note);
  }
}
