import type { UpMessage } from '../link/messages.ts';
import type { Clock } from '../model/ports.ts';
import type { RouteCounters } from './counters.ts';

/** Requests are told in batches, this far apart, ms. */
const GATHER_MS = 100;
/** Requests a batch, at most: what one worker can serve in that time, many times over. */
const MOST = 20_000;

/** Each request that ended, for traffic events (`events.each`): a few numbers are noted on its way, all else is done later and elsewhere. */
export class EndedRequests {
  readonly #send: (message: UpMessage) => void;
  readonly #clock: Clock;
  #noted: RouteCounters[] = [];
  #count = 0;
  #dropped = 0;
  #startMs = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(clock: Clock, send: (message: UpMessage) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  note(
    counters: RouteCounters,
    startedMs: number,
    durationMs: number,
    status: number,
    bytesIn: number,
    bytesOut: number,
    cold: boolean,
  ): void {
    if (this.#timer === null) {
      this.#startMs = startedMs;
      this.#timer = setTimeout(() => this.flush(), GATHER_MS);
    }
    if (this.#count >= MOST) {
      this.#dropped++;
      return;
    }
    this.#count++;
    let ended = counters.ended;
    if (ended === null) {
      counters.ended = ended = [];
      this.#noted.push(counters);
    }
    const after = Math.round(startedMs - this.#startMs);
    ended.push(after, Math.round(durationMs * 100), status, bytesIn, bytesOut, cold ? 1 : 0);
  }

  /** Tells what was noted since the last time. */
  flush(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    const startMs = Math.round(this.#clock.wallMs() - (this.#clock.nowMs() - this.#startMs));
    const sets = this.#noted.map((counters) => {
      const { backend, route, ended } = counters;
      counters.ended = null;
      return { backend, route, ended: ended ?? [] };
    });
    this.#send({ type: 'requests', startMs, sets, dropped: this.#dropped });
    this.#noted = [];
    this.#count = 0;
    this.#dropped = 0;
  }
}
