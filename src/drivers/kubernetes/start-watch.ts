/**
 * Looks after a start: once it has taken `failFastAfter` without a ready pod, whatever visibly keeps the pods from starting is a crash, told in one sentence.
 * A start that is merely slow is left alone. Timers run only while a start is under way.
 */
import { BoundedSignal } from '../../kubernetes/bounded-signal.ts';
import type { KubernetesClient, KubernetesObject, Resource } from '../../kubernetes/client.ts';
import type { Clock } from '../../model/ports.ts';
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
  /** Asks the API server for its pods and takes up what is new; resolves with their number, rejects when it doesn't answer. */
  findPods(selector: string, signal: AbortSignal): Promise<number>;
  clock: Clock;
  crashed(reason: string): void;
}

/** A start that hung before is told sooner the next time. */
const AGAIN_AFTER_MS = 1000;
/**
 * A start that takes longer is not only watched but asked for, twice as long after each time: a watch whose connection died without a word is noticed after
 * more than a minute, and a request waits.
 */
const FIRST_ASK_MS = 2000;
const LONGEST_ASK_MS = 10_000;
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
  #lateTimer: NodeJS.Timeout | null = null;
  #askTimer: NodeJS.Timeout | null = null;
  #asking: AbortController | null = null;
  #phase: 'off' | 'early' | 'late' = 'off';
  #lateSinceMs = 0;

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
    const afterMs = this.#options.failFastAfterMs();
    this.#lateTimer = setTimeout(() => this.#isLate(), again ? Math.min(afterMs, AGAIN_AFTER_MS) : afterMs);
    this.#askIn(FIRST_ASK_MS);
  }

  end(): void {
    this.#phase = 'off';
    if (this.#lateTimer !== null) clearTimeout(this.#lateTimer);
    if (this.#askTimer !== null) clearTimeout(this.#askTimer);
    this.#lateTimer = null;
    this.#askTimer = null;
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
    this.#phase = 'late';
    this.#lateSinceMs = this.#options.clock.nowMs();
    this.look();
    const [pod] = this.#options.pods();
    if (this.isOn && pod === undefined) void this.#ask();
  }

  #askIn(afterMs: number): void {
    this.#askTimer = setTimeout(() => {
      this.#askIn(Math.min(LONGEST_ASK_MS, afterMs * 2));
      void this.#ask();
    }, afterMs);
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

  /** Asks the API server for the pods and, where there is none, for what the events say. While it doesn't answer nothing is concluded. */
  async #ask(): Promise<void> {
    if (this.#asking !== null) return;
    const asking = new AbortController();
    this.#asking = asking;
    const { clock, findPods, readScale } = this.#options;
    const bounded = new BoundedSignal(asking.signal, ASK_TIMEOUT_MS);
    try {
      const scale = await readScale(bounded.signal);
      if (scale === null || scale.replicas === 0 || (await findPods(scale.selector, bounded.signal)) > 0) return;
      const warning = await this.#warning(bounded.signal);
      if (this.#phase !== 'late' || asking.signal.aborted) return;
      if (warning !== null) this.#crash(this.#noPod(warning));
      else if (clock.nowMs() - this.#lateSinceMs >= NO_POD_AFTER_MS)
        this.#crash(this.#noPod('whoever makes its pods has not made one'));
    } catch {
      // Asked again in a moment.
    } finally {
      bounded.end();
      if (this.#asking === asking) this.#asking = null;
    }
  }

  /** Why a StatefulSet can't make a pod stands in its events only. A role may not let them be seen: then there is only less to tell. */
  async #warning(signal: AbortSignal): Promise<string | null> {
    const { client, target } = this.#options;
    const fieldSelector = `involvedObject.kind=${target.kind},involvedObject.name=${target.name}`;
    const { items } = await client
      .list<CoreEvent>(CORE_EVENTS, { namespace: target.namespace, fieldSelector, signal })
      .catch(() => ({ items: [] }));
    const failures = items
      .slice(-MAX_EVENTS)
      .filter(({ type, reason }) => type === 'Warning' && reason === 'FailedCreate')
      .sort((a, b) => (a.lastTimestamp ?? '').localeCompare(b.lastTimestamp ?? ''));
    const last = failures.at(-1);
    return last === undefined ? null : (last.message ?? 'FailedCreate');
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
