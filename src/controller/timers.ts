/** Timers as a port, so that tests hold time in their hands. */
export interface Timers {
  /** Calls `fn` once, not before `ms` (>= 0) have passed by the clock, unless it is cancelled first. Returns the cancel function. */
  setTimer(ms: number, fn: () => void): () => void;
}

/** Node's greatest timer; a longer one fires at once. Who waits longer looks again then. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemTimers: Timers = {
  setTimer(ms, fn) {
    const timer = setTimeout(fn, Math.min(Math.max(0, Math.ceil(ms)), LONGEST_MS));
    return () => clearTimeout(timer);
  },
};

/** One timer that is set again and again; setting it cancels what was set. */
export class Alarm {
  readonly #timers: Timers;
  readonly #turn: (fn: () => void) => void;
  #cancel: (() => void) | null = null;

  /** `turn` runs what the alarm calls, as one step of the controller. */
  constructor(timers: Timers, turn: (fn: () => void) => void) {
    this.#timers = timers;
    this.#turn = turn;
  }

  get armed(): boolean {
    return this.#cancel !== null;
  }

  set(ms: number, fn: () => void): void {
    this.#cancel?.();
    // One ms more than nothing: a rule that is looked at again a fraction too early would spin.
    const cancel = this.#timers.setTimer(Math.max(1, Math.ceil(ms)), () => {
      this.#turn(() => {
        // It may have been cancelled or set anew while another step ran.
        if (this.#cancel !== cancel) return;
        this.#cancel = null;
        fn();
      });
    });
    this.#cancel = cancel;
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
