/**
 * Runs a backend as a workload of a cluster: scales its target, and takes the target's pods as its instances. What others do to the target is accepted:
 * pods that somebody else's scaling brings are instances like all others. Closing it leaves the workload as it is.
 */
import type { KubernetesClient } from '../../kubernetes/client.ts';
import type { Crash } from '../../model/backend.ts';
import type { BackendConfig, KubernetesConfig } from '../../model/config.ts';
import type { Clock, Logger, RandomSource } from '../../model/ports.ts';
import type { Driver, DriverEvents, Instance } from '../driver.ts';
import type { ProbePace } from '../probe/readiness.ts';
import { speechOf } from '../probe/speech.ts';
import type { ClusterView } from './cluster-view.ts';
import { Crashes } from './crashes.ts';
import { FoundPods } from './found-pods.ts';
import type { Gate } from './gate.ts';
import { KedaZero, type KedaView } from './keda-zero.ts';
import type { Pod, ServicePort } from './objects.ts';
import { hasEnded, hostOf, portsOf } from './pod-facts.ts';
import { PodInstance, type PodSurroundings } from './pod-instance.ts';
import type { PodSelector } from './pod-selector.ts';
import { isStateful, ordinalOf, Retirement } from './retirement.ts';
import { StartWatch } from './start-watch.ts';
import { Target } from './target.ts';
import { isOlder, type KnownScale } from './target-scale.ts';

export interface KubernetesDriverDeps {
  client: KubernetesClient;
  view: ClusterView;
  gate: Gate;
  pace: ProbePace;
  clock: Clock;
  logger: Logger;
  random: RandomSource;
  /** As in KubernetesDriversDeps. */
  replicasBefore?(backend: string): number;
  keda?: KedaView;
  kedaWakesWithinMs?: number;
}

const LOWER_BOUND_MS = 8000;
/** KEDA is told the moment that a backend is wanted; it may be away, and nobody shall wait for that, ms. */
const KEDA_WAKES_WITHIN_MS = 3000;
const LINGER_AGAIN_MS = 5000;

export class KubernetesDriver implements Driver {
  readonly kind = 'kubernetes';
  readonly canScale = true;
  readonly #backend: BackendConfig;
  readonly #config: KubernetesConfig;
  readonly #events: DriverEvents;
  readonly #deps: KubernetesDriverDeps;
  readonly #around: PodSurroundings;
  readonly #crashes: Crashes;
  readonly #target: Target;
  readonly #watch: StartWatch;
  readonly #found: FoundPods;
  #retirement: Retirement | null = null;
  /** With `scale.by: keda`: what it has been told to end. */
  #zero: KedaZero | null = null;
  /** Raises it when KEDA does not. */
  #ownRaise: NodeJS.Timeout | null = null;
  /** By the pod's name. */
  readonly #pods = new Map<string, PodInstance>();
  /** Kept when the Service is deleted: its pods still listen there. */
  #ports: readonly ServicePort[];
  readonly #stops: (() => void)[] = [];
  #stopPods: (() => void) | null = null;
  /** Replicas wanted by a start that is under way. */
  #wanted = 0;
  /** Gives up pods that hang, when nobody has asked for them for a long time. */
  #linger: NodeJS.Timeout | null = null;
  /** The crash is that the API server didn't let it be scaled. */
  #refused = false;
  #toldUnreachable = false;
  #closed = false;

  /** Tells of its instances from the next microtask on, so that the caller has the driver by then. */
  constructor(backend: BackendConfig, config: KubernetesConfig, events: DriverEvents, deps: KubernetesDriverDeps) {
    this.#backend = backend;
    this.#config = config;
    this.#events = events;
    this.#deps = deps;
    const listens = config.service !== null || config.port !== 0;
    this.#ports = config.service === null && listens ? [{ port: config.port }] : [];
    const { clock, client, random, pace } = deps;
    this.#around = {
      ready: config.ready,
      listens,
      health: backend.health,
      speech: speechOf(backend),
      pace,
      clock,
      random,
      portsOf: (pod) => portsOf(pod, this.#ports),
      changed: (instance) => this.#changed(instance),
      unreachable: (instance) => this.#unreachable(instance),
    };
    this.#crashes = new Crashes(clock, (crash) => {
      if (!this.#closed) events.crash(crash);
    });
    this.#target = new Target(config, deps, {
      changed: () => this.#watch.look(),
      selects: (selector) => this.#select(selector),
      scaled: (known, byOthers) => this.#scaled(known, byOthers),
      refused: (error) => {
        this.#refused = true;
        this.#crashed(error.message);
      },
      accepted: () => {
        this.#retirement?.raised();
        // Pods that hang are another matter: those are over when one is ready.
        if (this.#refused) this.#crashes.recovered();
        this.#refused = false;
      },
    });
    this.#watch = new StartWatch({
      client,
      target: { namespace: config.namespace, kind: config.target.kind, name: config.target.name },
      failFastAfterMs: () => backend.wake.failFastAfterMs,
      pods: () => this.#active(),
      workload: () => this.#target.workload,
      portTrouble: (instance) => this.#portTrouble(instance),
      readScale: (signal) => deps.gate.run(async () => (await this.#target.scale?.read(signal)) ?? null),
      findPods: (selector, signal) => deps.gate.run(() => this.#found.find(selector, signal)),
      clock,
      crashed: (reason) => {
        this.#crashed(reason);
        this.#lingerOn(backend.wake.timeoutMs);
      },
    });
    this.#found = new FoundPods({
      client,
      namespace: config.namespace,
      isWatched: (name) => deps.view.hasPod(config.namespace, name),
      found: (pod, removed) => this.#podChanged(pod, removed),
    });
    queueMicrotask(() => this.#begin());
  }

  instances(): readonly Instance[] {
    return [...this.#pods.values()].map((instance) => instance.snapshot());
  }

  replicas(): number | null {
    return this.#target.scale?.replicas ?? null;
  }

  crash(): Crash | null {
    return this.#crashes.inForce;
  }

  scaleUp(count: number): void {
    if (this.#closed || count <= 0 || this.#crashes.inForce !== null) return;
    const { by, max } = this.#backend.scale;
    // Otherwise somebody else has the say beyond one.
    const going = (this.#retirement?.size ?? 0) + (this.#zero?.size ?? 0);
    const wanted = Math.min(count - going, by === 'dormouse' ? max : Infinity);
    if (wanted <= 0) return;
    const replicas = Math.max(wanted, this.#atLeast());
    if (this.#readyCount === 0) {
      this.#wanted = Math.max(replicas, this.#watch.isOn ? this.#wanted : 0);
      this.#watch.begin(this.#crashes.known !== null);
    }
    if (by === 'keda' && this.#deps.keda !== undefined) this.#raiseByKeda(replicas);
    else this.#target.raise(replicas);
  }

  /** It hears of it as we do, and writes: one that is away is stood in for. */
  #raiseByKeda(replicas: number): void {
    this.#zero?.raised();
    this.#ownRaise ??= setTimeout(() => {
      this.#ownRaise = null;
      if (this.#closed || !this.#watch.isOn) return;
      if ((this.#target.scale?.replicas ?? 0) === 0)
        this.#deps.logger.warn('KEDA has not scaled it up in time: it is done for it');
      this.#target.raise(Math.max(1, replicas));
    }, this.#deps.kedaWakesWithinMs ?? KEDA_WAKES_WITHIN_MS);
  }

  #stopOwnRaise(): void {
    if (this.#ownRaise !== null) clearTimeout(this.#ownRaise);
    this.#ownRaise = null;
  }

  /** From zero, or on the way there, it gets what it had: how many it needs is not ours to say. */
  #atLeast(): number {
    const isGoing = (this.#target.scale?.replicas ?? 0) === 0 || (this.#retirement?.size ?? 0) > 0;
    return isGoing && this.#backend.scale.by !== 'dormouse'
      ? (this.#deps.replicasBefore?.(this.#backend.name) ?? 0)
      : 0;
  }

  cancelStarts(count: number): void {
    if (this.#closed) return;
    this.#target.dropRaise();
    this.#stopOwnRaise();
    if (count <= 0) this.#watch.end();
    // Pods that hang have their own time.
    if (this.#linger === null) this.#giveUpStarts(count);
  }

  async retire(ids: readonly string[]): Promise<void> {
    const active = this.#active();
    const instances = active.filter(({ id }) => ids.includes(id));
    if (this.#backend.scale.by === 'keda' && this.#deps.keda !== undefined && instances.length === active.length) {
      this.#stopOwnRaise();
      this.#zero ??= this.#newZero(this.#deps.keda);
      await this.#zero.end(instances);
      return;
    }
    if (instances.length > 0 && this.#retirement !== null) await this.#retirement.end(instances);
  }

  retireFirst(): string[] | null {
    const active = this.#active();
    if (!active.some(isStateful)) return null;
    return active.sort((a, b) => ordinalOf(b) - ordinalOf(a)).map(({ id }) => id);
  }

  suspect(id: string): void {
    for (const instance of this.#pods.values()) if (instance.id === id) instance.suspect();
  }

  /** None: what pods write is kept by the cluster. */
  logs(): [] {
    return [];
  }

  onLog(): () => void {
    return () => {};
  }

  /** Lets go of the workload: nothing is scaled. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.end();
    this.#stopLingering();
    this.#found.close();
    this.#stopPods?.();
    for (const stop of this.#stops) stop();
    this.#target.close();
    this.#retirement?.close();
    this.#stopOwnRaise();
    this.#zero?.close();
    for (const instance of this.#pods.values()) instance.end('dormouse does not look after it any more');
  }

  #begin(): void {
    if (this.#closed) return;
    const { view } = this.#deps;
    const { namespace, service } = this.#config;
    if (service !== null) {
      const take = (ports: readonly ServicePort[] | undefined): void => this.#servicePorts(ports ?? []);
      this.#stops.push(
        view.services.watch(namespace, service, (object) => {
          if (object !== null) take(object.spec?.ports);
        }),
      );
      take(view.services.get(namespace, service)?.spec?.ports);
    }
    this.#target.begin();
  }

  #servicePorts(ports: readonly ServicePort[]): void {
    if (JSON.stringify(ports) === JSON.stringify(this.#ports)) return;
    this.#ports = ports;
    for (const instance of this.#pods.values()) instance.update(instance.pod);
  }

  #select(selector: PodSelector): void {
    this.#stopPods?.();
    this.#stopPods = this.#deps.view.watchPods(this.#config.namespace, selector, (pod, removed) =>
      this.#podChanged(pod, removed),
    );
    for (const instance of this.#pods.values()) {
      if (!selector.matches(instance.pod.metadata.labels)) instance.end('the target does not select it any more');
    }
  }

  #podChanged(pod: Pod, removed: boolean): void {
    const known = this.#pods.get(pod.metadata.name);
    if (known?.pod.metadata.uid === pod.metadata.uid) {
      if (removed) known.end('the pod is gone');
      else if (isOlder(pod.metadata.resourceVersion, known.pod.metadata.resourceVersion)) return;
      else known.update(pod);
      this.#retirement?.changed(known);
      this.#zero?.changed(known);
      this.#watch.look();
      return;
    }
    if (removed) return;
    known?.end('the pod is gone');
    if (hasEnded(pod)) return;
    const instance = new PodInstance(pod, this.#around);
    this.#pods.set(pod.metadata.name, instance);
    instance.begin();
  }

  #changed(instance: PodInstance): void {
    const { name } = instance.pod.metadata;
    if (instance.state === 'gone' && this.#pods.get(name) === instance) this.#pods.delete(name);
    if (instance.state === 'ready') {
      this.#watch.end();
      this.#stopLingering();
      this.#crashes.recovered();
    }
    this.#events.instance(instance.snapshot());
    this.#retirement?.changed(instance);
    this.#zero?.changed(instance);
  }

  #scaled(known: KnownScale, byOthers: boolean): void {
    const { scale } = this.#target;
    if (scale !== null) this.#retirement ??= this.#newRetirement(scale);
    // A request waits for it: whoever makes it smaller now did not know that.
    if (!byOthers || !this.#watch.isOn || known.replicas >= this.#wanted) return;
    if (this.#backend.scale.by === 'keda' && this.#deps.keda !== undefined) this.#raiseByKeda(this.#wanted);
    else scale?.raise(this.#wanted);
  }

  #newZero(keda: KedaView): KedaZero {
    const { clock, logger } = this.#deps;
    return new KedaZero({
      backend: this.#backend.name,
      keda,
      clock,
      logger,
      workload: () => this.#target.workload,
      read: () => this.#target.read(AbortSignal.timeout(LOWER_BOUND_MS)),
      kept: (instances) => {
        for (const instance of instances) if (!this.#closed) this.#events.instance(instance.snapshot());
      },
    });
  }

  #newRetirement(scale: NonNullable<Target['scale']>): Retirement {
    const { client, clock, logger } = this.#deps;
    return new Retirement({
      client,
      clock,
      logger,
      namespace: this.#config.namespace,
      scale,
      active: () => this.#active(),
      workload: () => this.#target.workload,
    });
  }

  #crashed(reason: string): void {
    this.#watch.end();
    this.#deps.logger.warn(reason);
    this.#crashes.crashed(reason);
  }

  #giveUpStarts(count: number): void {
    const { scale } = this.#target;
    if (scale === null) return;
    const settled = this.#active().filter(({ state }) => state !== 'starting').length;
    const keep = Math.max(0, Math.max(count, settled) - (this.#retirement?.size ?? 0));
    // Only what was raised by us: what somebody else has scaled is his.
    const lowered = scale.lower((from) => (scale.raisedTo === from ? Math.min(from, keep) : from), LOWER_BOUND_MS);
    lowered.catch((error: Error) => {
      if (!this.#closed) this.#deps.logger.warn('a start could not be given up', { error: error.message });
    });
  }

  /**
   * Pods that hang are kept as long as a request may wait, though none is told to wait for them: a node may be on its way, or an image be pulled. Then what
   * was raised for them is given up, unless they are being waited for at that moment.
   */
  #lingerOn(timeoutMs: number): void {
    this.#linger ??= setTimeout(() => {
      this.#linger = null;
      if (this.#readyCount > 0) return;
      if (this.#watch.isOn) this.#lingerOn(Math.min(timeoutMs, LINGER_AGAIN_MS));
      else this.#giveUpStarts(0);
    }, timeoutMs);
  }

  #stopLingering(): void {
    if (this.#linger !== null) clearTimeout(this.#linger);
    this.#linger = null;
  }

  #portTrouble(instance: PodInstance): string | null {
    const { service, target } = this.#config;
    if (!this.#around.listens || hostOf(instance.pod) === null || instance.snapshot().address !== null) return null;
    if (this.#ports.length === 0) return `has no address: Service ${service} is not there or has no ports`;
    const wanted = this.#ports.map(({ port, targetPort = port }) => targetPort).join(', ');
    return `has no TCP port for Service ${service} (targetPort ${wanted}); name the port in ${target.kind} ${target.name}`;
  }

  #unreachable(instance: PodInstance): void {
    if (this.#toldUnreachable) return;
    this.#toldUnreachable = true;
    this.#deps.logger.warn(
      'a pod that is Ready can not be reached from here, so the kubelet is taken at its word: starts are seen later; look for a network policy',
      { pod: instance.pod.metadata.name },
    );
  }

  get #readyCount(): number {
    let count = 0;
    for (const { state } of this.#pods.values()) if (state === 'ready') count++;
    return count;
  }

  #active(): PodInstance[] {
    return [...this.#pods.values()].filter(({ isActive }) => isActive);
  }
}
