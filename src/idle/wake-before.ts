/**
 * Wakes a backend at moments of a cron expression, before it is needed; it then stays awake for idleAfter, as after a request. A moment that clocks leave
 * out in spring comes when they go on, one that they show twice in autumn comes once.
 */
import { cronNames } from '../model/cron-expression.ts';
import { LOOK_AHEAD_MIN, readExpression, type Expression, type Scheduled } from './schedule-source.ts';
import { MINUTE_MS, shown, type ZoneClock, type ZoneClocks } from './zone-clock.ts';

/** Who starts later than this after a moment doesn't wake for it any more. */
const LONGEST_MIN = 24 * 60;
/** No clock has ever been put back further. */
const PUT_BACK_MIN = 180;

export class WakeBefore {
  readonly #expression: Expression;
  readonly #zone: ZoneClock;
  readonly #says: string;
  readonly #holdMin: number;

  /** Throws an Error when the expression or the time zone is none. */
  constructor({ cron, timezone }: { cron: string; timezone: string }, idleAfterMs: number, zones: ZoneClocks) {
    this.#expression = readExpression(cron);
    this.#zone = zones.of(timezone);
    this.#says = `wake.before: ${JSON.stringify(cron)} (${timezone}) woke it`;
    this.#holdMin = Math.min(Math.max(1, Math.ceil(idleAfterMs / MINUTE_MS)), LONGEST_MIN);
  }

  at(wallMs: number): Scheduled {
    const minute = Math.floor(wallMs / MINUTE_MS);
    let last = minute;
    while (last > minute - this.#holdMin && !this.isMoment(last)) last--;
    if (last > minute - this.#holdMin) {
      const next = Math.min(last + this.#holdMin, minute + LOOK_AHEAD_MIN);
      return { kept: this.#says, wake: this.#says, nextMs: next * MINUTE_MS };
    }
    let next = minute + 1;
    while (next < minute + LOOK_AHEAD_MIN && !this.isMoment(next)) next++;
    return { kept: null, wake: null, nextMs: next * MINUTE_MS };
  }

  isMoment(minute: number): boolean {
    const offset = this.#zone.offset(minute);
    if (this.#names(minute + offset) && !this.#secondTime(minute, offset)) return true;
    const before = this.#zone.offset(minute - 1);
    // What the clock leaves out, from the minute after the last shown one.
    for (let left = minute + before; left < minute + offset; left++) if (this.#names(left)) return true;
    return false;
  }

  #names(local: number): boolean {
    return cronNames(this.#expression.cron, shown(local));
  }

  /** Whether clocks have shown this minute already. */
  #secondTime(minute: number, offset: number): boolean {
    const earlier = this.#zone.offset(minute - PUT_BACK_MIN);
    const back = earlier - offset;
    return back > 0 && back <= PUT_BACK_MIN && this.#zone.offset(minute - back) === earlier;
  }
}
