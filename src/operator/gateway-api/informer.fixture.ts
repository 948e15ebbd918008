import type { Change, Informer, KubernetesObject, Resource } from '../../kubernetes/client.ts';

/** An informer whose objects the test puts in and takes out. */
export class FakeInformer<T extends KubernetesObject> implements Informer<T> {
  readonly resource: Resource;
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  started = false;

  constructor(resource: Resource, objects: readonly T[] = []) {
    this.resource = resource;
    for (const object of objects) this.#objects.set(keyOf(object), object);
  }

  put(object: T): void {
    const before = this.#objects.get(keyOf(object));
    this.#objects.set(keyOf(object), object);
    this.#tell(before === undefined ? { type: 'added', object } : { type: 'changed', object, before });
  }

  remove(object: T): void {
    if (this.#objects.delete(keyOf(object))) this.#tell({ type: 'removed', object });
  }

  #tell(change: Change<T>): void {
    for (const listener of this.#listeners) listener(change);
  }

  start(): void {
    this.started = true;
  }

  async synced(): Promise<void> {}

  readonly isSynced = true;

  silentMs(): number {
    return 0;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#objects.get(`${namespace}/${name}`);
  }

  list(): Iterable<T> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  onChange(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
