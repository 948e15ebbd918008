/** Bytes of a message part that came in more than one chunk. Grows by doubling up to its limit, so that a byte at a time costs O(n); let go when empty. */
export class GatheredBytes {
  bytes: Uint8Array = NOTHING;
  length = 0;
  private readonly limit: number;

  /** `limit`: most bytes kept. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Copies chunk[start, end), as far as the limit allows. */
  append(chunk: Uint8Array, start: number, end: number): void {
    const stop = Math.min(end, start + this.limit - this.length);
    const length = this.length + stop - start;
    if (length > this.bytes.length) {
      const larger = new Uint8Array(Math.min(this.limit, Math.max(512, length, this.bytes.length * 2)));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    if (stop - start < 32) for (let i = start, at = this.length; i < stop; i++, at++) this.bytes[at] = chunk[i]!;
    else this.bytes.set(chunk.subarray(start, stop), this.length);
    this.length = length;
  }

  clear(): void {
    this.bytes = NOTHING;
    this.length = 0;
  }
}

const NOTHING = new Uint8Array(0);
