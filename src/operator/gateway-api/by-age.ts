import type { KubernetesObject } from '../../kubernetes/client.ts';

/** `namespace/name`. */
export function nameOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** The order that settles conflicts (Gateway API): the oldest first, then by namespace and name, then by kind. A new array. */
export function byAge<T extends KubernetesObject>(objects: readonly T[]): T[] {
  const keys = new Map(objects.map((object) => [object, ageKey(object)]));
  return [...objects].sort((a, b) => {
    const x = keys.get(a)!;
    const y = keys.get(b)!;
    return x < y ? -1 : x > y ? 1 : 0;
  });
}

/** RFC 3339 times of the API server have one form, so that they compare as text. `/` comes before what names are made of but `-` and `.`. */
function ageKey({ kind, metadata }: KubernetesObject): string {
  return [metadata.creationTimestamp ?? '9999', metadata.namespace ?? '', metadata.name, kind].join('\0');
}
