const DIGITS = 36 * 36;
const PAIRS: readonly string[] = Object.freeze(
  Array.from({ length: DIGITS }, (_, i) => i.toString(36).padStart(2, '0')),
);

/** Request ids: unique, not unguessable. A prefix that no other process has, and a counter. */
export class RequestIds {
  readonly #prefix: string;
  #high = 0;
  #low = 0;
  #head: string;

  /** `prefix`: letters and digits, random per process, at least 60 bits (for instance 12 digits in base 36). */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.#head = `${prefix}-0`;
  }

  next(): string {
    if (this.#low === DIGITS) {
      this.#low = 0;
      this.#head = `${this.#prefix}-${(++this.#high).toString(36)}`;
    }
    return this.#head + PAIRS[this.#low++]!;
  }
}

/** Whether an id that a trusted peer sent may go on as it is: 1 to 128 visible ASCII characters. */
export function isSaneRequestId(id: string): boolean {
  if (id.length === 0 || id.length > 128) return false;
  for (let i = 0; i < id.length; i++) {
    const code = id.charCodeAt(i);
    if (code < 0x21 || code > 0x7e) return false;
  }
  return true;
}
