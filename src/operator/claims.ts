/** Who has a thing that only one can have. The oldest claim wins, so that a newcomer never takes over what works. */
export class Claims {
  /** Thing -> claimants with their order. */
  readonly #claims = new Map<string, Map<string, string>>();
  readonly #byOwner = new Map<string, string>();

  /** `order`: the smallest wins. null gives the claim up. Gives the others that are concerned when something has changed. */
  claim(owner: string, order: string, thing: string | null): string[] {
    const before = this.#byOwner.get(owner) ?? null;
    if (before === thing) return [];
    const others = before === null ? [] : this.#leave(owner, before);
    if (thing !== null) {
      this.#byOwner.set(owner, thing);
      const all = this.#claims.get(thing) ?? new Map<string, string>();
      others.push(...all.keys());
      this.#claims.set(thing, all.set(owner, order));
    }
    return others;
  }

  drop(owner: string): string[] {
    const thing = this.#byOwner.get(owner);
    return thing === undefined ? [] : this.#leave(owner, thing);
  }

  holder(thing: string): string | null {
    let first: [owner: string, order: string] | null = null;
    for (const [owner, order] of this.#claims.get(thing) ?? []) {
      if (first === null || order < first[1]) first = [owner, order];
    }
    return first?.[0] ?? null;
  }

  of(thing: string): Iterable<string> {
    return this.#claims.get(thing)?.keys() ?? [];
  }

  #leave(owner: string, thing: string): string[] {
    this.#byOwner.delete(owner);
    const all = this.#claims.get(thing);
    all?.delete(owner);
    if (all?.size === 0) this.#claims.delete(thing);
    return [...(all?.keys() ?? [])];
  }
}
