/**
 * A time of the day or week, between two cron expressions on the clock of a time zone: from each minute that `start` names to the next one that `end` names.
 * (KEDA compares the next end with the next start, so that a start on Mondays with an end every day would be active all week.)
 */
import { cronNames, parseCron, type ClockMinute, type CronExpression } from '../model/cron-expression.ts';
import { MINUTE_MS, ZoneClock, shown } from '../idle/zone-clock.ts';
import { pause } from '../model/pause.ts';
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
      const until = Number.isFinite(untilMs)
        ? `${new Date(untilMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`
        : 'a day that comes in no 40 years';
      report({
        active,
        desired: active ? options.desired : 0,
        reason: active ? `its schedule runs until ${until}` : `its schedule begins at ${until}`,
        metric: { value: active ? options.desired : 0, target: 1, activation: 0 },
      });
      await pause(Math.min(Math.max(1, untilMs - wallMs), LONGEST_MS), signal);
    }
  },
};

export class CronWindow {
  readonly #zone: ZoneClock;
  readonly #start: CronExpression;
  readonly #end: CronExpression;
  /** From one minute since 1970 to another it is the same. */
  #known: { from: number; to: number; active: boolean } | null = null;

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
    if (known === null || minute < known.from || minute >= known.to) {
      const started = previous(this.#start, this.#zone, minute);
      const ended = previous(this.#end, this.#zone, minute);
      const active = started > ended;
      known = { from: minute, to: next(active ? this.#end : this.#start, this.#zone, minute + 1), active };
      this.#known = known;
    }
    return { active: known.active, untilMs: known.to * MINUTE_MS };
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
  for (let minute = from; minute < from + HORIZON_MIN;) {
    const { named, day, at } = look(expression, zone, minute);
    if (named) return minute;
    const left = DAY_MIN - (at.hour * 60 + at.minute);
    if (!day && left > SET_BY_MIN + 60) minute += left - SET_BY_MIN;
    else if (!day || !expression.hours.has(at.hour)) minute += 60 - at.minute;
    else minute++;
  }
  return Infinity;
}

/** The last minute up to `from` that it names; -Infinity: none within 40 years. */
function previous(expression: CronExpression, zone: ZoneClock, from: number): number {
  for (let minute = from; minute > from - HORIZON_MIN;) {
    const { named, day, at } = look(expression, zone, minute);
    if (named) return minute;
    const past = at.hour * 60 + at.minute + 1;
    if (!day && past > SET_BY_MIN + 60) minute -= past - SET_BY_MIN;
    else if (!day || !expression.hours.has(at.hour)) minute -= at.minute + 1;
    else minute--;
  }
  return -Infinity;
}

/** `day`: whether it names any minute of that day. */
function look(
  expression: CronExpression,
  zone: ZoneClock,
  minute: number,
): { named: boolean; day: boolean; at: ClockMinute } {
  const at = shown(minute + zone.offset(minute));
  const day = cronNames(expression, { ...at, minute: first(expression.minutes), hour: first(expression.hours) });
  return { named: day && cronNames(expression, at), day, at };
}

function first(values: ReadonlySet<number>): number {
  return values.values().next().value ?? 0;
}
