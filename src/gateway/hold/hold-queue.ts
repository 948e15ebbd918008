/** What waits in a hold queue; the links are kept in the entry itself, so that holding allocates nothing. */
export interface Held {
  holdPrevious: Held | null;
  holdNext: Held | null;
  /** Monotonic ms. */
  holdDeadlineMs: number;
  /** Bytes that it keeps in memory: its head and what was read of its body. */
  heldBytes: number;
}

/** First in, first out; an entry can leave from anywhere (its client went) in constant time. Deadlines need not be in order. */
export class HoldQueue<H extends Held> {
  size = 0;
  bytes = 0;
  private first: H | null = null;
  private last: H | null = null;

  get head(): H | null {
    return this.first;
  }

  get tail(): H | null {
    return this.last;
  }

  push(entry: H): void {
    entry.holdPrevious = this.last;
    entry.holdNext = null;
    if (this.last === null) this.first = entry;
    else this.last.holdNext = entry;
    this.last = entry;
    this.size++;
    this.bytes += entry.heldBytes;
  }

  /** Puts an entry back at the front: it had left and could not be placed, and was there before all others. */
  unshift(entry: H): void {
    entry.holdPrevious = null;
    entry.holdNext = this.first;
    if (this.first === null) this.last = entry;
    else this.first.holdPrevious = entry;
    this.first = entry;
    this.size++;
    this.bytes += entry.heldBytes;
  }

  remove(entry: H): void {
    const previous = entry.holdPrevious as H | null;
    const next = entry.holdNext as H | null;
    if (previous === null) this.first = next;
    else previous.holdNext = next;
    if (next === null) this.last = previous;
    else next.holdPrevious = previous;
    entry.holdPrevious = null;
    entry.holdNext = null;
    this.size--;
    this.bytes -= entry.heldBytes;
  }

  /** An entry in the queue has read more of its body. */
  grow(entry: H, byBytes: number): void {
    entry.heldBytes += byBytes;
    this.bytes += byBytes;
  }

  /** Earliest deadline is not kept sorted: entries come with the same timeout, so the front is the oldest in all but mixed reloads. */
  *expired(nowMs: number): Generator<H> {
    let entry = this.first;
    while (entry !== null) {
      const next = entry.holdNext as H | null;
      if (entry.holdDeadlineMs <= nowMs) yield entry;
      entry = next;
    }
  }
}
