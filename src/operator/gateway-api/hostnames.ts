/** Host names of listeners and routes (Gateway API): exact, or `*.` and a suffix, which stands for one or more labels; '' stands for all. */

/** Whether every host that `inner` stands for is one of `outer`. */
export function covers(outer: string, inner: string): boolean {
  if (outer === '' || outer === inner) return true;
  if (inner === '' || !outer.startsWith('*.')) return false;
  // The star itself is a label: *.example.com has *.a.example.com.
  return inner.endsWith(outer.slice(1)) && inner.length > outer.length - 1;
}

/** The hosts that both stand for; null: none. Of two overlapping names one always covers the other. */
export function intersection(a: string, b: string): string | null {
  if (covers(a, b)) return b;
  return covers(b, a) ? a : null;
}

/** Hosts of a route on a listener: those of both. null: there are none. `['']`: all. */
export function hostsOn(listener: string, hostnames: readonly string[] | undefined): string[] | null {
  if (hostnames === undefined || hostnames.length === 0) return [listener];
  const hosts = new Set<string>();
  for (const name of hostnames) {
    const both = intersection(listener, name.toLowerCase());
    if (both !== null) hosts.add(both);
  }
  return hosts.size === 0 ? null : [...hosts];
}

/** A set of listeners' host names that tells the most specific one for a host: exact, then the longest wildcard, then ''. */
export class HostnameSet {
  readonly #names = new Set<string>();

  /** False: it was there already. */
  add(name: string): boolean {
    if (this.#names.has(name)) return false;
    this.#names.add(name);
    return true;
  }

  /** Names that cover less than another one of the set. */
  narrower(): string[] {
    return [...this.#names].filter((name) => this.#broader(name) !== null);
  }

  /** The most specific name that covers this host (which may be a wildcard itself); null: none does. Costs the number of its labels. */
  mostSpecific(host: string): string | null {
    if (this.#names.has(host)) return host;
    return this.#broader(host);
  }

  /** The most specific name that covers more than this one; null: none. */
  #broader(name: string): string | null {
    let dot = name.startsWith('*.') ? name.indexOf('.', 2) : name.indexOf('.');
    for (; dot > 0; dot = name.indexOf('.', dot + 1)) {
      const wildcard = `*${name.slice(dot)}`;
      if (wildcard !== name && this.#names.has(wildcard)) return wildcard;
    }
    return name !== '' && this.#names.has('') ? '' : null;
  }

  /** Those that overlap with another one of the set. */
  overlapping(): Set<string> {
    const found = new Set<string>();
    for (const name of this.#names) {
      for (let broader = this.#broader(name); broader !== null; broader = this.#broader(broader)) {
        found.add(name);
        found.add(broader);
      }
    }
    return found;
  }
}
