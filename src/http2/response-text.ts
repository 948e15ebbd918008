import { HeaderKind } from '../http1/header-kind.ts';
import { FieldKind } from './field-kind.ts';
import { MessageText } from './message-text.ts';

/** The head of an HTTP/2 response as HTTP/1.1 text, for the parser of those. */
export class ResponseText extends MessageText {
  status = 0;
  private hasLength = false;

  begin(maxListBytes: number): void {
    this.start(maxListBytes);
    this.status = 0;
    this.hasLength = false;
  }

  protected take(bytes: Uint8Array, nameEnd: number, end: number, kind: number): void {
    if (kind === FieldKind.STATUS) {
      // Once, and before all others (RFC 9113 8.3.2).
      if (this.status !== 0 || end - nameEnd !== 7) this.malformed = true;
      for (let i = nameEnd + 2; i < end - 2; i++) {
        const digit = bytes[i]! - 0x30;
        if (digit < 0 || digit > 9) this.malformed = true;
        this.status = this.status * 10 + digit;
      }
      // 101 does not exist in HTTP/2 (RFC 9113 8.6).
      if (this.status < 100 || this.status > 599 || this.status === 101) this.malformed = true;
      this.write(`HTTP/1.1 ${this.status} \r\n`);
      return;
    }
    if (kind < 0 || this.status === 0) {
      this.malformed = true;
      return;
    }
    if (kind === HeaderKind.HTTP2_SETTINGS) return;
    if (kind === HeaderKind.CONTENT_LENGTH) this.hasLength = true;
    this.append(bytes, 0, end);
  }

  /** Completes the text: a body of unknown length is said to be chunked, one that isn't there has a length of 0. `isHead`: of a HEAD request. */
  finish(endStream: boolean, isHead: boolean): void {
    if (this.status === 0) this.malformed = true;
    if (this.malformed || this.tooLarge) return;
    const { status } = this;
    // An interim response does not end the stream (RFC 9113 8.1).
    if (status < 200 && endStream) this.malformed = true;
    const hasBody = !isHead && status >= 200 && status !== 204 && status !== 304;
    if (!hasBody || this.hasLength) this.write('\r\n');
    else this.write(endStream ? 'content-length: 0\r\n\r\n' : 'transfer-encoding: chunked\r\n\r\n');
  }
}
