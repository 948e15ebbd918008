/**
 * Cron expressions of five fields, each the set of the minutes that it names. What is understood of crontab(5): `*`, numbers, names of months and
 * days, lists, ranges and steps. A range may go over the end (`20-6` of hours, `FRI-MON`). When both the day of the month and the day of the week are
 * restricted, either is enough.
 */
export interface CronExpression {
  /** 0 to 59. */
  minutes: ReadonlySet<number>;
  /** 0 to 23. */
  hours: ReadonlySet<number>;
  /** 1 to 31. */
  days: ReadonlySet<number>;
  /** 1 to 12. */
  months: ReadonlySet<number>;
  /** 0 (Sunday) to 6. */
  weekdays: ReadonlySet<number>;
  /** Whether one of days and weekdays is enough: both are restricted. */
  eitherDay: boolean;
}

/** What is wrong with a cron expression, and what to do about it; '' when there is nothing to say. */
export interface CronFault {
  fault: string;
  hint: string;
}

/** A minute on the clock of some time zone. */
export interface ClockMinute {
  minute: number;
  hour: number;
  day: number;
  /** 1 to 12. */
  month: number;
  /** 0 (Sunday) to 6. */
  weekday: number;
}

interface Field {
  name: string;
  low: number;
  high: number;
  /** Three letters each; the first stands for `low`. */
  words: readonly string[];
}

const FIELDS: readonly Field[] = [
  { name: 'minute', low: 0, high: 59, words: [] },
  { name: 'hour', low: 0, high: 23, words: [] },
  { name: 'day of the month', low: 1, high: 31, words: [] },
  {
    name: 'month',
    low: 1,
    high: 12,
    words: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  { name: 'day of the week', low: 0, high: 6, words: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] },
];

const MAX_LENGTH = 256;
const EXAMPLE = 'write minute, hour, day of the month, month and day of the week: "0 8 * * 1-5"';
/** Days that each month has at most. */
const LENGTHS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** Never throws. An expression that names no minute of any year is a fault too. */
export function parseCron(text: string): CronExpression | CronFault {
  if (text.length > MAX_LENGTH) return { fault: `is longer than ${MAX_LENGTH} characters`, hint: 'make two of it' };
  const trimmed = text.trim();
  if (trimmed.startsWith('@'))
    return { fault: `${JSON.stringify(trimmed)} stands for five fields, which have to be written`, hint: EXAMPLE };
  const written = trimmed === '' ? [] : trimmed.split(/\s+/);
  if (written.length !== FIELDS.length) {
    const count = `${written.length} ${written.length === 1 ? 'field' : 'fields'}`;
    return {
      fault: `has ${count} in place of five`,
      hint: written.length === 6 ? 'remove the seconds: it counts in minutes' : EXAMPLE,
    };
  }
  const sets: Set<number>[] = [];
  for (const [index, field] of FIELDS.entries()) {
    const set = readField(written[index]!, field);
    if ('fault' in set) return set;
    sets.push(set);
  }
  const [minutes, hours, days, months, weekdays] = sets as [
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
    Set<number>,
  ];
  const eitherDay = !written[2]!.startsWith('*') && !written[4]!.startsWith('*');
  if (!eitherDay && ![...months].some((month) => [...days].some((day) => day <= LENGTHS[month - 1]!))) {
    return { fault: 'names no day that exists', hint: 'change its day of the month or its month' };
  }
  return { minutes, hours, days, months, weekdays, eitherDay };
}

/** Whether the expression names this minute. */
export function cronNames(cron: CronExpression, at: ClockMinute): boolean {
  if (!cron.minutes.has(at.minute) || !cron.hours.has(at.hour) || !cron.months.has(at.month)) return false;
  const day = cron.days.has(at.day);
  const weekday = cron.weekdays.has(at.weekday);
  return cron.eitherDay ? day || weekday : day && weekday;
}

function readField(written: string, field: Field): Set<number> | CronFault {
  const set = new Set<number>();
  for (const part of written.split(',')) {
    const fault = addPart(part, field, set);
    if (fault !== null)
      return { fault: `its ${field.name}, ${JSON.stringify(written)}: ${fault}`, hint: hintOf(field) };
  }
  return set;
}

function hintOf({ low, high, words }: Field): string {
  const named = words.length === 0 ? '' : ` or ${words[0]!.toUpperCase()} to ${words.at(-1)!.toUpperCase()}`;
  return `write *, numbers from ${low} to ${high}${named}, lists (1,2), ranges (1-5) and steps (*/15)`;
}

/** Null, or what is wrong. */
function addPart(part: string, field: Field, set: Set<number>): string | null {
  const match = /^(?:(\*)|(\w+)(?:-(\w+))?)(?:\/(\d{1,4}))?$/.exec(part);
  if (match === null)
    return part === '' ? 'something is missing beside a comma' : `${JSON.stringify(part)} is no such thing`;
  const [, star, from, to, by] = match;
  const step = by === undefined ? 1 : Number(by);
  if (step < 1) return 'a step is at least 1';
  let first = field.low;
  let last = field.high;
  if (star === undefined) {
    const low = readValue(from!, field);
    const high = to === undefined ? (by === undefined ? low : field.high) : readValue(to, field);
    for (const [value, spelled] of [
      [low, from],
      [high, to],
    ] as const) {
      if (value === null) return `${spelled} is not from ${field.low} to ${field.high}`;
    }
    first = low!;
    // Of 0-7 the end is the Sunday after.
    last = to === '7' && first === 0 && from !== '7' ? 7 : high!;
  }
  const width = field.high - field.low + 1;
  const length = first <= last ? last - first : last - first + width;
  if (step > 1 && step > length && to !== undefined) return `a step of ${step} leaves only the first of ${part}`;
  for (let offset = 0; offset <= length; offset += step) set.add(((first - field.low + offset) % width) + field.low);
  return null;
}

/** Sunday is 0 and 7 too. */
function readValue(written: string, field: Field): number | null {
  const word = field.words.indexOf(written.toLowerCase());
  if (word >= 0) return word + field.low;
  if (!/^\d{1,2}$/.test(written)) return null;
  const value = Number(written);
  if (value === 7 && field.high === 6) return 0;
  return value >= field.low && value <= field.high ? value : null;
}
