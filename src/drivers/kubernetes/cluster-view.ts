/** Shared informers, seen by many drivers: each is told only of its own target, its own Service and its own pods. Nothing is polled. */
import type { Informer, KubernetesObject, Resource } from '../../kubernetes/client.ts';
import type { Pod, Service, Workload } from './objects.ts';
import type { PodSelector } from './pod-selector.ts';

/** Started by whoever hands them out, and ended by them. */
export interface SharedInformers {
  /** With `trim: trimPod`. */
  pods: Informer<Pod>;
  services: Informer<Service>;
  /** With `trim: trimWorkload`. The same one each time it is asked for the same kind. */
  targets(resource: Resource): Informer<Workload>;
}

type Stop = () => void;
type PodListener = (pod: Pod, removed: boolean) => void;
type ObjectListener<T> = (object: T | null) => void;

export class ClusterView {
  readonly services: NamedObjects<Service>;
  readonly #informers: SharedInformers;
  readonly #targets = new Map<string, NamedObjects<Workload>>();
  readonly #namespaces = new Map<string, NamespacePods>();
  readonly #awaitingServer = new Set<() => void>();
  readonly #stops: Stop[] = [];

  constructor(informers: SharedInformers) {
    this.#informers = informers;
    this.services = new NamedObjects(informers.services, () => this.#heard());
    for (const pod of informers.pods.list()) this.#namespace(pod.metadata.namespace!).set(pod);
    this.#stops.push(
      informers.pods.onChange((change) => {
        const { object } = change;
        const pods = this.#namespace(object.metadata.namespace!);
        if (change.type === 'removed') pods.delete(object);
        else pods.set(object, change.type === 'changed' ? change.before : undefined);
        this.#heard();
      }),
    );
  }

  targets(resource: Resource): NamedObjects<Workload> {
    const key = `${resource.group}/${resource.version}/${resource.plural}`;
    let targets = this.#targets.get(key);
    if (targets === undefined) {
      targets = new NamedObjects(this.#informers.targets(resource), () => this.#heard());
      this.#targets.set(key, targets);
    }
    return targets;
  }

  /** Tells of the pods that are there at once, and of each change from then on. */
  watchPods(namespace: string, selector: PodSelector, listener: PodListener): Stop {
    return this.#namespace(namespace).watch(selector, listener);
  }

  /** Whether the informer has it now. */
  hasPod(namespace: string, name: string): boolean {
    return this.#informers.pods.get(namespace, name) !== undefined;
  }

  /** Calls `listener` once when the API server is heard of next. */
  onceHeard(listener: () => void): Stop {
    this.#awaitingServer.add(listener);
    return () => void this.#awaitingServer.delete(listener);
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.services.close();
    for (const targets of this.#targets.values()) targets.close();
  }

  #heard(): void {
    if (this.#awaitingServer.size === 0) return;
    const all = [...this.#awaitingServer];
    this.#awaitingServer.clear();
    for (const listener of all) listener();
  }

  #namespace(name: string): NamespacePods {
    let pods = this.#namespaces.get(name);
    if (pods === undefined) {
      pods = new NamespacePods();
      this.#namespaces.set(name, pods);
    }
    return pods;
  }
}

/** Objects of one kind by name. */
export class NamedObjects<T extends KubernetesObject> {
  readonly informer: Informer<T>;
  readonly #listeners = new Map<string, Set<ObjectListener<T>>>();
  readonly #stop: Stop;

  constructor(informer: Informer<T>, heard: () => void) {
    this.informer = informer;
    this.#stop = informer.onChange((change) => {
      const { namespace, name } = change.object.metadata;
      for (const listener of this.#listeners.get(`${namespace}/${name}`) ?? [])
        listener(change.type === 'removed' ? null : change.object);
      heard();
    });
  }

  get(namespace: string, name: string): T | null {
    return this.informer.get(namespace, name) ?? null;
  }

  /** Each change from now on; null: it is gone. */
  watch(namespace: string, name: string, listener: ObjectListener<T>): Stop {
    const key = `${namespace}/${name}`;
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  close(): void {
    this.#stop();
  }
}

interface PodWatcher {
  selector: PodSelector;
  listener: PodListener;
}

/** The pods of one namespace, and who waits for them by one label that their selector asks for: a change costs as many look-ups as the pod has labels. */
class NamespacePods {
  readonly #pods = new Map<string, Pod>();
  readonly #byPair = new Map<string, Set<PodWatcher>>();

  set(pod: Pod, before?: Pod): void {
    this.#pods.set(pod.metadata.name, pod);
    // One whose labels were taken away has left those that it belonged to.
    const left = before === undefined || sameLabels(before, pod) ? [] : this.#watchers(before);
    const now = this.#watchers(pod);
    for (const watcher of left) if (!now.includes(watcher)) watcher.listener(pod, true);
    for (const { listener } of now) listener(pod, false);
  }

  delete(pod: Pod): void {
    this.#pods.delete(pod.metadata.name);
    for (const { listener } of this.#watchers(pod)) listener(pod, true);
  }

  watch(selector: PodSelector, listener: PodListener): Stop {
    const watcher = { selector, listener };
    const key = selector.pair ?? '';
    const watchers = this.#byPair.get(key) ?? new Set();
    this.#byPair.set(key, watchers.add(watcher));
    for (const pod of this.#pods.values()) if (selector.matches(pod.metadata.labels)) listener(pod, false);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#byPair.get(key) === watchers) this.#byPair.delete(key);
    };
  }

  #watchers({ metadata }: Pod): PodWatcher[] {
    const { labels = {} } = metadata;
    const found: PodWatcher[] = [];
    const look = (key: string): void => {
      for (const watcher of this.#byPair.get(key) ?? []) if (watcher.selector.matches(labels)) found.push(watcher);
    };
    look('');
    for (const key of Object.keys(labels)) look(`${key}=${labels[key]}`);
    return found;
  }
}

function sameLabels(a: Pod, b: Pod): boolean {
  const [before, now] = [a.metadata.labels ?? {}, b.metadata.labels ?? {}];
  const keys = Object.keys(before);
  return keys.length === Object.keys(now).length && keys.every((key) => before[key] === now[key]);
}
