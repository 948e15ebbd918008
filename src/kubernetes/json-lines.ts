import { DormouseError } from '../model/errors.ts';

const LINE_FEED = 0x0a;

/** JSON values, one a line, out of chunks that end anywhere. Holds one incomplete line, of at most `maxLineBytes`. */
export class JsonLines {
  readonly #maxLineBytes: number;
  #rest: Buffer[] = [];
  #restBytes = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Calls `each` for every line that is whole now. Throws DORMOUSE_API_ANSWER for a line that is too long or no JSON; it is of no use after that. */
  push(chunk: Buffer, each: (value: unknown) => void): void {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      const line = chunk.subarray(start, end);
      start = end + 1;
      this.#check(line.length);
      const text = this.#rest.length === 0 ? line.toString('utf8') : this.#join(line);
      if (text.trim() !== '') each(this.#parse(text));
    }
    if (start === chunk.length) return;
    const rest = chunk.subarray(start);
    this.#check(rest.length);
    this.#rest.push(rest);
    this.#restBytes += rest.length;
  }

  #join(line: Buffer): string {
    const text = Buffer.concat([...this.#rest, line]).toString('utf8');
    this.#rest = [];
    this.#restBytes = 0;
    return text;
  }

  #check(more: number): void {
    if (this.#restBytes + more <= this.#maxLineBytes) return;
    throw new DormouseError('DORMOUSE_API_ANSWER', `an event of a watch is larger than ${this.#maxLineBytes} bytes`);
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new DormouseError('DORMOUSE_API_ANSWER', `an event of a watch is no JSON: ${(error as Error).message}`);
    }
  }
}
