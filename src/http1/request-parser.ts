import { ascii, CR, latin1, LF, QUESTION, SLASH, SP, TARGET_PATH, TARGET_QUERY, TOKEN } from './characters.ts';
import { FieldScanner, FieldSection } from './field-scanner.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import { hostnameOf } from './host.ts';
import type { HeadLimits } from './limits.ts';
import type { ProtocolError } from './protocol-error.ts';
import { REFUSALS } from './refusals.ts';
import { RequestHead, TargetForm } from './request-head.ts';

const START = 0;
const EMPTY_LINE_LF = 1;
const METHOD = 2;
const PATH = 3;
const QUERY = 4;
const VERSION = 5;
const REQUEST_LINE_CR = 6;
const REQUEST_LINE_LF = 7;
const FIELDS = 8;
const FAILED = 9;

const MAX_METHOD_BYTES = 32;
const MAX_EMPTY_LINES = 2;
const VERSION_PREFIX = ascii('HTTP/');
const VERSION_BYTES = 8;
const LINE_END_BYTES = 10;

/** Method names that are handed out as one string each instead of a copy per request. */
const COMMON_METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS'];

/**
 * Parses request heads out of a byte stream, as strictly as RFC 9112 says. A head that lies whole in one chunk is read in place; otherwise its bytes are
 * gathered and the scan goes on where it stood. Broken input is refused at the byte that shows it, not at the end of the head.
 */
export class RequestParser {
  /** Valid after `execute` returned an index, until the next `execute` or `reset`. */
  readonly head: RequestHead;
  error: ProtocolError | null = null;

  private readonly limits: HeadLimits;
  private readonly fields: FieldScanner;
  private readonly gathered: GatheredBytes;
  private state = START;
  private emptyLines = 0;
  // Positions relative to the first byte of the head.
  private methodEnd = 0;
  private question = -1;
  private targetEnd = 0;
  private minor: 0 | 1 = 1;
  // Most connections send the same Host each time.
  private lastHost = '';
  private lastHostname = '';

  constructor(limits: HeadLimits) {
    this.limits = limits;
    this.fields = new FieldScanner(FieldSection.REQUEST, limits.headers);
    this.gathered = new GatheredBytes(limits.headerBytes);
    this.head = new RequestHead();
  }

  /** True once a byte of a head (empty lines before it don't count) was seen and the head is not complete. */
  get partial(): boolean {
    return this.gathered.length > 0;
  }

  /** Forgets everything, also an error: for another connection. */
  reset(): void {
    this.state = START;
    this.emptyLines = 0;
    this.error = null;
    this.gathered.clear();
  }

  /**
   * Parses at most one head from chunk[start, end). Returns the index after the head when it is complete; -1 when more bytes are needed (all of these
   * were taken); -2 when the input is refused (`error` says why; nothing more is read until `reset`). At most two empty lines before a
   * request line are skipped (RFC 9112 2.2).
   */
  execute(chunk: Uint8Array, start: number, end: number): number {
    if (this.gathered.length !== 0) return this.executeGathered(chunk, start, end);
    let i = start;
    while (this.state < METHOD) {
      if (i >= end) return -1;
      const code = chunk[i]!;
      if (this.state === EMPTY_LINE_LF) {
        if (code !== LF) return this.refuse(REFUSALS.bareCr);
        this.state = START;
        i++;
      } else if (code === CR) {
        if (++this.emptyLines > MAX_EMPTY_LINES) return this.refuse(REFUSALS.emptyLines);
        this.state = EMPTY_LINE_LF;
        i++;
      } else {
        this.state = METHOD;
        this.fields.begin();
      }
    }
    const after = this.parse(chunk, i, i, end);
    if (after === -1) this.gathered.append(chunk, i, end);
    return after;
  }

  private executeGathered(chunk: Uint8Array, start: number, end: number): number {
    const before = this.gathered.length;
    this.gathered.append(chunk, start, end);
    const after = this.parse(this.gathered.bytes, 0, before, this.gathered.length);
    if (after < 0) return after;
    this.gathered.clear();
    return start + after - before;
  }

  private refuse(error: ProtocolError): number {
    this.state = FAILED;
    this.error = error;
    this.gathered.clear();
    return -2;
  }

  /** Goes on at bytes[at, end); the head began at bytes[base]. */
  private parse(bytes: Uint8Array, base: number, at: number, end: number): number {
    const limit = base + this.limits.headerBytes;
    const stop = end < limit ? end : limit;
    let i = at;
    if (this.state < FIELDS) {
      i = this.parseRequestLine(bytes, base, i, stop);
      if (i === -2) return -2;
    }
    if (this.state === FIELDS) {
      const after = this.fields.scan(bytes, base, i, stop);
      if (after >= 0) return this.complete(bytes, base, after);
      if (after === -2) return this.refuse(this.fields.error!);
    }
    if (this.state === FAILED) return -2;
    if (stop === limit) return this.refuse(REFUSALS.headTooLarge);
    return -1;
  }

  /** Returns the index after the request line (state FIELDS), `end` when more is needed, -2 when refused. */
  private parseRequestLine(bytes: Uint8Array, base: number, at: number, end: number): number {
    let state = this.state;
    let i = at;
    if (state === METHOD) {
      while (i < end && TOKEN[bytes[i]!] !== 0) i++;
      if (i - base > MAX_METHOD_BYTES) return this.refuse(REFUSALS.methodTooLong);
      if (i === end) return this.pause(METHOD, i);
      if (bytes[i] !== SP || i === base) return this.refuse(bytes[i] === LF ? REFUSALS.bareLf : REFUSALS.badMethod);
      this.methodEnd = i++ - base;
      this.question = -1;
      state = PATH;
    }
    if (state === PATH) {
      while (i < end && TARGET_PATH[bytes[i]!] !== 0) i++;
      if (i - base - this.methodEnd - 1 > this.limits.uriBytes) return this.refuse(REFUSALS.targetTooLong);
      if (i === end) return this.pause(PATH, i);
      if (bytes[i] === QUESTION) {
        this.question = i++ - base;
        state = QUERY;
      }
    }
    if (state === QUERY) {
      while (i < end && TARGET_QUERY[bytes[i]!] !== 0) i++;
      if (i - base - this.methodEnd - 1 > this.limits.uriBytes) return this.refuse(REFUSALS.targetTooLong);
      if (i === end) return this.pause(QUERY, i);
    }
    if (state <= QUERY) {
      if (bytes[i] !== SP) return this.refuse(badTargetEnd(bytes[i]!));
      if (i - base === this.methodEnd + 1) return this.refuse(REFUSALS.badTarget);
      this.targetEnd = i++ - base;
      state = VERSION;
    }
    if (state === VERSION && i - base === this.targetEnd + 1 && end - i >= LINE_END_BYTES && isHttp1LineEnd(bytes, i)) {
      this.minor = bytes[i + 7] === 0x31 ? 1 : 0;
      this.state = FIELDS;
      return i + LINE_END_BYTES;
    }
    if (state === VERSION) {
      const versionStart = base + this.targetEnd + 1;
      const versionEnd = versionStart + VERSION_BYTES;
      for (; i < versionEnd; i++) {
        if (i === end) return this.pause(VERSION, i);
        const error = this.versionByte(i - versionStart, bytes[i]!, bytes[i - 2]!);
        if (error !== null) return this.refuse(error);
      }
      state = REQUEST_LINE_CR;
    }
    if (state === REQUEST_LINE_CR) {
      if (i === end) return this.pause(REQUEST_LINE_CR, i);
      if (bytes[i] !== CR) return this.refuse(bytes[i] === LF ? REFUSALS.bareLf : REFUSALS.badVersion);
      i++;
      state = REQUEST_LINE_LF;
    }
    if (i === end) return this.pause(REQUEST_LINE_LF, i);
    if (bytes[i] !== LF) return this.refuse(REFUSALS.bareCr);
    this.state = FIELDS;
    return i + 1;
  }

  private pause(state: number, end: number): number {
    this.state = state;
    return end;
  }

  /** Byte k of `HTTP/1.x`. Of another version only the form is checked: it is a 505, and 1.2 to 1.9, which nobody has defined, too. */
  private versionByte(k: number, code: number, major: number): ProtocolError | null {
    if (k < 5) return code === VERSION_PREFIX[k] ? null : code === LF ? REFUSALS.bareLf : REFUSALS.badVersion;
    if (k === 6) return code === 0x2e ? null : REFUSALS.badVersion;
    if (code < 0x30 || code > 0x39) return REFUSALS.badVersion;
    if (k === 5) return null;
    if (major !== 0x31 || code > 0x31) return REFUSALS.unknownVersion;
    this.minor = code === 0x31 ? 1 : 0;
    return null;
  }

  /** bytes[base, after) is a whole head. */
  private complete(bytes: Uint8Array, base: number, after: number): number {
    const head = this.head;
    const fields = this.fields;
    const minor = this.minor;
    const methodEnd = this.methodEnd;
    const targetEnd = this.targetEnd;
    const text = latin1(bytes, base, after);
    head.text = text;
    head.minor = minor;
    head.count = fields.count;
    head.offsets = fields.offsets;
    head.kinds = fields.kinds;
    head.contentLength = fields.contentLength;
    head.chunked = fields.chunked;
    head.keepAlive = minor === 1 ? !fields.close : fields.keepAlive && !fields.close;
    head.connectionNames = fields.connectionNames;
    head.expectContinue = fields.expectContinue && minor === 1;
    head.teTrailers = fields.teTrailers;
    head.hostIndex = fields.hostIndex;
    // RFC 9110 7.8: Upgrade of an HTTP/1.0 request is ignored.
    head.upgrade =
      fields.upgradeOption && fields.upgradeIndex !== -1 && minor === 1 ? head.joinUpgrade(fields.upgradeIndex) : '';
    head.method = methodOf(text, methodEnd);
    const target = text.slice(methodEnd + 1, targetEnd);
    head.target = target;
    head.form = TargetForm.ORIGIN;
    head.hostFromTarget = false;
    if (this.question === -1) {
      head.hasQuery = false;
      head.query = '';
      head.path = target;
    } else {
      head.hasQuery = true;
      head.query = text.slice(this.question + 1, targetEnd);
      head.path = text.slice(methodEnd + 1, this.question);
    }

    if (minor === 0 && fields.chunked) return this.refuse(REFUSALS.transferEncodingIn10);
    if (fields.hostIndex === -1) {
      if (minor === 1) return this.refuse(REFUSALS.hostMissing);
      head.host = '';
      head.hostname = '';
    } else if (!this.takeHost(head.valueAt(fields.hostIndex))) {
      return this.refuse(REFUSALS.badHost);
    }
    if (text.charCodeAt(methodEnd + 1) !== 0x2f || head.method === 'CONNECT') {
      const error = this.takeOtherForm(head);
      if (error !== null) return this.refuse(error);
    }
    this.state = START;
    this.emptyLines = 0;
    return after;
  }

  private takeHost(authority: string): boolean {
    if (authority !== this.lastHost || authority === '') {
      const hostname = hostnameOf(authority);
      if (hostname === null) return false;
      this.lastHost = authority;
      this.lastHostname = hostname;
    }
    this.head.host = authority;
    this.head.hostname = this.lastHostname;
    return true;
  }

  /** asterisk-, authority- and absolute-form (RFC 9112 3.2.2 to 3.2.4). */
  private takeOtherForm(head: RequestHead): ProtocolError | null {
    const target = head.target;
    if (head.method === 'CONNECT') {
      const colon = target.lastIndexOf(':');
      if (head.hasQuery || colon === -1 || colon === target.length - 1 || !this.takeHost(target))
        return REFUSALS.badTarget;
      head.form = TargetForm.AUTHORITY;
      head.path = '';
      head.hostFromTarget = true;
      return null;
    }
    if (target === '*') {
      if (head.method !== 'OPTIONS') return REFUSALS.badTarget;
      head.form = TargetForm.ASTERISK;
      return null;
    }
    const scheme = /^https?:\/\//i.exec(head.path);
    if (scheme === null) return REFUSALS.badTarget;
    const slash = head.path.indexOf('/', scheme[0].length);
    const authority = slash === -1 ? head.path.slice(scheme[0].length) : head.path.slice(scheme[0].length, slash);
    if (!this.takeHost(authority)) return REFUSALS.badHost;
    head.form = TargetForm.ABSOLUTE;
    head.hostFromTarget = true;
    if (slash !== -1) head.path = head.path.slice(slash);
    else head.path = head.method === 'OPTIONS' && !head.hasQuery ? '*' : '/';
    return null;
  }
}

/** `HTTP/1.1` or `HTTP/1.0` and CRLF, what all but the broken and the split send. */
function isHttp1LineEnd(bytes: Uint8Array, i: number): boolean {
  return (
    bytes[i] === 0x48 &&
    bytes[i + 1] === 0x54 &&
    bytes[i + 2] === 0x54 &&
    bytes[i + 3] === 0x50 &&
    bytes[i + 4] === SLASH &&
    bytes[i + 5] === 0x31 &&
    bytes[i + 6] === 0x2e &&
    (bytes[i + 7]! | 1) === 0x31 &&
    bytes[i + 8] === CR &&
    bytes[i + 9] === LF
  );
}

function badTargetEnd(code: number): ProtocolError {
  if (code === LF) return REFUSALS.bareLf;
  return code === CR ? REFUSALS.badVersion : REFUSALS.badTarget;
}

function methodOf(text: string, end: number): string {
  if (end === 3 && text.charCodeAt(0) === 0x47 && text.charCodeAt(1) === 0x45 && text.charCodeAt(2) === 0x54)
    return 'GET';
  for (const method of COMMON_METHODS) if (method.length === end && text.startsWith(method)) return method;
  return text.slice(0, end);
}

export { RequestHead, TargetForm } from './request-head.ts';
