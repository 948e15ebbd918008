/** A driver's target: which kind it is, its object as the informer has it, its /scale and the selector of its pods. */
import { backoffMs } from '../../kubernetes/backoff.ts';
import type { KubernetesClient, Resource } from '../../kubernetes/client.ts';
import { DEPLOYMENTS, STATEFUL_SETS } from '../../kubernetes/resources.ts';
import type { KubernetesConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import type { ClusterView } from './cluster-view.ts';
import type { Gate } from './gate.ts';
import type { Workload } from './objects.ts';
import { parseSelector, selectorOf, type PodSelector } from './pod-selector.ts';
import { TargetScale, type KnownScale } from './target-scale.ts';

export interface TargetDeps {
  client: KubernetesClient;
  view: ClusterView;
  /** Bounds how many targets are asked for at once. */
  gate: Gate;
  clock: Clock;
  logger: Logger;
  random: RandomSource;
}

export interface TargetEvents {
  /** Its object has changed. */
  changed(): void;
  /** Its pods are those with these labels. */
  selects(selector: PodSelector): void;
  scaled(known: KnownScale, byOthers: boolean): void;
  refused(error: DormouseError): void;
  accepted(): void;
}

/** Kinds whose object tells all that /scale does. */
const WELL_KNOWN: readonly Resource[] = [DEPLOYMENTS, STATEFUL_SETS];
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;

export class Target {
  readonly #config: KubernetesConfig;
  readonly #deps: TargetDeps;
  readonly #events: TargetEvents;
  readonly #ending = new AbortController();
  #resource: Resource | null = null;
  #scale: TargetScale | null = null;
  #workload: Workload | null = null;
  #selector: PodSelector | null = null;
  /** Read from its object, not from /scale. */
  #ownSelector = false;
  #stopWatching: (() => void) | null = null;
  #resolving = false;
  /** Wanted while the kind was not known yet. */
  #wanted: number | null = null;
  /** Generation for which /scale was read, or is being read. */
  #read: { uid: string; generation: number } | null = null;
  #reading = false;

  constructor(config: KubernetesConfig, deps: TargetDeps, events: TargetEvents) {
    this.#config = config;
    this.#deps = deps;
    this.#events = events;
  }

  get workload(): Workload | null {
    return this.#workload;
  }

  /** null as long as its kind is not known. */
  get scale(): TargetScale | null {
    return this.#scale;
  }

  begin(): void {
    const { apiVersion, kind } = this.#config.target;
    const known = WELL_KNOWN.find((one) => `${one.group}/${one.version}` === apiVersion && one.kind === kind);
    if (known === undefined) void this.#resolve();
    else this.#use(known);
  }

  /** Its object as the API server has it now; null: it is not there. */
  async read(signal: AbortSignal): Promise<Workload | null> {
    const { namespace, target } = this.#config;
    if (this.#resource === null) return null;
    return this.#deps.client.get<Workload>(this.#resource, { namespace, name: target.name }, { signal });
  }

  /** At least so many replicas; written at once when everything needed is known. */
  raise(replicas: number): void {
    if (this.#scale !== null) {
      this.#scale.raise(replicas);
      return;
    }
    this.#wanted = Math.max(this.#wanted ?? 0, replicas);
    void this.#resolve();
  }

  dropRaise(): void {
    this.#wanted = null;
    this.#scale?.dropRaise();
  }

  close(): void {
    this.#ending.abort();
    this.#stopWatching?.();
    this.#scale?.close();
  }

  /** Asks which resource the kind is, until it is told. A kind that the cluster doesn't have is asked for again when it is wanted. */
  async #resolve(): Promise<void> {
    if (this.#resolving || this.#scale !== null || this.#ending.signal.aborted) return;
    this.#resolving = true;
    const { apiVersion, kind } = this.#config.target;
    const { signal } = this.#ending;
    for (let failures = 0; !signal.aborted && this.#scale === null; failures++) {
      try {
        const resource = await this.#deps.gate.run(() => this.#deps.client.resourceOf(apiVersion, kind, signal));
        if (resource?.scalable) this.#use(resource);
        else {
          const what = resource === null ? 'the cluster has no such kind' : 'this kind has no /scale subresource';
          this.#refuse(`${what}; correct kubernetes.target, or install what defines ${kind} (${apiVersion})`);
          break;
        }
      } catch (error) {
        if (signal.aborted) break;
        if (failures === 0) this.#deps.logger.warn(`can't ask for kind ${kind}`, { error: (error as Error).message });
        await this.#pause(failures);
      }
    }
    this.#resolving = false;
  }

  #use(resource: Resource): void {
    const { client, clock, random, view } = this.#deps;
    const { namespace, target } = this.#config;
    const scale = new TargetScale({
      client,
      clock,
      random,
      resource,
      name: { namespace, name: target.name },
      onceHeard: (listener) => view.onceHeard(listener),
      learned: (known, byOthers) => this.#learned(known, byOthers),
      refused: (error) => this.#events.refused(error),
      accepted: () => this.#events.accepted(),
    });
    this.#resource = resource;
    this.#scale = scale;
    const observe = (workload: Workload | null): void => this.#observe(resource, workload);
    const targets = view.targets(resource);
    this.#stopWatching = targets.watch(namespace, target.name, observe);
    const workload = targets.get(namespace, target.name);
    if (workload !== null) observe(workload);
    const wanted = this.#wanted;
    this.#wanted = null;
    if (wanted !== null) scale.raise(wanted);
  }

  #observe(resource: Resource, workload: Workload | null): void {
    this.#workload = workload;
    if (workload === null) {
      this.#scale!.forget();
      this.#read = null;
    } else if (WELL_KNOWN.includes(resource)) {
      const { uid, resourceVersion } = workload.metadata;
      // The API server fills it in; a Deployment without it has one.
      this.#scale!.observe({ uid, resourceVersion, replicas: workload.spec?.replicas ?? 1 });
      this.#ownSelector = this.#selectBy(() => selectorOf(workload.spec?.selector ?? {}));
    } else if (!this.#isRead(workload)) void this.#readScale();
    this.#events.changed();
  }

  #isRead({ metadata }: Workload): boolean {
    return this.#read?.uid === metadata.uid && this.#read.generation === (metadata.generation ?? 0);
  }

  /** Where its object keeps replicas and selector is known to the API server only. */
  async #readScale(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    const { signal } = this.#ending;
    for (let failures = 0; !signal.aborted;) {
      const workload = this.#workload;
      if (workload === null || this.#isRead(workload)) break;
      const { uid, generation = 0 } = workload.metadata;
      try {
        await this.#deps.gate.run(() => this.#scale!.read(signal));
        this.#read = { uid, generation };
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        if (failures++ === 0)
          this.#deps.logger.warn(`can't read the scale of ${this.#title}`, { error: (error as Error).message });
        await this.#pause(failures);
      }
    }
    this.#reading = false;
  }

  #learned(known: KnownScale, byOthers: boolean): void {
    if (!this.#ownSelector) this.#selectBy(() => parseSelector(known.selector));
    this.#events.scaled(known, byOthers);
  }

  /** A selector that can't be read leaves the pods as they were. */
  #selectBy(read: () => PodSelector | null): boolean {
    try {
      const selector = read();
      if (selector === null) return false;
      this.#select(selector);
      return true;
    } catch (error) {
      this.#deps.logger.warn(`the pods of ${this.#title} can't be found`, { error: (error as Error).message });
      return false;
    }
  }

  #select(selector: PodSelector): void {
    if (this.#selector?.text === selector.text) return;
    this.#selector = selector;
    this.#events.selects(selector);
  }

  #refuse(reason: string): void {
    if (this.#wanted === null) return;
    this.#wanted = null;
    this.#events.refused(new DormouseError('DORMOUSE_SCALE_FAILED', `${this.#title} can't be scaled: ${reason}`));
  }

  get #title(): string {
    const { namespace, target } = this.#config;
    return `${target.kind} ${namespace}/${target.name}`;
  }

  /** Up to 5 s, half of it at random; over when the API server is heard of, or it ends. */
  #pause(failures: number): Promise<void> {
    const { random, view } = this.#deps;
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(timer);
        stop();
        this.#ending.signal.removeEventListener('abort', over);
        resolve();
      };
      const timer = setTimeout(over, backoffMs(failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, random));
      const stop = view.onceHeard(over);
      this.#ending.signal.addEventListener('abort', over);
    });
  }
}
