import { ascii, COLON, COMMA, CR, equalsToken, FIELD_VALUE, latin1, LF, SP, TAB, TOKEN } from './characters.ts';
import { headerKind, HeaderKind, LAST_SEMANTIC } from './header-kind.ts';
import type { ProtocolError } from './protocol-error.ts';
import { REFUSALS } from './refusals.ts';

/** Numbers per header line in `offsets`: start and end of the name, start and end of the value, end of the line after its CRLF. */
export const OFFSETS_PER_LINE = 5;

/** Whose header lines are scanned: it decides which of them mean something. */
export const FieldSection = Object.freeze({ REQUEST: 0, RESPONSE: 1, TRAILERS: 2 });

const LINE_START = 0;
const NAME = 1;
const SPACE = 2;
const VALUE = 3;
const LINE_LF = 4;
const LAST_LF = 5;

/** Lines that there is room for at first. */
const FIRST_LINES = 16;
const MAX_CONNECTION_NAMES = 32;
const MAX_LENGTH_DIGITS = 16;

const CHUNKED_TOKEN = ascii('chunked');
const CLOSE_TOKEN = ascii('close');
const KEEP_ALIVE_TOKEN = ascii('keep-alive');
const UPGRADE_TOKEN = ascii('upgrade');
const TE_TOKEN = ascii('te');
const TRAILERS_TOKEN = ascii('trailers');
const CONTINUE_TOKEN = ascii('100-continue');
const HOST_TOKEN = ascii('host');
const LENGTH_TOKEN = ascii('content-length');

/**
 * Header lines and their final empty line, one pass over the bytes, over any split of them: `scan` may be called again with more bytes
 * and goes on where it stood. Shared by requests, responses and trailers. Positions are kept relative to `base`, the first byte of the head, so that
 * the bytes may move to another buffer between two calls.
 */
export class FieldScanner {
  /** Both grow as lines come, so that an idle connection is cheap: take them anew after each head. */
  offsets: Int32Array;
  kinds: Uint8Array;
  count = 0;
  error: ProtocolError | null = null;

  /** Line of the only Host, -1 without. */
  hostIndex = -1;
  /** -1 without Content-Length. */
  contentLength = -1;
  chunked = false;
  expectContinue = false;
  teTrailers = false;
  /** Options of Connection. */
  close = false;
  keepAlive = false;
  upgradeOption = false;
  upgradeIndex = -1;
  connectionNames: string[] | null = null;

  private readonly section: number;
  private readonly maxLines: number;
  private state = LINE_START;
  private nameStart = 0;
  private nameEnd = 0;
  private valueStart = 0;

  constructor(section: number, maxLines: number) {
    this.section = section;
    this.maxLines = maxLines;
    const lines = Math.min(maxLines, FIRST_LINES);
    this.offsets = new Int32Array(lines * OFFSETS_PER_LINE);
    this.kinds = new Uint8Array(lines);
  }

  /** Forgets the last head. */
  begin(): void {
    this.count = 0;
    this.error = null;
    this.hostIndex = -1;
    this.contentLength = -1;
    this.chunked = false;
    this.expectContinue = false;
    this.teTrailers = false;
    this.close = false;
    this.keepAlive = false;
    this.upgradeOption = false;
    this.upgradeIndex = -1;
    this.connectionNames = null;
    this.state = LINE_START;
  }

  /** Scans bytes[at, end). Returns the index after the final CRLF, -1 when more is needed (all taken), -2 when refused (`error`). */
  scan(bytes: Uint8Array, base: number, at: number, end: number): number {
    let state = this.state;
    let nameStart = this.nameStart + base;
    let nameEnd = this.nameEnd + base;
    let valueStart = this.valueStart + base;
    let i = at;
    let offsets = this.offsets;
    let kinds = this.kinds;
    const understood = this.section !== FieldSection.TRAILERS ? LAST_SEMANTIC : 0;
    // The ifs below run one after the other for a whole line; a state other than LINE_START is only met first when a line was split.
    while (i < end) {
      if (state === LINE_START) {
        const first = bytes[i]!;
        if (first === CR) {
          i++;
          state = LAST_LF;
          if (i === end) break;
        } else {
          if (TOKEN[first] === 0) return this.refuse(this.badLineStart(first));
          if (this.count === kinds.length) {
            if (this.count === this.maxLines) return this.refuse(REFUSALS.tooManyHeaders);
            this.grow();
            offsets = this.offsets;
            kinds = this.kinds;
          }
          nameStart = i++;
          state = NAME;
        }
      }
      if (state === NAME) {
        while (i < end && TOKEN[bytes[i]!] !== 0) i++;
        if (i === end) break;
        if (bytes[i] !== COLON) return this.refuse(badNameEnd(bytes[i]!));
        nameEnd = i++;
        state = SPACE;
      }
      if (state === SPACE) {
        while (i < end && (bytes[i] === SP || bytes[i] === TAB)) i++;
        if (i === end) break;
        valueStart = i;
        state = VALUE;
      }
      if (state === VALUE) {
        while (i < end && FIELD_VALUE[bytes[i]!] !== 0) i++;
        if (i === end) break;
        if (bytes[i] !== CR) return this.refuse(bytes[i] === LF ? REFUSALS.bareLf : REFUSALS.badValue);
        i++;
        state = LINE_LF;
        if (i === end) break;
      }
      if (bytes[i] !== LF) return this.refuse(REFUSALS.bareCr);
      i++;
      if (state === LAST_LF) {
        this.state = LINE_START;
        return i;
      }
      let valueEnd = i - 2;
      while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === TAB)) valueEnd--;
      const index = this.count++;
      const kind = headerKind(bytes, nameStart, nameEnd);
      kinds[index] = kind;
      const o = index * OFFSETS_PER_LINE;
      offsets[o] = nameStart - base;
      offsets[o + 1] = nameEnd - base;
      offsets[o + 2] = valueStart - base;
      offsets[o + 3] = valueEnd - base;
      offsets[o + 4] = i - base;
      if (kind !== 0 && kind <= understood) {
        const error = this.understand(kind, index, bytes, valueStart, valueEnd);
        if (error !== null) return this.refuse(error);
      }
      state = LINE_START;
    }
    this.state = state;
    this.nameStart = nameStart - base;
    this.nameEnd = nameEnd - base;
    this.valueStart = valueStart - base;
    return -1;
  }

  private refuse(error: ProtocolError): number {
    this.error = error;
    return -2;
  }

  private grow(): void {
    const lines = Math.min(this.maxLines, this.kinds.length * 2);
    const offsets = new Int32Array(lines * OFFSETS_PER_LINE);
    const kinds = new Uint8Array(lines);
    offsets.set(this.offsets);
    kinds.set(this.kinds);
    this.offsets = offsets;
    this.kinds = kinds;
  }

  private badLineStart(first: number): ProtocolError {
    if (first === LF) return REFUSALS.bareLf;
    if (first === SP || first === TAB) return this.count === 0 ? REFUSALS.leadingSpace : REFUSALS.obsFold;
    return REFUSALS.badName;
  }

  private understand(kind: number, index: number, bytes: Uint8Array, start: number, end: number): ProtocolError | null {
    switch (kind) {
      case HeaderKind.HOST:
        if (this.section !== FieldSection.REQUEST) return null;
        if (this.hostIndex !== -1) return REFUSALS.hostRepeated;
        this.hostIndex = index;
        return null;
      case HeaderKind.CONNECTION:
        return this.readConnection(bytes, start, end);
      case HeaderKind.CONTENT_LENGTH:
        return this.readContentLength(bytes, start, end);
      case HeaderKind.TRANSFER_ENCODING:
        if (this.chunked) return REFUSALS.badTransferEncoding;
        if (this.contentLength !== -1) return REFUSALS.bothLengths;
        if (!equalsToken(bytes, start, end, CHUNKED_TOKEN)) return badCoding(bytes, start, end);
        this.chunked = true;
        return null;
      case HeaderKind.UPGRADE:
        if (!isProtocolList(bytes, start, end)) return REFUSALS.badUpgrade;
        if (this.upgradeIndex === -1) this.upgradeIndex = index;
        return null;
      case HeaderKind.EXPECT:
        if (this.section !== FieldSection.REQUEST) return null;
        if (!equalsToken(bytes, start, end, CONTINUE_TOKEN)) return REFUSALS.unknownExpectation;
        this.expectContinue = true;
        return null;
      case HeaderKind.TE:
        if (listHas(bytes, start, end, TRAILERS_TOKEN)) this.teTrailers = true;
        return null;
      default:
        return null;
    }
  }

  private readContentLength(bytes: Uint8Array, start: number, end: number): ProtocolError | null {
    if (this.chunked) return REFUSALS.bothLengths;
    if (this.contentLength !== -1) return REFUSALS.contentLengthRepeated;
    if (start === end) return REFUSALS.badContentLength;
    let length = 0;
    for (let i = start; i < end; i++) {
      const digit = bytes[i]! - 0x30;
      if (digit < 0 || digit > 9) return REFUSALS.badContentLength;
      // Above 2^53 the sum is no longer exact, but it never gets smaller again: the comparison below stays right.
      length = length * 10 + digit;
    }
    if (end - start > MAX_LENGTH_DIGITS || length > Number.MAX_SAFE_INTEGER) return REFUSALS.contentLengthTooLarge;
    this.contentLength = length;
    return null;
  }

  private readConnection(bytes: Uint8Array, start: number, end: number): ProtocolError | null {
    // What nearly all send, without looking for a list.
    if (equalsToken(bytes, start, end, KEEP_ALIVE_TOKEN)) {
      this.keepAlive = true;
      return null;
    }
    let i = start;
    while (i < end) {
      if (bytes[i] === SP || bytes[i] === TAB || bytes[i] === COMMA) {
        i++;
        continue;
      }
      const from = i;
      while (i < end && TOKEN[bytes[i]!] !== 0) i++;
      const to = i;
      while (i < end && (bytes[i] === SP || bytes[i] === TAB)) i++;
      if (from === to || (i < end && bytes[i] !== COMMA)) return REFUSALS.badConnection;
      if (equalsToken(bytes, from, to, CLOSE_TOKEN)) this.close = true;
      else if (equalsToken(bytes, from, to, KEEP_ALIVE_TOKEN)) this.keepAlive = true;
      else if (equalsToken(bytes, from, to, UPGRADE_TOKEN)) this.upgradeOption = true;
      else if (!equalsToken(bytes, from, to, TE_TOKEN)) {
        // Dropping these two would change where the request goes or where its body ends (RFC 9110 7.6.1 forbids to name them).
        if (equalsToken(bytes, from, to, HOST_TOKEN) || equalsToken(bytes, from, to, LENGTH_TOKEN))
          return REFUSALS.badConnection;
        this.connectionNames ??= [];
        if (this.connectionNames.length === MAX_CONNECTION_NAMES) return REFUSALS.badConnection;
        this.connectionNames.push(latin1(bytes, from, to).toLowerCase());
      }
    }
    return null;
  }
}

function badNameEnd(code: number): ProtocolError {
  if (code === SP || code === TAB) return REFUSALS.spaceBeforeColon;
  return code === LF ? REFUSALS.bareLf : REFUSALS.badName;
}

/** Why a Transfer-Encoding other than `chunked` is refused: 501 for a well-formed list that ends in chunked, 400 for all else (RFC 9112 6.3). */
function badCoding(bytes: Uint8Array, start: number, end: number): ProtocolError {
  const members = latin1(bytes, start, end).toLowerCase().split(',');
  let chunked = 0;
  for (const member of members) {
    const coding = member.replace(/^[\t ]+/, '').replace(/[\t ]+$/, '');
    if (coding === 'chunked') chunked++;
    else if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(coding)) return REFUSALS.badTransferEncoding;
  }
  const last = members[members.length - 1]!.trim();
  return chunked === 1 && last === 'chunked' && members.length > 1
    ? REFUSALS.unknownCoding
    : REFUSALS.badTransferEncoding;
}

/** True when a comma-separated list has the member `lower` (without parameters). */
function listHas(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  let from = start;
  for (let i = start; i <= end; i++) {
    if (i < end && bytes[i] !== COMMA) continue;
    let to = i;
    while (from < to && (bytes[from] === SP || bytes[from] === TAB)) from++;
    while (to > from && (bytes[to - 1] === SP || bytes[to - 1] === TAB)) to--;
    if (equalsToken(bytes, from, to, lower)) return true;
    from = i + 1;
  }
  return false;
}

/** Upgrade = #( token [ "/" token ] ) (RFC 9110 7.8), at least one. */
function isProtocolList(bytes: Uint8Array, start: number, end: number): boolean {
  let any = false;
  let i = start;
  while (i < end) {
    if (bytes[i] === SP || bytes[i] === TAB || bytes[i] === COMMA) {
      i++;
      continue;
    }
    const name = i;
    while (i < end && TOKEN[bytes[i]!] !== 0) i++;
    if (i === name) return false;
    if (i < end && bytes[i] === 0x2f) {
      const version = ++i;
      while (i < end && TOKEN[bytes[i]!] !== 0) i++;
      if (i === version) return false;
    }
    while (i < end && (bytes[i] === SP || bytes[i] === TAB)) i++;
    if (i < end && bytes[i] !== COMMA) return false;
    any = true;
  }
  return any;
}
