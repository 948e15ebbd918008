/**
 * One line per exchange. What stays the same from one exchange to the next (client and host, route and endpoint, browser) is kept as ready pieces: most of a
 * line's cost is joining and scanning its parts. Measured: docs/access-log.md.
 */
import { HTTP2, RAW } from '../model/access.ts';
import type { AccessRecord } from '../model/access.ts';
import { commonSafe, commonWord, jsonSafe } from './escape.ts';

/** Turns a record into a line of ASCII with its newline, never longer than `longest` bytes. */
export type FormatLine = (record: AccessRecord) => string;

export interface FormatOptions {
  /** Lower-case header names whose values are replaced by REDACTED. */
  redact: readonly string[];
  /** In bytes, at least 4096. */
  longest: number;
}

const REDACTED = '[redacted]';
/** What remains of each text in a line that would be too long. Nine of them and the rest stay below 4096. */
const SHORT_CHARS = 380;
/** Endpoints whose part of the line is kept ready. */
const MOST_PLACES = 256;
const THREE_DIGITS: readonly string[] = Array.from({ length: 1000 }, (_, number) => String(number).padStart(3, '0'));

export function jsonFormat(options: FormatOptions): FormatLine {
  const hideUserAgent = options.redact.includes('user-agent');
  const hideReferer = options.redact.includes('referer');
  const hideHost = options.redact.includes('host');
  const beginning = timePieces((iso) => `{"time":"${iso}","client":"`);

  const who = new KeptPiece();
  let client = '';
  let method = '';
  let host = '';
  const whoPiece = (record: AccessRecord, safe: Safe): string => {
    if (who.isKept && record.host === host && record.method === method && record.client === client) return who.again();
    client = record.client;
    method = record.method;
    host = record.host;
    const shownHost = hideHost && host !== '' ? REDACTED : safe(host);
    return who.keep(`${safe(client)}","method":"${safe(method)}","host":"${shownHost}","target":"`);
  };

  // Requests go round the endpoints: a piece for each, with the route and backend it was made for.
  let places = new Map<string, Place>();
  const wherePiece = (record: AccessRecord, safe: Safe): string => {
    const known = places.get(record.endpoint);
    if (
      known !== undefined &&
      record.route === known.route &&
      record.backend === known.backend &&
      record.attempts === known.attempts
    ) {
      return known.piece.again();
    }
    const { route, backend, endpoint, attempts } = record;
    if (places.size >= MOST_PLACES) places = new Map();
    const piece = new KeptPiece();
    places.set(endpoint, { route, backend, attempts, piece });
    return piece.keep(
      `${member('route', safe(route))}${member('backend', safe(backend))}${member('endpoint', safe(endpoint))},"attempts":${attempts}`,
    );
  };

  const browser = new KeptPiece();
  let userAgent = '';
  let referer = '';
  const browserPiece = (record: AccessRecord, safe: Safe): string => {
    if (browser.isKept && record.userAgent === userAgent && record.referer === referer) return browser.again();
    userAgent = record.userAgent;
    referer = record.referer;
    const shownAgent = hideUserAgent && userAgent !== '' ? REDACTED : safe(userAgent);
    const shownReferer = hideReferer && referer !== '' ? REDACTED : safe(referer);
    return browser.keep(`${member('userAgent', shownAgent)}${member('referer', shownReferer)}}\n`);
  };

  const line = (record: AccessRecord, safe: Safe): string => {
    let text =
      beginning(record.startedAtMs) +
      whoPiece(record, safe) +
      safe(record.target) +
      (record.minor === 1 ? '","protocol":"HTTP/1.1","status":' : `","protocol":"${protocolOf(record)}","status":`) +
      record.status +
      ',"requestBytes":' +
      record.requestBytes +
      ',"responseBytes":' +
      record.responseBytes +
      ',"durationMs":' +
      milliseconds(record.durationMs);
    if (record.heldMs > 0) text += ',"heldMs":' + milliseconds(record.heldMs);
    if (record.coldStart) text += ',"coldStart":true';
    if (record.outcome !== '') text += ',"outcome":"' + safe(record.outcome) + '"';
    return (
      text + wherePiece(record, safe) + ',"requestId":"' + safe(record.requestId) + '"' + browserPiece(record, safe)
    );
  };

  const forget = (): void => {
    who.forget();
    places.clear();
    browser.forget();
  };

  return (record) => {
    const text = line(record, jsonSafe);
    if (text.length <= options.longest) return text;
    forget();
    const cut = line(record, cutTo(jsonSafe, JSON_PIECE));
    forget();
    return cut;
  };
}

/** The common log format: `host ident authuser [date] "request" status bytes`. */
export function commonFormat(options: FormatOptions): FormatLine {
  const date = timePieces((iso) => ` - - [${commonDate(iso)}] "`, 1000);
  const line = (record: AccessRecord, safe: Safe, word: Safe): string =>
    word(record.client) +
    date(record.startedAtMs) +
    (record.method === ''
      ? '-'
      : safe(record.method) +
        ' ' +
        word(record.target) +
        (record.minor === 1 ? ' HTTP/1.1' : ` ${protocolOf(record)}`)) +
    '" ' +
    (record.status === 0 ? '-' : record.status) +
    ' ' +
    (record.responseBytes === 0 ? '-\n' : record.responseBytes + '\n');
  return (record) => {
    const text = line(record, commonSafe, commonWord);
    return text.length <= options.longest
      ? text
      : line(record, cutTo(commonSafe, COMMON_PIECE), cutTo(commonWord, COMMON_PIECE));
  };
}

function protocolOf({ minor }: AccessRecord): string {
  return minor === RAW ? 'tcp' : minor === 0 ? 'HTTP/1.0' : minor === HTTP2 ? 'HTTP/2.0' : 'HTTP/1.1';
}

type Safe = (text: string) => string;

/** One character of an escaped text. */
const JSON_PIECE = /\\u[0-9a-f]{4}|\\.|[^\\]/g;
const COMMON_PIECE = /\\x[0-9A-F]{2}|[^\\]/g;

/** Cuts after escaping, which may make six characters of one, and never inside an escape. */
function cutTo(safe: Safe, piece: RegExp): Safe {
  return (text) => {
    // Even unescaped, more than this many characters are not shown: no need to escape them.
    const escaped = safe(text.slice(0, SHORT_CHARS + 1));
    if (escaped.length <= SHORT_CHARS) return escaped;
    let shown = '';
    for (const [character] of escaped.matchAll(piece)) {
      if (shown.length + character.length > SHORT_CHARS - 3) break;
      shown += character;
    }
    return `${shown}...`;
  };
}

function member(name: string, value: string): string {
  return value === '' ? '' : `,"${name}":"${value}"`;
}

/** The text that goes with a time, kept per millisecond, its date per second. `stepMs`: how often the text changes. */
function timePieces(text: (iso: string) => string, stepMs = 1): (atMs: number) => string {
  let kept = -1;
  let keptText = '';
  let keptSecond = -1;
  let prefix = '';
  return (atMs) => {
    const step = Math.floor(atMs / stepMs);
    if (step === kept) return keptText;
    kept = step;
    const second = Math.floor(atMs / 1000);
    if (second !== keptSecond) {
      keptSecond = second;
      prefix = new Date(second * 1000).toISOString().slice(0, 20);
    }
    keptText = text(`${prefix}${THREE_DIGITS[Math.floor(atMs) - second * 1000]}Z`);
    return keptText;
  };
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `2026-11-21T06:21:36.952Z` -> `21/Nov/2026:06:21:36 +0000`. */
function commonDate(iso: string): string {
  return `${iso.slice(8, 10)}/${MONTHS[Number(iso.slice(5, 7)) - 1]}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
}

/** Three decimals, without the cost of formatting a double. */
function milliseconds(value: number): string {
  // Longer than a quarter of an hour, nobody needs microseconds, and the integer arithmetic would overflow.
  if (!(value >= 0 && value < 1_000_000)) return String(Math.max(0, Math.round(value)) || 0);
  const micros = (value * 1000 + 0.5) | 0;
  const whole = (micros / 1000) | 0;
  return whole + '.' + THREE_DIGITS[micros - whole * 1000];
}

interface Place {
  route: string;
  backend: string;
  attempts: number;
  piece: KeptPiece;
}

/** Part of a line that may be wanted again. From its second use on it is one string and not a tree of its parts, which is cheaper to copy. */
class KeptPiece {
  #text: string | null = null;
  #isFlat = false;

  get isKept(): boolean {
    return this.#text !== null;
  }

  keep(text: string): string {
    this.#text = text;
    this.#isFlat = false;
    return text;
  }

  again(): string {
    // Looking into a string makes it one piece, whatever is looked for.
    if (!this.#isFlat) this.#isFlat = !BEGINNING.test(this.#text!);
    return this.#text!;
  }

  forget(): void {
    this.#text = null;
  }
}

const BEGINNING = /^\n/;
