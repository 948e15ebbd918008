/** Server-Timing headers, read into the hops that wrote them. */

export interface TimingEntry {
  name: string;
  /** ms; 0 when it says none. */
  durMs: number;
  /** ms after the request reached the hop; null where it doesn't say (applications don't). */
  startMs: number | null;
  desc: string;
  params: Record<string, string>;
}

/** One gateway on the way. */
export interface Hop {
  listener: string;
  route: string;
  backend: string;
  endpoint: string;
  /** From the request's first byte to the head of its response. */
  durMs: number;
  spans: TimingEntry[];
}

export interface Hops {
  /** From the client inwards. */
  gateways: Hop[];
  /** What the application says of itself. */
  application: TimingEntry[];
}

/** Entries that are read at most; a response may have come from anywhere. */
const MOST_ENTRIES = 500;

/**
 * `values`: of all Server-Timing lines in the order received. Each gateway adds its own line behind those of the hop inside of it, beginning with the entry
 * `dormouse`; what stands before the first of them is the application's.
 */
export function readHops(values: readonly string[]): Hops {
  const gateways: Hop[] = [];
  const application: TimingEntry[] = [];
  for (const entry of values.flatMap((value) => readServerTiming(value)).slice(0, MOST_ENTRIES)) {
    if (entry.name === 'dormouse') {
      const { listener = '', route = '', backend = '' } = entry.params;
      gateways.unshift({ listener, route, backend, endpoint: entry.desc, durMs: entry.durMs, spans: [] });
    } else if (gateways.length > 0 && entry.startMs !== null) gateways[0]!.spans.push(entry);
    else application.push(entry);
  }
  return { gateways, application };
}

/** The grammar of the header (W3C Server Timing, section 3): `name;dur=1.5;desc="a, b", other`. What it doesn't allow is passed over. */
export function readServerTiming(value: string): TimingEntry[] {
  const entries: TimingEntry[] = [];
  for (const member of splitOutsideQuotes(value, ',')) {
    const [name, ...rest] = splitOutsideQuotes(member, ';').map((part) => part.trim());
    if (name === undefined || !/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) continue;
    const params: Record<string, string> = {};
    for (const part of rest) {
      const equals = part.indexOf('=');
      if (equals <= 0) continue;
      const key = part.slice(0, equals).trim().toLowerCase();
      if (!Object.hasOwn(params, key)) params[key] = unquoted(part.slice(equals + 1).trim());
    }
    entries.push({
      name,
      durMs: numberOr(params.dur, 0) ?? 0,
      startMs: numberOr(params.start, null),
      desc: params.desc ?? '',
      params,
    });
  }
  return entries;
}

function numberOr(text: string | undefined, otherwise: number | null): number | null {
  if (text === undefined || !/^-?\d{1,9}(\.\d{1,6})?$/.test(text)) return otherwise;
  return Number(text);
}

function unquoted(text: string): string {
  return text.startsWith('"') && text.endsWith('"') && text.length > 1
    ? text.slice(1, -1).replace(/\\(.)/g, '$1')
    : text;
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let quoted = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\' && quoted) i++;
    else if (text[i] === '"') quoted = !quoted;
    else if (text[i] === separator && !quoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}
