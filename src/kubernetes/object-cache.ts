import type { Change, KubernetesObject } from './client.ts';

/** Objects by namespace and name; '' is the namespace of those that have none. */
export class ObjectCache<T extends KubernetesObject> {
  readonly #spaces = new Map<string, Map<string, T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#spaces.get(namespace)?.get(name);
  }

  *all(): Generator<T> {
    for (const space of this.#spaces.values()) yield* space.values();
  }

  of(namespace: string): Iterable<T> {
    return this.#spaces.get(namespace)?.values() ?? [];
  }

  /** What is different now: nothing when it is the version that is known; two changes when it is another object of the same name. */
  put(object: T): Change<T>[] {
    const { namespace = '', name, uid, resourceVersion } = object.metadata;
    let space = this.#spaces.get(namespace);
    if (space === undefined) this.#spaces.set(namespace, (space = new Map()));
    const before = space.get(name);
    if (before?.metadata.uid === uid && before.metadata.resourceVersion === resourceVersion) return [];
    space.set(name, object);
    if (before === undefined) {
      this.#size += 1;
      return [{ type: 'added', object }];
    }
    if (before.metadata.uid === uid) return [{ type: 'changed', object, before }];
    return [
      { type: 'removed', object: before },
      { type: 'added', object },
    ];
  }

  /** `last`: how it was when it went, if that is known. */
  remove(namespace: string, name: string, last?: T): Change<T>[] {
    const space = this.#spaces.get(namespace);
    const before = space?.get(name);
    if (space === undefined || before === undefined) return [];
    space.delete(name);
    if (space.size === 0) this.#spaces.delete(namespace);
    this.#size -= 1;
    return [{ type: 'removed', object: last ?? before }];
  }
}
