/**
 * Looks after a start: once it has taken `failFastAfter` without a ready pod, whatever visibly keeps the pods from starting is a crash, told in one sentence.
 * A start that is merely slow is left alone. Timers run only while a start is under way.
 */
import type { KubernetesClient, KubernetesObject, Resource } from '../../kubernetes/client.ts';
import type { Workload } from './objects.ts';
import { startTrouble } from './pod-facts.ts';
import type { PodInstance } from './pod-instance.ts';
import type { KnownScale } from './target-scale.ts';

export interface StartWatchOptions {
  client: KubernetesClient;
  target: { namespace: string; kind: string; name: string };
  failFastAfterMs(): number;
  pods(): Iterable<PodInstance>;
  workload(): Workload | null;
  /** Which ports of the Service this pod does not have; null: it has them. */
  portTrouble(instance: PodInstance): string | null;
  /** Asks the API server; rejects when it doesn't answer. */
  readScale(signal: AbortSignal): Promise<KnownScale | null>;
  crashed(reason: string): void;
}

/** A start that hung before is told sooner the next time. */
const AGAIN_AFTER_MS = 1000;
/** Without any pod nothing tells of a change. */
const LOOK_AGAIN_MS = 2000;
/** Controllers of a busy cluster may be behind: that no pod is there, and nobody says why, is no failure before this has passed too. */
const NO_POD_AFTER_MS = 10_000;
const ASK_TIMEOUT_MS = 5000;
const MAX_EVENTS = 100;

const CORE_EVENTS: Resource = { group: '', version: 'v1', plural: 'events', kind: 'Event', namespaced: true };

interface CoreEvent extends KubernetesObject {
  type?: string;
  reason?: string;
  message?: string;
  lastTimestamp?: string | null;
}

export class StartWatch {
  readonly #options: StartWatchOptions;
  #timer: NodeJS.Timeout | null = null;
  #asking: AbortController | null = null;
  #phase: 'off' | 'early' | 'late' = 'off';
  /** Looks without any pod since it is late. */
  #looks = 0;

  constructor(options: StartWatchOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#phase !== 'off';
  }

  /** `again`: the start before hung, and nothing has become ready since. */
  begin(again: boolean): void {
    if (this.#phase !== 'off') return;
    this.#phase = 'early';
    this.#looks = 0;
    const afterMs = this.#options.failFastAfterMs();
    this.#timer = setTimeout(() => this.#isLate(), again ? Math.min(afterMs, AGAIN_AFTER_MS) : afterMs);
  }

  end(): void {
    this.#phase = 'off';
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#asking?.abort();
    this.#asking = null;
  }

  /** A pod or the target has changed. */
  look(): void {
    if (this.#phase !== 'late') return;
    const trouble = this.#trouble();
    if (trouble !== null) this.#crash(trouble);
  }

  #isLate(): void {
    this.#timer = null;
    this.#phase = 'late';
    this.look();
    if (this.#phase !== 'late') return;
    const [pod] = this.#options.pods();
    if (pod === undefined) void this.#ask(this.#looks++ * LOOK_AGAIN_MS >= NO_POD_AFTER_MS);
    this.#timer = setTimeout(() => this.#isLate(), LOOK_AGAIN_MS);
  }

  /** As long as one pod gets on, nothing hangs. */
  #trouble(): string | null {
    const { pods, portTrouble, target, workload } = this.#options;
    let first: string | null = null;
    let count = 0;
    for (const instance of pods()) {
      const { metadata } = instance.pod;
      const trouble = startTrouble(instance.pod) ?? portTrouble(instance);
      if (trouble === null) return null;
      count++;
      first ??= `pod ${metadata.name} ${trouble}; look at: kubectl describe pod -n ${target.namespace} ${metadata.name}`;
    }
    if (first !== null) return count === 1 ? first : `${first} (and ${count - 1} more)`;
    const failure = workload()?.status?.conditions?.find(
      ({ type, status }) => type === 'ReplicaFailure' && status === 'True',
    );
    return failure === undefined ? null : this.#noPod(failure.message ?? failure.reason ?? 'it does not say why');
  }

  /** No pod is known: the API server is asked whether there is none, and what the events say. While it doesn't answer nothing is concluded. */
  async #ask(isLong: boolean): Promise<void> {
    if (this.#asking !== null) return;
    const asking = new AbortController();
    this.#asking = asking;
    const { client, pods, readScale, target } = this.#options;
    const signal = AbortSignal.any([asking.signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]);
    try {
      const scale = await readScale(signal);
      if (scale === null || scale.replicas === 0) return;
      const fieldSelector = `involvedObject.kind=${target.kind},involvedObject.name=${target.name}`;
      // A role may not let it see events: then there is only less to tell.
      const events = await client
        .list<CoreEvent>(CORE_EVENTS, { namespace: target.namespace, fieldSelector, signal })
        .catch(() => ({ items: [] }));
      const [pod] = pods();
      if (this.#phase !== 'late' || pod !== undefined || asking.signal.aborted) return;
      const warning = events.items
        .slice(-MAX_EVENTS)
        .filter(({ type, reason }) => type === 'Warning' && reason === 'FailedCreate')
        .sort((a, b) => (a.lastTimestamp ?? '').localeCompare(b.lastTimestamp ?? ''))
        .at(-1);
      if (warning !== undefined) this.#crash(this.#noPod(warning.message ?? 'FailedCreate'));
      else if (isLong) this.#crash(this.#noPod('whoever makes its pods has not made one'));
    } catch {
      // Asked again in a moment.
    } finally {
      if (this.#asking === asking) this.#asking = null;
    }
  }

  #noPod(why: string): string {
    const { kind, name, namespace } = this.#options.target;
    return `${kind} ${name} gets no pod: ${why}; look at: kubectl describe ${kind.toLowerCase()} -n ${namespace} ${name}`;
  }

  #crash(reason: string): void {
    this.end();
    this.#options.crashed(reason);
  }
}
