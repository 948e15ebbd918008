/** Parts of a body below this size are put together while many wait, bytes. */
const SMALL_BYTES = 1024;
/** What they are put together into. */
const TAIL_BYTES = 4096;
/** So many parts are kept as they are: an ordinary message never has more of them waiting. */
const UNJOINED_PARTS = 16;

/**
 * Parts of a body that wait. A peer that sends a byte at a time would cost some hundred bytes of memory for each of them: beyond a few, small parts
 * are copied together.
 */
export class PartList {
  bytes = 0;
  private parts: Buffer[] = [];
  private tail: Buffer | null = null;
  private room = 0;

  get length(): number {
    return this.parts.length;
  }

  /** The part may be kept. */
  push(part: Buffer): void {
    this.bytes += part.length;
    if (part.length >= SMALL_BYTES || this.parts.length < UNJOINED_PARTS) {
      this.parts.push(part);
      this.room = 0;
      return;
    }
    if (this.tail === null || part.length > this.room) {
      this.tail = Buffer.allocUnsafeSlow(TAIL_BYTES);
      this.room = TAIL_BYTES;
      this.parts.push(this.tail.subarray(0, 0));
    }
    const from = TAIL_BYTES - this.room;
    part.copy(this.tail, from);
    this.room -= part.length;
    const last = this.parts[this.parts.length - 1]!;
    this.parts[this.parts.length - 1] = this.tail.subarray(from - last.length, from + part.length);
  }

  /** The first part, taken away. */
  shift(): Buffer | undefined {
    const part = this.parts.shift();
    if (part === undefined) return undefined;
    this.bytes -= part.length;
    // What is put together later must not change a part that was handed out.
    if (this.parts.length === 0) this.room = 0;
    return part;
  }

  clear(): void {
    if (this.parts.length > 0) this.parts = [];
    this.bytes = 0;
    this.tail = null;
    this.room = 0;
  }

  /** All of it in one piece. */
  whole(): Buffer {
    return this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
  }

  [Symbol.iterator](): Iterator<Buffer> {
    return this.parts[Symbol.iterator]();
  }
}
