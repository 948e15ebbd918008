/** The one crash that is in force, with a time before which no new attempt is made. */
import type { Crash } from '../../model/backend.ts';
import type { Clock } from '../../model/ports.ts';

const FIRST_RETRY_MS = 5000;
const LONGEST_RETRY_MS = 30_000;
const MAX_REASON_CHARS = 1000;

export class Crashes {
  readonly #clock: Clock;
  readonly #tell: (crash: Crash | null) => void;
  #crash: Crash | null = null;

  constructor(clock: Clock, tell: (crash: Crash | null) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Known, whether or not it still holds starts back. */
  get known(): Crash | null {
    return this.#crash;
  }

  /** As Driver.crash. */
  get inForce(): Crash | null {
    return this.#crash !== null && this.#clock.wallMs() < this.#crash.retryAtMs ? this.#crash : null;
  }

  /** Twice as long after each: 5 s up to 30 s. It ends sooner when what was wrong is seen to be over. */
  crashed(reason: string): void {
    const attempts = (this.#crash?.attempts ?? 0) + 1;
    const atMs = this.#clock.wallMs();
    const retryMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts - 1, 10));
    this.#crash = {
      reason: reason.slice(0, MAX_REASON_CHARS),
      atMs,
      retryAtMs: atMs + retryMs,
      attempts,
      lastLogLines: [],
    };
    this.#tell(this.#crash);
  }

  recovered(): void {
    if (this.#crash === null) return;
    this.#crash = null;
    this.#tell(null);
  }
}
