/**
 * Zero where KEDA writes it (`scale.by: keda`): it is told that the backend is not wanted any more, and writes zero at its own pace, with its next look. Pods that
 * gateways have drained are going from then on. A request that comes before zero is written makes it wanted again; but a zero that KEDA has decided on may be on its way, so
 * that those pods are used again only when it is certain that none is: KEDA was not told, or has acted on the new word since and nobody has changed the target.
 */
import type { Clock, Logger } from '../../model/ports.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Workload } from './objects.ts';
import type { PodInstance } from './pod-instance.ts';

/** What is known of the ScaledObject of a backend. */
export interface KedaView {
  /** How long it may take from the word to the write of zero: look, cooldown and some more, ms. */
  zeroWithinMs(backend: string): number;
  /** Whether it may have heard that the backend isn't wanted since that was so last. */
  wasTold(backend: string): boolean;
  /** Called each time that it has acted on the word that the backend is wanted, and when there is no ScaledObject any more. Returns what ends it. */
  onActed(backend: string, listener: (isGone: boolean) => void): () => void;
}

/** KEDA handles one thing after the other: the second time that it has acted is certainly after the word, the first may be of one before. */
const ACTS = 2;
/** A KEDA that does not act at all does not write either, ms. */
const ACTS_WITHIN_MS = 15_000;
/** Written to zero and back: a ReplicaSet that has not deleted a pod by then keeps it, ms. */
const KEPT_AFTER_MS = 5000;

export interface KedaZeroOptions {
  backend: string;
  keda: KedaView;
  clock: Clock;
  logger: Logger;
  /** As last seen. */
  workload(): Workload | null;
  /** As the API server has it now. */
  read(): Promise<Workload | null>;
  /** It serves on, and whoever looked away has to be told. */
  kept(instances: readonly PodInstance[]): void;
}

interface Going {
  instance: PodInstance;
  resolve(): void;
  reject(error: DormouseError): void;
}

export class KedaZero {
  readonly #options: KedaZeroOptions;
  readonly #going = new Map<string, Going>();
  #generation: number | undefined;
  #bound: NodeJS.Timeout | undefined;
  #stopListening: (() => void) | null = null;
  #isRaised = false;

  constructor(options: KedaZeroOptions) {
    this.#options = options;
  }

  /** Those that are going and are still counted as active. */
  get size(): number {
    return this.#going.size;
  }

  /** Resolves when all of them are gone or being deleted; rejects with DORMOUSE_POD_STAYS when they are not, or are wanted again in time. */
  async end(instances: readonly PodInstance[]): Promise<void> {
    const { keda, backend, workload } = this.#options;
    if (this.#going.size === 0) {
      this.#isRaised = false;
      this.#generation = workload()?.metadata.generation;
      const boundMs = keda.zeroWithinMs(backend);
      this.#bound = setTimeout(() => {
        this.#keep(`KEDA has not written zero within ${Math.round(boundMs / 1000)} s; look at its ScaledObject`);
      }, boundMs);
      this.#stopListening = keda.onActed(backend, (isGone) => {
        if (isGone) this.#keep('its ScaledObject is gone');
      });
    }
    const ends = instances.map(
      (instance) => new Promise<void>((resolve, reject) => this.#going.set(instance.id, { instance, resolve, reject })),
    );
    const results = await Promise.allSettled(ends);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** One of the pods has changed its state. */
  changed(instance: PodInstance): void {
    const going = this.#going.get(instance.id);
    if (going === undefined || instance.isActive) return;
    this.#going.delete(instance.id);
    if (this.#going.size === 0) this.#over();
    going.resolve();
  }

  /** It is wanted again: those that are certain to stay serve on. */
  raised(): void {
    if (this.#going.size === 0 || this.#isRaised) return;
    this.#isRaised = true;
    const { keda, backend } = this.#options;
    if (!keda.wasTold(backend)) {
      this.#keep('it is wanted again, and KEDA had not heard otherwise');
      return;
    }
    clearTimeout(this.#bound);
    let acts = 0;
    const look = (): void => {
      this.#stopListening?.();
      this.#stopListening = null;
      void this.#confirm();
    };
    this.#bound = setTimeout(look, ACTS_WITHIN_MS);
    this.#stopListening?.();
    this.#stopListening = keda.onActed(backend, (isGone) => {
      if (isGone || ++acts === ACTS) look();
    });
  }

  close(): void {
    const going = [...this.#going.values()];
    this.#going.clear();
    this.#over();
    for (const { resolve } of going) resolve();
  }

  /** Whoever changed the target meanwhile has made it zero. */
  async #confirm(): Promise<void> {
    let generation: number | undefined;
    try {
      generation = (await this.#options.read())?.metadata.generation;
    } catch (error) {
      this.#options.logger.debug('the target can not be read', { reason: String(error) });
    }
    if (this.#going.size === 0) return;
    if (generation !== undefined && generation === this.#generation) {
      this.#keep('it is wanted again, and KEDA has not written zero');
      return;
    }
    clearTimeout(this.#bound);
    this.#bound = setTimeout(() => this.#keep('it is wanted again, and its pods were not deleted'), KEPT_AFTER_MS);
  }

  #keep(why: string): void {
    const going = [...this.#going.values()];
    this.#going.clear();
    this.#over();
    if (going.length === 0) return;
    this.#options.logger.info('pods that were to go serve on', { pods: going.length, why });
    for (const { instance, reject } of going) {
      reject(new DormouseError('DORMOUSE_POD_STAYS', `pod ${instance.pod.metadata.name} stays: ${why}`));
    }
    // After the controller has heard that they stay.
    setImmediate(() => this.#options.kept(going.map(({ instance }) => instance)));
  }

  #over(): void {
    clearTimeout(this.#bound);
    this.#stopListening?.();
    this.#stopListening = null;
  }
}
