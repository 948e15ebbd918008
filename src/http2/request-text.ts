import { SLASH, TOKEN } from '../http1/characters.ts';
import { HeaderKind } from '../http1/header-kind.ts';
import { FieldKind } from './field-kind.ts';
import { MessageText } from './message-text.ts';

const METHOD = 1;
const SCHEME = 2;
const AUTHORITY = 4;
const PATH = 8;
const PROTOCOL = 16;
const ASTERISK = 0x2a;
/** Methods whose requests say `Content-Length: 0` when they have no body (RFC 9110 8.6): some servers ask for it. */
const EXPECTS_BODY = new Set(['POST', 'PUT', 'PATCH']);

/**
 * The head of an HTTP/2 request as HTTP/1.1 text, so that one parser, one router and one set of filters serve both. A request that breaks RFC 9113 8.3 or
 * 8.2.2 is `malformed`; what is no valid authority or path in HTTP/1.1 either is left to the parser.
 */
export class RequestText extends MessageText {
  /** The value of `:protocol` (RFC 8441), or ''. */
  protocol = '';
  private seen = 0;
  private method = '';
  private readonly authority = new Piece();
  private readonly path = new Piece();
  private readonly cookies = new Piece();
  private begun = false;
  private hasLength = false;

  /** `maxListBytes`: size of all fields, each with 32 bytes more. */
  begin(maxListBytes: number): void {
    this.start(maxListBytes);
    this.seen = 0;
    this.method = '';
    this.protocol = '';
    this.cookies.length = 0;
    this.begun = false;
    this.hasLength = false;
  }

  protected take(bytes: Uint8Array, nameEnd: number, end: number, kind: number): void {
    if (kind < 0) {
      this.takePseudo(bytes, nameEnd + 2, end - 2, kind);
      return;
    }
    if (!this.begun) this.beginLines();
    switch (kind) {
      case HeaderKind.HOST:
        // With :authority it may only say the same (RFC 9113 8.3.1), and ours stands there already.
        if ((this.seen & AUTHORITY) === 0) this.append(bytes, 0, end);
        else if (!this.authority.equals(bytes, nameEnd + 2, end - 2)) this.malformed = true;
        return;
      case HeaderKind.COOKIE:
        // Crumbs are put together (RFC 9113 8.2.3).
        this.cookies.add(bytes, nameEnd + 2, end - 2, '; ');
        return;
      case HeaderKind.HTTP2_SETTINGS:
        return;
      case HeaderKind.SEC_WEBSOCKET_KEY:
        // Has no meaning in an extended CONNECT (RFC 8441 5.1); the one that the endpoint gets is ours.
        if ((this.seen & PROTOCOL) !== 0) return;
        break;
      case HeaderKind.CONTENT_LENGTH:
        if (this.method === 'CONNECT') this.malformed = true;
        this.hasLength = true;
        break;
      default:
    }
    this.append(bytes, 0, end);
  }

  private takePseudo(bytes: Uint8Array, start: number, end: number, kind: number): void {
    const bit = bitOf(kind);
    // Unknown ones, those of responses, a second one, and one after an ordinary field (RFC 9113 8.3).
    if (bit === 0 || (this.seen & bit) !== 0 || this.begun) {
      this.malformed = true;
      return;
    }
    this.seen |= bit;
    if (kind === FieldKind.METHOD) {
      for (let i = start; i < end; i++) if (TOKEN[bytes[i]!] === 0) this.malformed = true;
      if (start === end) this.malformed = true;
      this.method = ascii(bytes, start, end);
    } else if (kind === FieldKind.AUTHORITY) this.authority.set(bytes, start, end);
    else if (kind === FieldKind.PATH) {
      const isAsterisk = end === start + 1 && bytes[start] === ASTERISK;
      // `/…`, or `*` of OPTIONS; '' is forbidden and absolute URLs have no place here (RFC 9113 8.3.1).
      if (start === end || (bytes[start] !== SLASH && !isAsterisk)) this.malformed = true;
      this.path.set(bytes, start, end);
    } else if (kind === FieldKind.PROTOCOL) this.protocol = ascii(bytes, start, end);
    else if (start === end) this.malformed = true;
  }

  /** All pseudo-header fields are there: the request line and Host. */
  private beginLines(): void {
    this.begun = true;
    const { seen } = this;
    if ((seen & METHOD) === 0) {
      this.malformed = true;
      return;
    }
    if (this.method === 'CONNECT' && (seen & PROTOCOL) === 0) {
      // RFC 9113 8.5.
      if (seen !== (METHOD | AUTHORITY)) this.malformed = true;
      this.write('CONNECT ');
      this.append(this.authority.bytes, 0, this.authority.length);
    } else {
      const isConnect = this.method === 'CONNECT';
      // RFC 9113 8.3.1, and RFC 8441 4: :protocol stands with CONNECT only, and then with all others.
      if ((seen & (SCHEME | PATH)) !== (SCHEME | PATH)) this.malformed = true;
      if (isConnect ? (seen & AUTHORITY) === 0 : (seen & PROTOCOL) !== 0) this.malformed = true;
      this.write(isConnect ? 'GET ' : `${this.method} `);
      this.append(this.path.bytes, 0, this.path.length);
    }
    this.write(' HTTP/1.1\r\n');
    if ((seen & AUTHORITY) === 0) return;
    this.write('host: ');
    this.append(this.authority.bytes, 0, this.authority.length);
    this.write('\r\n');
  }

  /**
   * Completes the text. `endStream`: there is no body. `upgradeLines`: whole lines that turn an extended CONNECT into an upgrade of HTTP/1.1. Not to be
   * used when `malformed` or `tooLarge`.
   */
  finish(endStream: boolean, upgradeLines: string): void {
    if (this.malformed || this.tooLarge) return;
    if (!this.begun) this.beginLines();
    if (this.cookies.length > 0) {
      this.write('cookie: ');
      this.append(this.cookies.bytes, 0, this.cookies.length);
      this.write('\r\n');
    }
    if (this.method === 'CONNECT') this.write(`${upgradeLines}\r\n`);
    else if (endStream)
      this.write(!this.hasLength && EXPECTS_BODY.has(this.method) ? 'content-length: 0\r\n\r\n' : '\r\n');
    else this.write(this.hasLength ? '\r\n' : 'transfer-encoding: chunked\r\n\r\n');
  }
}

function bitOf(kind: number): number {
  switch (kind) {
    case FieldKind.METHOD:
      return METHOD;
    case FieldKind.SCHEME:
      return SCHEME;
    case FieldKind.AUTHORITY:
      return AUTHORITY;
    case FieldKind.PATH:
      return PATH;
    case FieldKind.PROTOCOL:
      return PROTOCOL;
    default:
      return 0;
  }
}

/** Bytes that are kept aside until their place in the text has come. */
class Piece {
  bytes = new Uint8Array(256);
  length = 0;

  set(from: Uint8Array, start: number, end: number): void {
    this.length = 0;
    this.add(from, start, end, '');
  }

  add(from: Uint8Array, start: number, end: number, separator: string): void {
    const between = this.length === 0 ? '' : separator;
    const size = this.length + between.length + end - start;
    if (size > this.bytes.length) {
      const larger = new Uint8Array(Math.max(size, this.bytes.length * 2));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    for (let i = 0; i < between.length; i++) this.bytes[this.length++] = between.charCodeAt(i);
    for (let i = start; i < end; i++) this.bytes[this.length++] = from[i]!;
  }

  /** But for case. */
  equals(other: Uint8Array, start: number, end: number): boolean {
    if (end - start !== this.length) return false;
    for (let i = 0; i < this.length; i++) if (lower(this.bytes[i]!) !== lower(other[start + i]!)) return false;
    return true;
  }
}

function lower(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 32 : code;
}

function ascii(bytes: Uint8Array, start: number, end: number): string {
  if (end - start === 3 && bytes[start] === 0x47 && bytes[start + 1] === 0x45 && bytes[start + 2] === 0x54)
    return 'GET';
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}
