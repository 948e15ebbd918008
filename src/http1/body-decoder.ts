import { BodyKind } from './body-kind.ts';
import {
  CR,
  DQUOTE,
  EQUALS,
  FIELD_VALUE,
  HEX,
  latin1,
  LF,
  SEMICOLON,
  SP,
  TAB,
  TOKEN,
  BACKSLASH,
} from './characters.ts';
import { FieldScanner, FieldSection, OFFSETS_PER_LINE } from './field-scanner.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import type { HeadLimits } from './limits.ts';
import type { ProtocolError } from './protocol-error.ts';
import { REFUSALS } from './refusals.ts';
import { isForbiddenTrailer } from './trailer-rules.ts';

/** Takes the payload of a body, a slice of the chunk that was read. */
export interface BodySink {
  onBody(chunk: Buffer, start: number, end: number): void;
}

const SIZE = 0;
const SIZE_LF = 1;
const DATA = 2;
const DATA_CR = 3;
const DATA_LF = 4;
const TRAILER = 5;
// Within chunk extensions. BWS is allowed around `;` and `=` (RFC 9112 7.1.1), nowhere else.
const AFTER_SIZE_SPACE = 6;
const EXT_NAME_START = 7;
const EXT_NAME = 8;
const AFTER_NAME_SPACE = 9;
const EXT_VALUE_START = 10;
const EXT_VALUE = 11;
const QUOTED = 12;
const QUOTED_PAIR = 13;
const AFTER_VALUE = 14;
const AFTER_EXT_SPACE = 15;

const MAX_SIZE_DIGITS = 13;
const MAX_EXTENSION_BYTES = 1024;
const TRAILER_LIMITS = Object.freeze({ headerBytes: 8192, headers: 64 });

/** Takes a message body off the wire, whatever its framing (RFC 9112 6 and 7). Keeps nothing of the payload. */
export class BodyDecoder {
  /** The body is complete. */
  done = true;
  error: ProtocolError | null = null;
  /** Payload bytes handed to the sink. */
  received = 0;
  /** After the end of a chunked body: `name: value CRLF` lines that may be passed on, or ''. Trailers that RFC 9110 6.5.1 forbids are left out. */
  trailers = '';

  private readonly limits: Pick<HeadLimits, 'headerBytes' | 'headers'>;
  private kind: number = BodyKind.NONE;
  /** Bytes left of the body (LENGTH) or of the chunk (CHUNKED). */
  private left = 0;
  private state = SIZE;
  private digits = 0;
  private extensionBytes = 0;
  private fields: FieldScanner | null = null;
  private gathered: GatheredBytes | null = null;

  /** `headerBytes` and `headers` bound the trailer section: 8 kB and 64 lines when left out. */
  constructor(limits: Pick<HeadLimits, 'headerBytes' | 'headers'> = TRAILER_LIMITS) {
    this.limits = limits;
  }

  /** Begins a body. `kind`: a BodyKind; `length`: bytes, for LENGTH only. */
  reset(kind: number, length: number): void {
    this.kind = kind;
    this.left = kind === BodyKind.LENGTH ? length : 0;
    this.done = kind === BodyKind.NONE || (kind === BodyKind.LENGTH && length === 0);
    this.error = null;
    this.received = 0;
    this.trailers = '';
    this.state = SIZE;
    this.digits = 0;
    this.extensionBytes = 0;
    this.gathered = null;
  }

  /**
   * Consumes chunk[start, end): payload goes to the sink in order. Returns the index up to which it consumed (after the last byte of the body when `done`),
   * or -2 when the framing is broken (`error`; from then on nothing is consumed).
   */
  execute(chunk: Buffer, start: number, end: number, sink: BodySink): number {
    if (this.error !== null) return -2;
    if (this.done || start >= end) return start;
    if (this.kind === BodyKind.CHUNKED) return this.executeChunked(chunk, start, end, sink);
    let stop = end;
    if (this.kind === BodyKind.LENGTH) {
      if (this.left <= end - start) {
        stop = start + this.left;
        this.done = true;
      }
      this.left -= stop - start;
    }
    this.received += stop - start;
    sink.onBody(chunk, start, stop);
    return stop;
  }

  /** The connection ended. True when the body was complete with that; false when it was cut off. */
  finish(): boolean {
    if (this.kind === BodyKind.UNTIL_CLOSE && this.error === null) this.done = true;
    return this.done;
  }

  private refuse(error: ProtocolError): number {
    this.error = error;
    this.gathered = null;
    return -2;
  }

  private executeChunked(chunk: Buffer, start: number, end: number, sink: BodySink): number {
    let i = start;
    while (i < end) {
      const code = chunk[i]!;
      switch (this.state) {
        case DATA: {
          const stop = this.left < end - i ? i + this.left : end;
          this.left -= stop - i;
          this.received += stop - i;
          if (this.left === 0) this.state = DATA_CR;
          sink.onBody(chunk, i, stop);
          i = stop;
          break;
        }
        case DATA_CR:
          if (code !== CR) return this.refuse(REFUSALS.badChunkEnd);
          this.state = DATA_LF;
          i++;
          break;
        case DATA_LF:
          if (code !== LF) return this.refuse(REFUSALS.badChunkEnd);
          this.state = SIZE;
          this.digits = 0;
          this.extensionBytes = 0;
          i++;
          break;
        case SIZE: {
          const digit = HEX[code]!;
          if (digit !== 255) {
            if (++this.digits > MAX_SIZE_DIGITS) return this.refuse(REFUSALS.badChunkSize);
            this.left = this.left * 16 + digit;
          } else if (this.digits === 0) {
            return this.refuse(code === LF ? REFUSALS.bareLf : REFUSALS.badChunkSize);
          } else if (code === CR) {
            this.state = SIZE_LF;
          } else if (code === SEMICOLON) {
            this.state = EXT_NAME_START;
          } else if (code === SP || code === TAB) {
            this.state = AFTER_SIZE_SPACE;
          } else {
            return this.refuse(code === LF ? REFUSALS.bareLf : REFUSALS.badChunkSize);
          }
          i++;
          break;
        }
        case SIZE_LF:
          if (code !== LF) return this.refuse(REFUSALS.bareCr);
          this.state = this.left === 0 ? TRAILER : DATA;
          i++;
          break;
        case TRAILER:
          if (this.gathered === null && code === CR && i + 1 < end && chunk[i + 1] === LF) {
            this.done = true;
            return i + 2;
          }
          return this.executeTrailers(chunk, i, end);
        default: {
          const error = this.extensionByte(code);
          if (error !== null) return this.refuse(error);
          i++;
        }
      }
    }
    return end;
  }

  private extensionByte(code: number): ProtocolError | null {
    if (++this.extensionBytes > MAX_EXTENSION_BYTES) return REFUSALS.chunkExtensionTooLong;
    if (code === LF) return REFUSALS.bareLf;
    const space = code === SP || code === TAB;
    switch (this.state) {
      case AFTER_SIZE_SPACE:
        if (space) return null;
        return code === SEMICOLON ? this.to(EXT_NAME_START) : REFUSALS.badChunkSize;
      case EXT_NAME_START:
        if (space) return null;
        return TOKEN[code] === 0 ? REFUSALS.badChunkExtension : this.to(EXT_NAME);
      case EXT_NAME:
        if (TOKEN[code] !== 0) return null;
        if (space) return this.to(AFTER_NAME_SPACE);
        if (code === EQUALS) return this.to(EXT_VALUE_START);
        return this.afterExtension(code);
      case AFTER_NAME_SPACE:
        if (space) return null;
        if (code === EQUALS) return this.to(EXT_VALUE_START);
        return code === SEMICOLON ? this.to(EXT_NAME_START) : REFUSALS.badChunkExtension;
      case EXT_VALUE_START:
        if (space) return null;
        if (code === DQUOTE) return this.to(QUOTED);
        return TOKEN[code] === 0 ? REFUSALS.badChunkExtension : this.to(EXT_VALUE);
      case EXT_VALUE:
        return TOKEN[code] === 0 ? this.afterExtension(code) : null;
      case QUOTED:
        if (code === DQUOTE) return this.to(AFTER_VALUE);
        if (code === BACKSLASH) return this.to(QUOTED_PAIR);
        return FIELD_VALUE[code] === 0 ? REFUSALS.badChunkExtension : null;
      case AFTER_EXT_SPACE:
        if (space) return null;
        return code === SEMICOLON ? this.to(EXT_NAME_START) : REFUSALS.badChunkExtension;
      case QUOTED_PAIR:
        return FIELD_VALUE[code] === 0 ? REFUSALS.badChunkExtension : this.to(QUOTED);
      default:
        return this.afterExtension(code);
    }
  }

  /** After a value, or after a name without one. */
  private afterExtension(code: number): ProtocolError | null {
    if (code === CR) return this.to(SIZE_LF);
    if (code === SEMICOLON) return this.to(EXT_NAME_START);
    if (code === SP || code === TAB) return this.to(AFTER_EXT_SPACE);
    return REFUSALS.badChunkExtension;
  }

  private to(state: number): null {
    this.state = state;
    return null;
  }

  private executeTrailers(chunk: Buffer, start: number, end: number): number {
    const fields = (this.fields ??= new FieldScanner(FieldSection.TRAILERS, this.limits.headers));
    if (this.gathered === null) {
      this.gathered = new GatheredBytes(this.limits.headerBytes);
      fields.begin();
    }
    const gathered = this.gathered;
    const before = gathered.length;
    gathered.append(chunk, start, end);
    const after = fields.scan(gathered.bytes, 0, before, gathered.length);
    if (after === -2) return this.refuse(fields.error!);
    if (after === -1) return gathered.length === this.limits.headerBytes ? this.refuse(REFUSALS.trailersTooLarge) : end;
    this.trailers = allowedTrailers(gathered.bytes, fields);
    this.gathered = null;
    this.done = true;
    return start + after - before;
  }
}

function allowedTrailers(bytes: Uint8Array, fields: FieldScanner): string {
  let lines = '';
  for (let i = 0; i < fields.count; i++) {
    const [nameStart, nameEnd, valueStart, valueEnd] = fields.offsets.subarray(i * OFFSETS_PER_LINE);
    const name = latin1(bytes, nameStart!, nameEnd!);
    if (!isForbiddenTrailer(name.toLowerCase())) lines += `${name}: ${latin1(bytes, valueStart!, valueEnd!)}\r\n`;
  }
  return lines;
}
