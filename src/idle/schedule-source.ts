/**
 * A schedule: minutes in which a backend may sleep, and minutes in which it is awake. Each is looked at as what clocks of the time zone show: an hour
 * that a clock shows twice is in the set twice, one that it leaves out is never there.
 */
import type { ScheduleIdleConfig } from '../model/config.ts';
import { cronNames, parseCron, type CronExpression } from '../model/cron-expression.ts';
import { MINUTE_MS, type ZoneClock, type ZoneClocks } from './zone-clock.ts';

/** Nothing is waited for longer: the wall clock may have been set meanwhile. */
export const LOOK_AHEAD_MIN = 60;

/** What a schedule says at one moment. */
export interface Scheduled {
  /** Why it may not sleep now. */
  kept: string | null;
  /** Why it has to be awake now. */
  wake: string | null;
  /** Wall clock ms at which this may be different; at most an hour away. */
  nextMs: number;
}

export interface Expression {
  text: string;
  cron: CronExpression;
}

/** Throws an Error that says what is wrong with it. */
export function readExpression(text: string): Expression {
  const cron = parseCron(text);
  if ('fault' in cron) throw new Error(`${JSON.stringify(text)} ${cron.fault}${cron.hint && `: ${cron.hint}`}`);
  return { text, cron };
}

export class ScheduleSource {
  readonly #allow: Expression[];
  readonly #awake: Expression[];
  readonly #zone: ZoneClock;
  readonly #notAllowed: string;
  readonly #zoneName: string;

  /** Throws an Error when an expression or the time zone is none. */
  constructor({ timezone, allow, awake }: ScheduleIdleConfig, zones: ZoneClocks) {
    this.#zone = zones.of(timezone);
    this.#zoneName = timezone;
    this.#allow = allow.map(readExpression);
    this.#awake = awake.map(readExpression);
    const more = allow.length > 3 ? ` or ${allow.length - 3} more` : '';
    const named = allow.slice(0, 3).map((text) => JSON.stringify(text));
    this.#notAllowed = `idle.schedule: it may sleep only in ${named.join(' or ')}${more} (${timezone})`;
  }

  at(wallMs: number): Scheduled {
    const minute = Math.floor(wallMs / MINUTE_MS);
    const now = this.#minute(minute);
    let next = minute + 1;
    while (next < minute + LOOK_AHEAD_MIN && same(this.#minute(next), now)) next++;
    const { awake, allowed } = now;
    const wake =
      awake === null ? null : `idle.schedule: ${JSON.stringify(awake)} (${this.#zoneName}) says that it is awake`;
    return { kept: wake ?? (allowed ? null : this.#notAllowed), wake, nextMs: next * MINUTE_MS };
  }

  #minute(minute: number): { awake: string | null; allowed: boolean } {
    const shown = this.#zone.at(minute);
    const names = ({ cron }: Expression): boolean => cronNames(cron, shown);
    return {
      awake: this.#awake.find(names)?.text ?? null,
      allowed: this.#allow.length === 0 || this.#allow.some(names),
    };
  }
}

function same(a: { awake: string | null; allowed: boolean }, b: { awake: string | null; allowed: boolean }): boolean {
  return a.awake === b.awake && a.allowed === b.allowed;
}
