import { ascii, CR, FIELD_VALUE, latin1, LF, SP } from './characters.ts';
import { FieldScanner, FieldSection } from './field-scanner.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import type { HeadLimits } from './limits.ts';
import type { ProtocolError } from './protocol-error.ts';
import { REFUSALS } from './refusals.ts';
import { ResponseHead } from './response-head.ts';

const STATUS_LINE = 0;
const REASON = 1;
const REASON_LF = 2;
const FIELDS = 3;
const FAILED = 4;

/** `HTTP/1.1 200 `; the bytes of version and status are checked one by one. */
const PREFIX = ascii('HTTP/1.');
const STATUS_LINE_BYTES = 13;

/**
 * Parses the response heads of one connection to a backend, with the strictness of the request parser. A 1xx is a head of its own: run the parser
 * again for the next one.
 */
export class ResponseParser {
  /** Valid after `execute` returned an index, until the next `execute` or `reset`. */
  readonly head: ResponseHead;
  error: ProtocolError | null = null;

  private readonly limits: HeadLimits;
  private readonly fields: FieldScanner;
  private readonly gathered: GatheredBytes;
  private state = STATUS_LINE;
  private started = false;
  private reasonEnd = 0;
  private minor: 0 | 1 = 1;

  constructor(limits: HeadLimits) {
    this.limits = limits;
    this.fields = new FieldScanner(FieldSection.RESPONSE, limits.headers);
    this.gathered = new GatheredBytes(limits.headerBytes);
    this.head = new ResponseHead();
  }

  /** True once a byte of a head was seen and the head is not complete. */
  get partial(): boolean {
    return this.gathered.length > 0;
  }

  /** Forgets everything, also an error: for another connection. */
  reset(): void {
    this.state = STATUS_LINE;
    this.started = false;
    this.error = null;
    this.gathered.clear();
  }

  /** As RequestParser.execute; no empty line is skipped before a status line. */
  execute(chunk: Uint8Array, start: number, end: number): number {
    if (this.gathered.length !== 0) {
      const before = this.gathered.length;
      this.gathered.append(chunk, start, end);
      const after = this.parse(this.gathered.bytes, 0, before, this.gathered.length);
      if (after < 0) return after;
      this.gathered.clear();
      return start + after - before;
    }
    if (start >= end && this.state !== FAILED) return -1;
    if (!this.started) {
      this.fields.begin();
      this.started = true;
    }
    const after = this.parse(chunk, start, start, end);
    if (after === -1) this.gathered.append(chunk, start, end);
    return after;
  }

  private refuse(error: ProtocolError): number {
    this.state = FAILED;
    this.error = error;
    this.gathered.clear();
    return -2;
  }

  private parse(bytes: Uint8Array, base: number, at: number, end: number): number {
    const limit = base + this.limits.headerBytes;
    const stop = end < limit ? end : limit;
    let i = at;
    if (this.state < FIELDS) {
      i = this.parseStatusLine(bytes, base, i, stop);
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

  /** Returns the index after the status line (state FIELDS), `end` when more is needed, -2 when refused. */
  private parseStatusLine(bytes: Uint8Array, base: number, at: number, end: number): number {
    let i = at;
    if (this.state === STATUS_LINE) {
      const lineEnd = base + STATUS_LINE_BYTES;
      for (; i < lineEnd; i++) {
        if (i === end) return i;
        const k = i - base;
        const code = bytes[i]!;
        if (k < 7) {
          if (code !== PREFIX[k])
            return this.refuse(
              k === 5 && code >= 0x30 && code <= 0x39 ? REFUSALS.unknownVersion : REFUSALS.badStatusLine,
            );
        } else if (k === 7) {
          if (code !== 0x30 && code !== 0x31) return this.refuse(REFUSALS.badStatusLine);
          this.minor = code === 0x31 ? 1 : 0;
        } else if (k === 8 || k === 12) {
          // RFC 9112 4: the space stands there even without a reason, but servers leave it out; nothing else can be meant.
          if (k === 12 && code === CR) break;
          if (code !== SP) return this.refuse(REFUSALS.badStatusLine);
        } else if (code < 0x30 || code > 0x39) {
          return this.refuse(REFUSALS.badStatusLine);
        } else if (k === 9 && (code < 0x31 || code > 0x35)) {
          return this.refuse(REFUSALS.badStatus);
        }
      }
      this.state = REASON;
    }
    if (this.state === REASON) {
      while (i < end && FIELD_VALUE[bytes[i]!] !== 0) i++;
      if (i === end) return i;
      if (bytes[i] !== CR) return this.refuse(bytes[i] === LF ? REFUSALS.bareLf : REFUSALS.badStatusLine);
      this.reasonEnd = i++ - base;
      this.state = REASON_LF;
    }
    if (i === end) return i;
    if (bytes[i] !== LF) return this.refuse(REFUSALS.bareCr);
    this.state = FIELDS;
    return i + 1;
  }

  private complete(bytes: Uint8Array, base: number, after: number): number {
    const head = this.head;
    const fields = this.fields;
    const minor = this.minor;
    const text = latin1(bytes, base, after);
    const status = (text.charCodeAt(9) - 0x30) * 100 + (text.charCodeAt(10) - 0x30) * 10 + text.charCodeAt(11) - 0x30;
    head.text = text;
    head.minor = minor;
    head.status = status;
    head.reason = text.slice(STATUS_LINE_BYTES, this.reasonEnd);
    head.count = fields.count;
    head.offsets = fields.offsets;
    head.kinds = fields.kinds;
    head.contentLength = fields.contentLength;
    head.chunked = fields.chunked;
    head.keepAlive = minor === 1 ? !fields.close : fields.keepAlive && !fields.close;
    head.connectionNames = fields.connectionNames;
    head.upgrade =
      fields.upgradeOption && fields.upgradeIndex !== -1 && minor === 1 ? head.joinUpgrade(fields.upgradeIndex) : '';

    if (minor === 0 && fields.chunked) return this.refuse(REFUSALS.transferEncodingIn10);
    // RFC 9112 6.1, RFC 9110 8.6: no length in 1xx and 204. A backend that announces a body there may send one; only an empty one is harmless.
    if ((status < 200 || status === 204) && (fields.chunked || fields.contentLength > 0))
      return this.refuse(REFUSALS.lengthNotAllowed);
    if (status === 101 && head.upgrade === '') return this.refuse(REFUSALS.badUpgrade);
    this.state = STATUS_LINE;
    this.started = false;
    return after;
  }
}

export { BodyKind, bodyKind } from './body-kind.ts';
export { ResponseHead } from './response-head.ts';
