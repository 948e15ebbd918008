/** Ports: the small interfaces that outer parts hand to inner ones, so that nothing inside knows who implements them. */

/** Structured log. Fields are plain data; never put a secret into them. */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
  /** A logger that adds these fields to every line. */
  child(fields: Record<string, unknown>): Logger;
}

/** Time as a parameter. `nowMs` is monotonic (for durations), `wallMs` is the wall clock (for people), both in milliseconds. */
export interface Clock {
  nowMs(): number;
  wallMs(): number;
}

/** A uniform random number in [0, 1), as Math.random. */
export type RandomSource = () => number;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** Swallows everything: for tests and for parts that were given no log. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child() {
    return silentLogger;
  },
};
