/**
 * A time of the day or week, between two cron expressions on the clock of a time zone: from a minute that `start` names to one that `end` names. As KEDA
 * decides: it is between them when the next end comes before the next start.
 */
import { cronNames, parseCron, type CronExpression } from '../model/cron-expression.ts';
import { MINUTE_MS, ZoneClock, shown } from '../idle/zone-clock.ts';
import { sleep } from './polling.ts';
import type { TriggerDefinition } from './trigger.ts';

export interface CronOptions {
  /** An IANA name. */
  timezone: string;
  start: string;
  end: string;
  /** Instances between them. */
  desired: number;
}

/** Nothing is waited for longer: the wall clock may be set meanwhile. */
const LONGEST_MS = 600_000;
/** 29 February on a given weekday comes once in 28 years, or 40. */
const HORIZON_MIN = 41 * 366 * 24 * 60;

export const cron: TriggerDefinition = {
  async start(options: CronOptions, signal, report, { clock }) {
    const window = new CronWindow(options);
    while (!signal.aborted) {
      const wallMs = clock.wallMs();
      const { active, untilMs } = window.at(wallMs);
      const until = new Date(untilMs).toISOString().slice(0, 16).replace('T', ' ');
      report({
        active,
        desired: active ? options.desired : 0,
        reason: active ? `its schedule runs until ${until} UTC` : `its schedule begins at ${until} UTC`,
        metric: { value: active ? options.desired : 0, target: 1, activation: 0 },
      });
      await sleep(Math.min(Math.max(1, untilMs - wallMs), LONGEST_MS), signal);
    }
  },
};

export class CronWindow {
  readonly #zone: ZoneClock;
  readonly #start: CronExpression;
  readonly #end: CronExpression;
  /** Minutes since 1970: looked for from `from` on. */
  #known: { from: number; start: number; end: number } | null = null;

  /** Throws an Error when an expression or the time zone is none. */
  constructor({ timezone, start, end }: CronOptions) {
    this.#zone = new ZoneClock(timezone);
    this.#start = read(start);
    this.#end = read(end);
  }

  /** Whether it is between them, and until when, wall clock ms. */
  at(wallMs: number): { active: boolean; untilMs: number } {
    const minute = Math.floor(wallMs / MINUTE_MS);
    let known = this.#known;
    if (known === null || minute < known.from || minute >= Math.min(known.start, known.end)) {
      // The minute that is named is inside: what comes next is later than now.
      const after = minute + 1;
      known = { from: minute, start: next(this.#start, this.#zone, after), end: next(this.#end, this.#zone, after) };
      this.#known = known;
    }
    return { active: known.end < known.start, untilMs: Math.min(known.start, known.end) * MINUTE_MS };
  }
}

function read(text: string): CronExpression {
  const parsed = parseCron(text);
  if ('fault' in parsed) throw new Error(`${JSON.stringify(text)} ${parsed.fault}${parsed.hint && `: ${parsed.hint}`}`);
  return parsed;
}

const DAY_MIN = 1440;
/** No clock is ever set by more. */
const SET_BY_MIN = 180;

/** The first minute from `from` on that the expression names; Infinity: none within 40 years. */
function next(expression: CronExpression, zone: ZoneClock, from: number): number {
  const end = from + HORIZON_MIN;
  for (let minute = from; minute < end;) {
    const local = minute + zone.offset(minute);
    const at = shown(local);
    if (cronNames(expression, at)) return minute;
    const leftOfDay = DAY_MIN - (at.hour * 60 + at.minute);
    const isDay = cronNames(expression, { ...at, minute: first(expression.minutes), hour: first(expression.hours) });
    if (!isDay && leftOfDay > SET_BY_MIN + 60) minute += leftOfDay - SET_BY_MIN;
    else if (!isDay || !expression.hours.has(at.hour)) minute += 60 - at.minute;
    else minute++;
  }
  return Infinity;
}

function first(values: ReadonlySet<number>): number {
  return values.values().next().value ?? 0;
}
