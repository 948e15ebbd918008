/** Building blocks of the schema: one function per kind of value, each with messages that say what is wanted. */
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { RE2JS } from 're2js';
import { z } from 'zod';
import type { HostPort, StatusRange } from '../../model/config.ts';
import { readDurationText } from '../../model/duration.ts';
import { shown } from '../config-error.ts';
import { didYouMean } from '../nearest.ts';

/** What a reader returns instead of a value. */
export class Rejected {
  readonly message: string;
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    this.message = message;
    this.hint = hint;
  }
}

/** Bounds of a duration in what z.toJSONSchema makes of its schema: CEL rules are made of it, and editors are not told. */
export const DURATION_LIMITS = 'durationLimits';

/** A value that `read` makes of what stands in the file; `json` is its JSON Schema for editors. */
export function scalar<T>(
  json: Record<string, unknown>,
  read: (value: unknown) => T | Rejected,
): z.ZodType<T, unknown> {
  return z
    .unknown()
    .meta(json)
    .transform((value, context): T => {
      const result = read(value);
      if (!(result instanceof Rejected)) return result;
      const message = value === undefined ? 'is missing' : result.message;
      context.issues.push({ code: 'custom', message, path: [], input: value, params: { hint: result.hint } });
      return z.NEVER;
    });
}

/** A mapping of known keys; absent means that every key has its default. */
export function section<S extends z.ZodRawShape>(shape: S) {
  return z.strictObject(shape);
}

export function number(limits: { min: number; max: number; whole?: boolean; above?: boolean }) {
  const whole = limits.whole ?? true;
  const range = limits.above ? `above ${limits.min} and at most ${limits.max}` : `from ${limits.min} to ${limits.max}`;
  const wanted = `expected a ${whole ? 'whole ' : ''}number ${range}`;
  const lower = limits.above ? { exclusiveMinimum: limits.min } : { minimum: limits.min };
  return scalar<number>({ type: whole ? 'integer' : 'number', ...lower, maximum: limits.max }, (value) => {
    if (typeof value !== 'number' || !Number.isFinite(value) || (whole && !Number.isInteger(value))) {
      const quoted = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value);
      return new Rejected(`${wanted}, got ${shown(value)}`, quoted ? 'remove the quotes' : undefined);
    }
    const tooSmall = limits.above ? value <= limits.min : value < limits.min;
    // -0 would print as 0 and divide as no number should.
    return tooSmall || value > limits.max ? new Rejected(`${wanted}, got ${value}`) : value === 0 ? 0 : value;
  });
}

export function percent(limits: { min: number; max: number }) {
  return number({ ...limits, whole: false });
}

const YEAR_MS = 365 * 86_400_000;
/** Longest duration, ms, of what Node's timers wait for: they take less than 2^31 ms and fire at once when given more. */
export const TIMER_MS = 24 * 86_400_000;
/** Milliseconds of `300ms`, `30s`, `1h30m` or plain 0; at most a year. */
export function readDuration(value: unknown): number | Rejected {
  if (value === 0) return 0;
  const hint = 'write a number with its unit: 300ms, 30s, 5m or 1h30m';
  if (typeof value === 'number' && Number.isFinite(value))
    return new Rejected(`${value} has no unit`, `write ${value}s or ${value}ms`);
  if (typeof value !== 'string') return new Rejected(`expected a duration, got ${shown(value)}`, hint);
  const ms = readDurationText(value);
  if (ms === null) return new Rejected(`${shown(value)} is not a duration`, hint);
  return ms > YEAR_MS ? new Rejected(`${shown(value)} is longer than a year`) : ms;
}

export function duration(limits: { minMs?: number; maxMs?: number } = {}) {
  const minMs = limits.minMs ?? 0;
  const maxMs = limits.maxMs ?? YEAR_MS;
  return scalar<number>(
    {
      type: ['string', 'integer'],
      pattern: '^(0|([0-9.]+(d|h|ms|m|s))+)$',
      maxLength: 64,
      maximum: 0,
      minimum: 0,
      [DURATION_LIMITS]: { min: durationText(minMs), max: durationText(maxMs) },
    },
    (value) => {
      const ms = readDuration(value);
      if (ms instanceof Rejected) return ms;
      if (ms < minMs) return new Rejected(`expected at least ${durationText(minMs)}, got ${shown(value)}`);
      return ms > maxMs ? new Rejected(`expected at most ${durationText(maxMs)}, got ${shown(value)}`) : ms;
    },
  );
}

function durationText(ms: number): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** Bytes of `64kB` (1000), `1MiB` (1024) or a plain whole number of bytes. */
export function size(limits: { min: number; max: number; zero?: boolean }) {
  const hint = 'write a number with its unit: 64kB (1000 each) or 1MiB (1024 each)';
  return scalar<number>(
    { type: ['string', 'integer'], pattern: '^[0-9.]+([kKMGT]i?)?B?$', maxLength: 32, minimum: 0 },
    (value) => {
      let bytes: number;
      if (typeof value === 'number') bytes = value;
      else {
        const match =
          typeof value === 'string' && value.length <= 32 ? /^(\d+(?:\.\d+)?) ?([kKMGT]?i?B|)$/.exec(value) : null;
        const unit = match === null ? undefined : UNITS[match[2]!];
        if (unit === undefined) return new Rejected(`${shown(value)} is not a size`, hint);
        bytes = Number(match![1]) * unit;
      }
      if (!Number.isFinite(bytes) || bytes < 0) return new Rejected(`${shown(value)} is not a size`, hint);
      bytes = Math.round(bytes);
      if (bytes === 0 && limits.zero) return 0;
      const range = `from ${sizeText(limits.min)} to ${sizeText(limits.max)}${limits.zero ? ', or 0 for no bound' : ''}`;
      return bytes < limits.min || bytes > limits.max
        ? new Rejected(`expected a size ${range}, got ${shown(value)}`)
        : bytes;
    },
  );
}

function sizeText(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB', 'TB', 'GB', 'MB', 'kB'] as const) {
    if (bytes > 0 && bytes % UNITS[unit]! === 0) return `${bytes / UNITS[unit]!}${unit}`;
  }
  return `${bytes}B`;
}

export function oneOf<const V extends readonly string[]>(values: V) {
  return scalar<V[number]>({ enum: [...values] }, (value) => {
    if (typeof value === 'string' && values.includes(value)) return value as V[number];
    // YAML 1.1 habits: `off` is text today, but an expansion or a quoted tool may write false.
    if (value === false && values.includes('off')) return 'off' as V[number];
    return new Rejected(
      `expected ${listed(values)}, got ${shown(value)}`,
      typeof value === 'string' ? didYouMean(value, values) : undefined,
    );
  });
}

function listed(values: readonly string[]): string {
  return values.length === 1 ? values[0]! : `${values.slice(0, -1).join(', ')} or ${values.at(-1)!}`;
}

export function toggle() {
  return scalar<boolean>({ enum: ['on', 'off', true, false] }, (value) => {
    if (value === true || value === 'on') return true;
    if (value === false || value === 'off') return false;
    return new Rejected(`expected on or off, got ${shown(value)}`);
  });
}

// oxlint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;

/** One line of text. */
export function text(limits: { max?: number; empty?: boolean; what?: string; lines?: boolean } = {}) {
  const what = limits.what ?? 'text';
  const max = limits.max ?? 4096;
  return scalar<string>({ type: 'string', ...(limits.empty ? {} : { minLength: 1 }), maxLength: max }, (value) => {
    if (typeof value !== 'string') {
      const quoted = typeof value === 'number' || typeof value === 'boolean';
      return new Rejected(`expected ${what}, got ${shown(value)}`, quoted ? 'put it in quotes' : undefined);
    }
    if (value === '' && !limits.empty) return new Rejected(`expected ${what}, got nothing`);
    if (value.length > max) return new Rejected(`is longer than ${max} characters`);
    if (value.includes('\0') || (!limits.lines && CONTROL.test(value)))
      return new Rejected('contains a control character');
    return value;
  });
}

const NAME = /^[a-z0-9][-a-z0-9.]*$/;

/** What is wrong with a name of a backend, listener or route; undefined when nothing is. */
export function nameFault(value: unknown): Rejected | undefined {
  if (typeof value !== 'string') return new Rejected(`expected a name, got ${shown(value)}`);
  if (value.length > 253) return new Rejected('a name has at most 253 characters');
  if (NAME.test(value)) return undefined;
  return new Rejected(`${shown(value)} is not a name`, 'use a-z, 0-9, - and . only, with a letter or digit first');
}

export function name() {
  return scalar<string>({ type: 'string', pattern: NAME.source, maxLength: 253 }, (value) => {
    const plain = typeof value === 'number' ? String(value) : value;
    return nameFault(plain) ?? (plain as string);
  });
}

/** `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; `:8080` is every interface. */
export function address() {
  return scalar<HostPort>({ type: 'string', maxLength: 300 }, readAddress);
}

export function readAddress(value: unknown): HostPort | Rejected {
  const hint = 'write host:port as in 127.0.0.1:8080, [::1]:8080, or :8080 for every interface';
  if (typeof value === 'number')
    return new Rejected(
      `expected an address, got ${value}`,
      `write :${value} for every interface or 127.0.0.1:${value}`,
    );
  if (typeof value !== 'string' || value.length > 300)
    return new Rejected(`expected an address, got ${shown(value)}`, hint);
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(value);
  if (match === null) return new Rejected(`${shown(value)} is not an address`, bracketHint(value) ?? hint);
  const port = Number(match[3]);
  if (port > 65_535) return new Rejected(`port ${port} does not exist`, 'ports go from 0 (any free one) to 65535');
  if (match[1] !== undefined) {
    return isIP(match[1]) === 6
      ? { host: match[1].toLowerCase(), port }
      : new Rejected(`${shown(match[1])} is not an IPv6 address`, hint);
  }
  const host = match[2]!;
  // The unspecified IPv6 address takes IPv4 connections too, as Node's own listen() without a host does.
  if (host === '' || host === '*') return { host: '::', port };
  return isIP(host) === 4 || isHostName(host)
    ? { host: host.toLowerCase(), port }
    : new Rejected(`${shown(host)} is not a host`, hint);
}

/** `::1:8080` is an IPv6 address as a whole, but its end was meant as the port. */
function bracketHint(value: string): string | undefined {
  const [, host, port] = /^(.*):(\d{1,5})$/.exec(value) ?? [];
  if (host !== undefined && isIP(host) === 6 && Number(port) <= 65_535) return `write [${host}]:${port}`;
  return isIP(value) === 6 ? `write [${value}]:8080` : undefined;
}

const LABEL = /^[a-zA-Z0-9_](?:[-a-zA-Z0-9_]*[a-zA-Z0-9_])?$/;

/** A DNS name; four numbers that are no IPv4 address are not one. */
export function isHostName(host: string): boolean {
  if (host.length > 253 || /^[\d.]+$/.test(host)) return false;
  return host.split('.').every((label) => label.length <= 63 && LABEL.test(label));
}

/** A host of a route, lower case: `shop.example.com`, `*.example.com`, or an IP address as clients write it in Host. */
export function hostPattern() {
  return scalar<string>({ type: 'string', minLength: 1, maxLength: 255 }, (value) => {
    if (typeof value !== 'string' || value === '') return new Rejected(`expected a host name, got ${shown(value)}`);
    if (value === '*') return new Rejected('"*" is not a host', 'leave hosts away to match all');
    const host = value.toLowerCase();
    if (isIP(host) === 4 || (host.startsWith('[') && host.endsWith(']') && isIP(host.slice(1, -1)) === 6)) return host;
    if (isIP(host) === 6) return new Rejected(`${shown(value)} is not a host`, `write [${host}]`);
    if (host.includes('/'))
      return new Rejected(`${shown(value)} is not a host`, 'write the name only, without http:// and path');
    if (/:\d+$/.test(host))
      return new Rejected(`${shown(value)} is not a host`, 'leave the port away: it belongs to the listener');
    if (isHostName(host.startsWith('*.') ? host.slice(2) : host)) return host;
    if (host.includes('*'))
      return new Rejected(`${shown(value)} is not a host`, 'a wildcard is *. and a name: *.example.com');
    const ascii = domainToASCII(host);
    const hint = ascii !== '' && ascii !== host ? `write it as ${ascii}` : undefined;
    return new Rejected(`${shown(value)} is not a host`, hint);
  });
}

/** An address or network in CIDR notation. */
export function network() {
  return scalar<string>({ type: 'string', maxLength: 64 }, (value) => {
    const hint = 'write an address or a network: 10.0.0.1, 10.0.0.0/8, fd00::/8';
    if (typeof value !== 'string' || value.length > 64)
      return new Rejected(`expected an address or network, got ${shown(value)}`, hint);
    const slash = value.indexOf('/');
    const family = isIP(slash < 0 ? value : value.slice(0, slash));
    if (family === 0 || value.includes('%')) return new Rejected(`${shown(value)} is not an address or network`, hint);
    if (slash < 0) return value;
    const bits = value.slice(slash + 1);
    const most = family === 4 ? 32 : 128;
    return /^\d{1,3}$/.test(bits) && Number(bits) <= most
      ? value
      : new Rejected(`${shown(value)}: expected /0 to /${most}`, hint);
  });
}

/** A regular expression of RE2's syntax, which is matched in linear time. */
export function regex() {
  return scalar<string>({ type: 'string', minLength: 1, maxLength: 1024 }, (value) => {
    if (typeof value !== 'string' || value === '')
      return new Rejected(`expected a regular expression, got ${shown(value)}`);
    if (value.length > 1024) return new Rejected('is longer than 1024 characters');
    try {
      RE2JS.compile(value);
      return value;
    } catch (error) {
      const reason =
        error instanceof Error
          ? error.message.replace(/^error parsing regexp: /, '').split('\n', 1)[0]!
          : String(error);
      return new Rejected(
        `not a regular expression: ${reason}`,
        'the syntax is RE2: no look-around, no back-references',
      );
    }
  });
}

/** `200-399` or one status. */
export function statusRange() {
  return scalar<StatusRange>(
    { type: ['string', 'integer'], pattern: '^[1-5]\\d\\d(-[1-5]\\d\\d)?$', minimum: 100, maximum: 599 },
    (value) => {
      const hint = 'write a status or a range: 200, 200-399';
      const match = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(
        typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '',
      );
      if (match === null) return new Rejected(`${shown(value)} is not a range of statuses`, hint);
      const from = Number(match[1]);
      const to = Number(match[2] ?? match[1]);
      return from <= to ? { from, to } : new Rejected(`${shown(value)} is empty`, `write ${to}-${from}`);
    },
  );
}

export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** A header name (RFC 9110, 5.6.2), lower case. */
export function headerName() {
  return scalar<string>({ type: 'string', pattern: TOKEN.source, maxLength: 256 }, (value) => {
    if (typeof value === 'string' && value.length <= 256 && TOKEN.test(value)) return value.toLowerCase();
    return new Rejected(`${shown(value)} is not a header name`);
  });
}

/** A path that requests are compared with. */
export function requestPath() {
  return scalar<string>({ type: 'string', pattern: '^/[^?#\\s]*$', maxLength: 2048 }, (value) => {
    if (typeof value !== 'string' || !value.startsWith('/'))
      return new Rejected(`expected a path that starts with /, got ${shown(value)}`);
    if (value.length > 2048) return new Rejected('is longer than 2048 characters');
    if (/[?#]/.test(value)) return new Rejected('a path has no ? and no #', 'match the query with query:');
    return /[^\u0021-\u007e]/.test(value)
      ? new Rejected('a path has no spaces and no characters outside ASCII', 'percent-encode them')
      : value;
  });
}

/** The value of a response header that stands in the file: RFC 9110, 5.5, without what ends a line. */
const HEADER_VALUE = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;
/** How long a message is and whether its connection stays is said by who sends it. */
const FRAMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'trailer',
]);

/** `name: value` of headers that are sent as they stand here. */
export function responseHeaders() {
  const value = scalar<string>({ type: 'string', maxLength: 8192 }, (given) => {
    if (typeof given !== 'string') {
      const quoted = typeof given === 'number' || typeof given === 'boolean';
      return new Rejected(`expected text, got ${shown(given)}`, quoted ? 'put it in quotes' : undefined);
    }
    if (given.length > 8192) return new Rejected('is longer than 8192 characters');
    return HEADER_VALUE.test(given) ? given : new Rejected('contains a character that a header may not have');
  });
  const header = z
    .string()
    .regex(TOKEN, 'not a header name')
    .max(256)
    .refine((given) => !FRAMING.has(given.toLowerCase()), 'is a header that dormouse sets itself');
  return z.record(header, value);
}

/** An absolute http or https URL. The message never shows it: it may carry a password. */
export function httpUrl() {
  return scalar<string>({ type: 'string', pattern: '^https?://', maxLength: 2048 }, (value) => {
    const hint = 'write http://host:port';
    if (typeof value !== 'string' || value.length > 2048) return new Rejected('expected a URL', hint);
    const url = URL.parse(value);
    return url !== null && (url.protocol === 'http:' || url.protocol === 'https:')
      ? value
      : new Rejected('is not an http or https URL', hint);
  });
}
