/**
 * Pods that were asked for while the watch was silent. Those that the watch hasn't told of yet are looked at again until it does, or until they are gone:
 * a watch that begins anew doesn't tell of the end of what it never had.
 */
import { BoundedSignal } from '../../kubernetes/bounded-signal.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { PODS } from '../../kubernetes/resources.ts';
import { trimPod, type Pod } from './objects.ts';
import { hasEnded } from './pod-facts.ts';

export interface FoundPodsOptions {
  client: KubernetesClient;
  namespace: string;
  /** Whether the watch has told of it. */
  isWatched(name: string): boolean;
  found(pod: Pod, removed: boolean): void;
}

const LOOK_MS = 5000;
const LOOK_TIMEOUT_MS = 5000;

export class FoundPods {
  readonly #options: FoundPodsOptions;
  /** By name; never more than what was found. */
  readonly #unwatched = new Map<string, Pod>();
  readonly #ending = new AbortController();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: FoundPodsOptions) {
    this.#options = options;
  }

  /** Resolves with the number of pods that have not ended; rejects as the client does. An empty selector finds none. */
  async find(labelSelector: string, signal: AbortSignal): Promise<number> {
    if (labelSelector === '') return 0;
    const { client, namespace, isWatched, found } = this.#options;
    const { items } = await client.list<Pod>(PODS, { namespace, labelSelector, signal });
    if (this.#ending.signal.aborted) return 0;
    const pods = items.filter((pod) => !hasEnded(pod)).map(trimPod);
    for (const pod of pods) {
      found(pod, false);
      if (!isWatched(pod.metadata.name)) this.#unwatched.set(pod.metadata.name, pod);
    }
    this.#schedule();
    return pods.length;
  }

  close(): void {
    this.#ending.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#unwatched.clear();
  }

  #schedule(): void {
    if (this.#unwatched.size === 0 || this.#ending.signal.aborted) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#lookAgain().finally(() => this.#schedule());
    }, LOOK_MS);
  }

  async #lookAgain(): Promise<void> {
    const { client, namespace, isWatched, found } = this.#options;
    for (const [name, pod] of this.#unwatched) {
      if (isWatched(name)) {
        this.#unwatched.delete(name);
        continue;
      }
      const bounded = new BoundedSignal(this.#ending.signal, LOOK_TIMEOUT_MS);
      try {
        const now = await client.get<Pod>(PODS, { namespace, name }, { signal: bounded.signal });
        if (this.#ending.signal.aborted) return;
        if (now?.metadata.uid === pod.metadata.uid) found(trimPod(now), false);
        else {
          this.#unwatched.delete(name);
          if (!isWatched(name)) found(pod, true);
        }
      } catch {
        // Looked at again.
      } finally {
        bounded.end();
      }
    }
  }
}
