/** What clocks show in a time zone of the IANA data base, minute by minute. Minutes are counted from 1970-01-01T00:00Z. */
import type { ClockMinute } from '../model/cron-expression.ts';

export const MINUTE_MS = 60_000;
/** Zones of the data base with all their other names are fewer. */
const MAX_ZONES = 1000;
/** Hours of which the offset is known, in each zone. */
const MAX_HOURS = 64;

/** Formatters of the runtime are large: one for each zone, shared by all backends. */
export class ZoneClocks {
  readonly #clocks = new Map<string, ZoneClock>();

  /** Throws a RangeError when there is no such zone. */
  of(zone: string): ZoneClock {
    let clock = this.#clocks.get(zone);
    if (clock === undefined) {
      clock = new ZoneClock(zone);
      if (this.#clocks.size >= MAX_ZONES) this.#clocks.clear();
      this.#clocks.set(zone, clock);
    }
    return clock;
  }
}

export class ZoneClock {
  readonly #format: Intl.DateTimeFormat;
  /** null: the offset changes in this hour. */
  readonly #offsets = new Map<number, number | null>();

  constructor(zone: string) {
    this.#format = new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    });
  }

  /** Minutes that clocks are ahead of UTC. */
  offset(minute: number): number {
    const hour = Math.floor(minute / 60);
    let known = this.#offsets.get(hour);
    if (known === undefined) {
      const first = this.#read(hour * 60);
      known = first === this.#read(hour * 60 + 59) ? first : null;
      if (this.#offsets.size >= MAX_HOURS) this.#offsets.clear();
      this.#offsets.set(hour, known);
    }
    return known ?? this.#read(minute);
  }

  at(minute: number): ClockMinute {
    return shown(minute + this.offset(minute));
  }

  #read(minute: number): number {
    const parts: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(minute * MINUTE_MS)) parts[type] = Number(value);
    const local = Date.UTC(parts['year']!, parts['month']! - 1, parts['day'], parts['hour'], parts['minute']);
    return local / MINUTE_MS - minute;
  }
}

/** `local`: the minute as counted in UTC on which a clock there would show the same. */
export function shown(local: number): ClockMinute {
  const date = new Date(local * MINUTE_MS);
  return {
    minute: date.getUTCMinutes(),
    hour: date.getUTCHours(),
    day: date.getUTCDate(),
    month: date.getUTCMonth() + 1,
    weekday: date.getUTCDay(),
  };
}
