import type { ReferenceGrant } from './objects.ts';

export interface From {
  group: string;
  kind: string;
  namespace: string;
}

export interface To {
  group: string;
  kind: string;
  namespace: string;
  name: string;
}

/** Which references may cross namespaces: a ReferenceGrant in the namespace of what is referred to says so. */
export class ReferenceGrants {
  readonly #byFrom = new Map<string, { all: boolean; names: Set<string> }>();

  constructor(grants: readonly ReferenceGrant[]) {
    for (const { metadata, spec } of grants) {
      for (const from of spec.from) {
        for (const to of spec.to) {
          const key = keyOf(from, { group: to.group, kind: to.kind, namespace: metadata.namespace ?? '' });
          let known = this.#byFrom.get(key);
          if (known === undefined) {
            known = { all: false, names: new Set() };
            this.#byFrom.set(key, known);
          }
          if (to.name === undefined || to.name === '') known.all = true;
          else known.names.add(to.name);
        }
      }
    }
  }

  /** Within one namespace everything may be referred to. */
  allows(from: From, to: To): boolean {
    if (from.namespace === to.namespace) return true;
    const known = this.#byFrom.get(keyOf(from, to));
    return known !== undefined && (known.all || known.names.has(to.name));
  }
}

function keyOf(from: From, to: Omit<To, 'name'>): string {
  return `${from.group}/${from.kind}/${from.namespace} ${to.group}/${to.kind}/${to.namespace}`;
}
