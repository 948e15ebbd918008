import type { FieldSink } from './hpack-decoder.ts';
import { ENTRY_OVERHEAD } from './static-table.ts';

/** Bytes of a message as HTTP/1.1 text, built from its fields. One object per worker, used for one block after the other. */
export abstract class MessageText implements FieldSink {
  bytes: Buffer = Buffer.allocUnsafeSlow(4096);
  length = 0;
  /** The message breaks a rule of RFC 9113 8: a stream error PROTOCOL_ERROR. */
  malformed = false;
  /** Its fields are larger than they may be (RFC 9113 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE). Nothing is kept from there on. */
  tooLarge = false;
  private left = 0;

  protected start(maxListBytes: number): void {
    this.length = 0;
    this.malformed = false;
    this.tooLarge = false;
    this.left = maxListBytes;
  }

  onField(bytes: Uint8Array, nameEnd: number, end: number, kind: number): void {
    this.left -= end - 4 + ENTRY_OVERHEAD;
    if (this.left < 0) this.tooLarge = true;
    if (this.tooLarge || this.malformed) return;
    this.take(bytes, nameEnd, end, kind);
  }

  protected abstract take(bytes: Uint8Array, nameEnd: number, end: number, kind: number): void;

  protected append(from: Uint8Array, start: number, end: number): void {
    const size = end - start;
    this.ensure(size);
    if (size > 48) this.bytes.set(from.subarray(start, end), this.length);
    else for (let i = start, at = this.length; i < end; i++, at++) this.bytes[at] = from[i]!;
    this.length += size;
  }

  /** One character per byte. */
  protected write(text: string): void {
    this.ensure(text.length);
    this.length += this.bytes.write(text, this.length, text.length, 'latin1');
  }

  private ensure(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + size));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}

/** A trailer section: lines only. */
export class TrailerText extends MessageText {
  private readonly isForbidden: (lowerName: string) => boolean;

  /** `isForbidden`: names that are left out. */
  constructor(isForbidden: (lowerName: string) => boolean) {
    super();
    this.isForbidden = isForbidden;
  }

  begin(maxListBytes: number): void {
    this.start(maxListBytes);
  }

  protected take(bytes: Uint8Array, nameEnd: number, end: number, kind: number): void {
    // RFC 9113 8.1: no pseudo-header fields in trailers.
    if (kind < 0) this.malformed = true;
    else if (!this.isForbidden(latin1(bytes, nameEnd))) this.append(bytes, 0, end);
  }

  get text(): string {
    return this.bytes.toString('latin1', 0, this.length);
  }
}

function latin1(bytes: Uint8Array, end: number): string {
  let text = '';
  for (let i = 0; i < end; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}
