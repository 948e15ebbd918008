/** What instances write, as lines. Bounded in every direction: a program that writes without end costs this much memory and no more. */
import type { LogLine } from '../driver.ts';

export const MAX_LINE_BYTES = 8192;
const CUT = ' [line cut]';

/** Cuts one stream of bytes into lines of at most 8 kB; the rest of a longer line is dropped. Invalid UTF-8 becomes U+FFFD. */
export class LineSplitter {
  readonly #line: (text: string) => void;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Dropping the rest of a line that was cut. */
  #skipping = false;

  constructor(line: (text: string) => void) {
    this.#line = line;
  }

  push(chunk: Buffer): void {
    let start = 0;
    while (start < chunk.length) {
      const newline = chunk.indexOf(0x0a, start);
      const end = newline < 0 ? chunk.length : newline;
      if (!this.#skipping) this.#take(chunk, start, end, newline >= 0);
      if (newline < 0) return;
      this.#skipping = false;
      start = newline + 1;
    }
  }

  /** The stream ended: what is left is a line as well. */
  flush(): void {
    if (this.#keptBytes > 0) this.#emit(Buffer.concat(this.#kept), '');
    this.#kept = [];
    this.#keptBytes = 0;
  }

  #take(chunk: Buffer, start: number, end: number, complete: boolean): void {
    const room = MAX_LINE_BYTES - this.#keptBytes;
    if (end - start > room) {
      this.#emit(Buffer.concat([...this.#kept, chunk.subarray(start, start + room)]), CUT);
      this.#skipping = !complete;
    } else if (complete) {
      // Decoded from the bytes, not cut out of a bigger string: such a piece would keep the whole chunk in memory.
      const rest = chunk.subarray(start, end);
      this.#emit(this.#keptBytes === 0 ? rest : Buffer.concat([...this.#kept, rest]), '');
    } else {
      // Copied, since the chunk may be a part of a much bigger pool.
      this.#kept.push(Buffer.from(chunk.subarray(start, end)));
      this.#keptBytes += end - start;
      if (this.#kept.length > 64) this.#kept = [Buffer.concat(this.#kept)];
      return;
    }
    this.#kept = [];
    this.#keptBytes = 0;
  }

  #emit(bytes: Buffer, suffix: string): void {
    const end = bytes.length > 0 && bytes[bytes.length - 1] === 0x0d ? bytes.length - 1 : bytes.length;
    this.#line(bytes.toString('utf8', 0, end) + suffix);
  }
}

/** The last `capacity` lines of all instances of a backend. */
export class LogRing {
  readonly #capacity: number;
  readonly #lines: LogLine[] = [];
  #next = 0;
  readonly #listeners = new Set<(line: LogLine) => void>();

  constructor(capacity: number) {
    this.#capacity = Math.max(1, capacity);
  }

  push(line: LogLine): void {
    this.#lines[this.#next] = line;
    this.#next = (this.#next + 1) % this.#capacity;
    for (const listener of this.#listeners) listener(line);
  }

  /** Oldest first. */
  last(limit: number): LogLine[] {
    const full = this.#lines.length === this.#capacity;
    const ordered = full
      ? [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)]
      : this.#lines.slice();
    return limit >= ordered.length ? ordered : ordered.slice(ordered.length - Math.max(0, limit));
  }

  listen(listener: (line: LogLine) => void): () => void {
    const own = (line: LogLine): void => listener(line);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }
}
