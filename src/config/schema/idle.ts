/** What may say besides the gateways' own demand that a backend is idle, and moments at which it has to be awake. */
import { z } from 'zod';
import { parseCron } from '../../model/cron-expression.ts';
import { nearestName } from '../../model/nearest-name.ts';
import { shown } from '../config-error.ts';
import { Rejected, duration, number, oneOf, scalar, section, text } from './scalars.ts';

/** `idle:` of a backend. */
export function idleSection() {
  return section({
    webSockets: oneOf(['awake', 'ignore']).prefault('awake'),
    prometheus: section({
      serverAddress: serverAddress(),
      query: text({ max: 8192, lines: true, what: 'a query' }),
      threshold: number({ min: 0, max: 1e15, whole: false, above: true }),
      uptimeQuery: text({ max: 8192, lines: true, what: 'a query' }).optional(),
      scrapeInterval: duration({ minMs: 1000, maxMs: 3_600_000 }).prefault('15s'),
    }).optional(),
    schedule: section({
      timezone: timezone().prefault('UTC'),
      allow: z.array(cron()).max(100).prefault([]),
      awake: z.array(cron()).max(100).prefault([]),
    }).optional(),
    settle: duration({ maxMs: 3_600_000 }).prefault('2s'),
  }).prefault({});
}

/** `wake.before:` of a backend. */
export function wakeBefore() {
  return section({ cron: cron(), timezone: timezone().prefault('UTC') }).optional();
}

/** A cron expression of five fields, spaces made one. */
export function cron() {
  return scalar<string>({ type: 'string', minLength: 9, maxLength: 256 }, (value) => {
    const example = 'write minute, hour, day of the month, month and day of the week: "0 8 * * 1-5"';
    if (typeof value !== 'string') return new Rejected(`expected a cron expression, got ${shown(value)}`, example);
    const parsed = parseCron(value);
    return 'fault' in parsed ? new Rejected(parsed.fault, parsed.hint) : value.trim().replaceAll(/\s+/g, ' ');
  });
}

export function timezone() {
  // A formatter of the runtime is large and slow to make, and a thousand backends of a cluster name the same few zones. Bounded by the data base.
  const known = new Set<string>();
  const isTimezone = (name: string): boolean => {
    if (known.has(name)) return true;
    try {
      // Throws when there is none.
      Intl.DateTimeFormat('en', { timeZone: name });
    } catch {
      return false;
    }
    known.add(name);
    return true;
  };
  return scalar<string>({ type: 'string', minLength: 1, maxLength: 64 }, (value) => {
    const example = 'write a name of the IANA data base: UTC, Europe/Berlin';
    if (typeof value !== 'string') return new Rejected(`expected a time zone, got ${shown(value)}`, example);
    // Node takes offsets, which know no summer time.
    if (value.length <= 64 && /^[A-Za-z]/.test(value) && isTimezone(value)) return value;
    const near = value.length <= 64 ? nearestName(value, ['UTC', ...Intl.supportedValuesOf('timeZone')]) : null;
    return new Rejected(
      `${shown(value)} is not a time zone`,
      near === null ? example : `did you mean ${JSON.stringify(near)}?`,
    );
  });
}

/** Where a Prometheus, or what speaks as one, has its HTTP API. Never shown: it may carry a password. */
export function serverAddress() {
  return scalar<string>({ type: 'string', pattern: '^https?://', maxLength: 2048 }, (value) => {
    const hint = 'write http://host:9090';
    if (typeof value !== 'string' || value.length > 2048) return new Rejected('expected a URL', hint);
    const url = URL.parse(value);
    if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
      return new Rejected('is not an http or https URL', hint);
    return url.search === '' && url.hash === ''
      ? value
      : new Rejected('has a query or a fragment', 'write the address only: /api/v1/query is added to it');
  });
}
