/** A part of a filter that holds something worth keeping: fetched keys, verified tokens, connections. */
export interface KeptPart {
  /** Nobody uses it any more. */
  close(): void;
}

export interface PartLease<P extends KeptPart> {
  readonly part: P;
  /** To be called once, from the filter's `close`. */
  release(): void;
}

/**
 * Parts that filters share: a filter is compiled once per match and anew by every reload, what it has learned should be neither lost nor learned twice. A
 * part lives as long as some filter uses it; a reload compiles the new filters before the old ones are closed, so that a part which both name goes on.
 */
export class KeptParts {
  readonly #parts = new Map<string, { part: KeptPart; users: number }>();

  /** Number of parts in use. */
  get size(): number {
    return this.#parts.size;
  }

  keys(): Iterable<string> {
    return this.#parts.keys();
  }

  /** The part of this key; made when nobody has it yet. The key says the kind of part and everything that it was made from. */
  take<P extends KeptPart>(key: string, make: () => P): PartLease<P> {
    let kept = this.#parts.get(key);
    if (kept === undefined) {
      kept = { part: make(), users: 0 };
      this.#parts.set(key, kept);
    }
    const entry = kept;
    entry.users++;
    let released = false;
    return {
      part: entry.part as P,
      release: () => {
        if (released) return;
        released = true;
        if (--entry.users > 0) return;
        this.#parts.delete(key);
        entry.part.close();
      },
    };
  }
}
