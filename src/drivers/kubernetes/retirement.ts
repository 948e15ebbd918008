/** Ends chosen pods by making their target smaller: it is told which, and waits until they are really going. */
import { isReason } from '../../kubernetes/api-error.ts';
import { BoundedSignal } from '../../kubernetes/bounded-signal.ts';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { PODS } from '../../kubernetes/resources.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Clock, Logger } from '../../model/ports.ts';
import { DELETION_COST, type Workload } from './objects.ts';
import { isReady } from './pod-facts.ts';
import type { PodInstance } from './pod-instance.ts';
import type { TargetScale } from './target-scale.ts';

/** Within what the controller waits for a driver (10 s). */
const BOUND_MS = 8000;
const MARK_BOUND_MS = 2000;
/** A raise that followed may have come in time for a pod to be kept. */
const KEPT_AFTER_MS = 500;
/** Somebody scaled up, and the pods of that are not there yet. */
const YOUNG_MS = 10_000;
/** Below anything that somebody would give by hand. */
const COST = '-1000000';

export interface RetirementOptions {
  client: KubernetesClient;
  clock: Clock;
  logger: Logger;
  namespace: string;
  scale: TargetScale;
  /** All that are starting, ready or unhealthy. */
  active(): PodInstance[];
  workload(): Workload | null;
}

interface Doomed {
  instance: PodInstance;
  /** waiting: nothing written for it yet; lowering: being written; lowered: it has only to go. */
  stage: 'waiting' | 'lowering' | 'lowered';
  /** Its own annotation before ours. */
  costBefore: string | null | undefined;
  bound: NodeJS.Timeout;
  waiters: { resolve(): void; reject(error: DormouseError): void }[];
}

export class Retirement {
  readonly #options: RetirementOptions;
  readonly #doomed = new Map<string, Doomed>();
  #scheduled = false;
  #canMark = true;

  constructor(options: RetirementOptions) {
    this.#options = options;
  }

  /** Those that are to go and are still counted as active. */
  get size(): number {
    let size = 0;
    for (const { instance } of this.#doomed.values()) if (instance.isActive) size++;
    return size;
  }

  /** Resolves when all of them are gone or being deleted; rejects when one of them stays. At most 8 s. Calls of one turn become one write. */
  async end(instances: readonly PodInstance[]): Promise<void> {
    const ends = instances.map((instance) => this.#end(instance));
    const results = await Promise.allSettled(ends);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** One of the pods has changed its state or its condition Ready. */
  changed(instance: PodInstance): void {
    const doomed = this.#doomed.get(instance.id);
    if (doomed !== undefined && !instance.isActive) this.#over(doomed, null);
    if (this.#hasWaiting()) this.#schedule();
  }

  /** More are wanted again, and that has been written: who isn't going in a moment is kept. */
  raised(): void {
    for (const doomed of this.#doomed.values()) {
      if (doomed.stage !== 'lowered') continue;
      clearTimeout(doomed.bound);
      doomed.bound = setTimeout(
        () => this.#over(doomed, this.#stays(doomed, 'more were wanted meanwhile')),
        KEPT_AFTER_MS,
      );
    }
  }

  close(): void {
    for (const doomed of this.#doomed.values()) {
      clearTimeout(doomed.bound);
      for (const { resolve } of doomed.waiters) resolve();
    }
    this.#doomed.clear();
  }

  #end(instance: PodInstance): Promise<void> {
    return new Promise((resolve, reject) => {
      const known = this.#doomed.get(instance.id);
      if (known !== undefined) {
        known.waiters.push({ resolve, reject });
        return;
      }
      const doomed: Doomed = {
        instance,
        stage: 'waiting',
        costBefore: undefined,
        bound: setTimeout(() => this.#atBound(doomed), BOUND_MS),
        waiters: [{ resolve, reject }],
      };
      this.#doomed.set(instance.id, doomed);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#begin();
    });
  }

  #hasWaiting(): boolean {
    for (const { stage } of this.#doomed.values()) if (stage === 'waiting') return true;
    return false;
  }

  #begin(): void {
    const waiting = [...this.#doomed.values()].filter(({ stage }) => stage === 'waiting');
    if (waiting.length === 0) return;
    const active = this.#options.active();
    const all = active.every(({ id }) => this.#doomed.has(id));
    if (all) void this.#lowerToZero(waiting, active.length);
    else if (isStateful(waiting[0]!.instance)) this.#lowerHighest(waiting, active);
    else if (this.#wouldGoInstead(active) === null) void this.#lowerBy(waiting);
  }

  /** A ReplicaSet gives up pods that aren't Ready before any other, whatever they cost; what we found ready the kubelet may not have seen yet. */
  #wouldGoInstead(active: readonly PodInstance[]): PodInstance | null {
    return active.find((instance) => !this.#doomed.has(instance.id) && !isReady(instance.pod)) ?? null;
  }

  async #lowerToZero(waiting: readonly Doomed[], active: number): Promise<void> {
    const { scale } = this.#options;
    if (scale.sinceOthersMs < YOUNG_MS && (scale.known?.replicas ?? 0) > active) {
      const text = `it was scaled to ${scale.known!.replicas} by somebody else a moment ago, which is left as it is`;
      for (const doomed of waiting) this.#over(doomed, new DormouseError('DORMOUSE_SCALED_BY_OTHERS', text));
      return;
    }
    await this.#lower(waiting, () => 0);
  }

  /** A StatefulSet gives up its highest ordinals only. Others wait, within the bound, for those above them to go too. */
  #lowerHighest(waiting: readonly Doomed[], active: readonly PodInstance[]): void {
    const start = this.#options.workload()?.spec?.ordinals?.start ?? 0;
    const downwards = [...active].sort((a, b) => ordinalOf(b) - ordinalOf(a));
    const firstKept = downwards.findIndex(({ id }) => !this.#doomed.has(id));
    const highest = new Set(downwards.slice(0, firstKept).map(({ id }) => id));
    const now = waiting.filter(({ instance }) => highest.has(instance.id));
    if (now.length === 0) return;
    const lowest = Math.min(...now.map(({ instance }) => ordinalOf(instance)));
    void this.#lower(now, () => lowest - start);
  }

  async #lowerBy(waiting: readonly Doomed[]): Promise<void> {
    for (const doomed of waiting) doomed.stage = 'lowering';
    await Promise.all(waiting.map((doomed) => this.#mark(doomed)));
    const left = waiting.filter((doomed) => this.#doomed.get(doomed.instance.id) === doomed);
    if (left.length > 0) await this.#lower(left, (from) => from - left.length);
  }

  async #lower(some: readonly Doomed[], to: (from: number) => number): Promise<void> {
    for (const doomed of some) doomed.stage = 'lowering';
    try {
      await this.#options.scale.lower(to, BOUND_MS);
      for (const doomed of some) doomed.stage = 'lowered';
    } catch (error) {
      for (const doomed of some) this.#over(doomed, error as DormouseError);
    }
  }

  /** Makes it the first that a ReplicaSet gives up. Where the role doesn't allow it, the ReplicaSet chooses. */
  async #mark(doomed: Doomed): Promise<void> {
    const { metadata } = doomed.instance.pod;
    if (!this.#canMark) return;
    const before = metadata.annotations?.[DELETION_COST] ?? null;
    // An operator that ended in between may have left ours.
    doomed.costBefore = before === COST ? null : before;
    try {
      await this.#annotate(doomed, COST);
    } catch (error) {
      if (!isReason(error, 'Forbidden')) return;
      this.#canMark = false;
      this.#options.logger.warn(
        'which pods go when it is made smaller is left to chance: the service account of dormouse needs patch on pods',
        { namespace: this.#options.namespace },
      );
    }
  }

  async #annotate({ instance }: Doomed, cost: string | null): Promise<void> {
    const { client, namespace } = this.#options;
    const { name, uid } = instance.pod.metadata;
    const body = { metadata: { uid, annotations: { [DELETION_COST]: cost } } };
    const bounded = new BoundedSignal(undefined, MARK_BOUND_MS);
    try {
      await client.patch(PODS, { namespace, name }, { type: 'merge', body }, { signal: bounded.signal });
    } finally {
      bounded.end();
    }
  }

  #atBound(doomed: Doomed): void {
    const instead = this.#wouldGoInstead(this.#options.active());
    let why = `it is not being deleted after ${BOUND_MS / 1000} s`;
    if (doomed.stage === 'waiting' && isStateful(doomed.instance))
      why = 'a StatefulSet gives up its highest ordinals first, and one above it stays';
    else if (doomed.stage === 'waiting' && instead !== null)
      why = `pod ${instead.pod.metadata.name} is not Ready, and would be deleted in its place`;
    this.#over(doomed, this.#stays(doomed, why));
  }

  #stays({ instance }: Doomed, why: string): DormouseError {
    return new DormouseError('DORMOUSE_POD_STAYS', `pod ${instance.pod.metadata.name} stays: ${why}`);
  }

  #over(doomed: Doomed, error: DormouseError | null): void {
    clearTimeout(doomed.bound);
    if (this.#doomed.get(doomed.instance.id) === doomed) this.#doomed.delete(doomed.instance.id);
    if (error !== null && doomed.costBefore !== undefined && this.#canMark) {
      // It stays: whoever is chosen the next time, it shall not be this one because of us.
      void this.#annotate(doomed, doomed.costBefore).catch(() => {});
      doomed.costBefore = undefined;
    }
    for (const { resolve, reject } of doomed.waiters.splice(0)) {
      if (error === null) resolve();
      else reject(error);
    }
  }
}

/** Of a pod of a StatefulSet. */
export function ordinalOf({ pod }: PodInstance): number {
  return Number(/-(\d+)$/.exec(pod.metadata.name)?.[1] ?? 0);
}

export function isStateful({ pod }: PodInstance): boolean {
  return pod.metadata.ownerReferences?.some(({ kind }) => kind === 'StatefulSet') === true;
}
