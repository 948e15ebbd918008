/**
 * The operator: informers on what the cluster has, the controller with its link to gateways, and Backend objects between them. Every replica serves the link; the one that holds the
 * Lease leads: it alone runs the controller and writes. Readiness depends on nothing but this process.
 */
import { toGatewayConfig } from '../config/gateway-config.ts';
import { Controller } from '../controller/index.ts';
import { isDeepStrictEqual } from 'node:util';
import type { CreateDriver, Driver, DriverEvents } from '../drivers/driver.ts';
import type { KedaView } from '../drivers/kubernetes/index.ts';
import { StaticDriver } from '../drivers/static/static-driver.ts';
import type { Informer, KubernetesClient, KubernetesObject } from '../kubernetes/client.ts';
import { serviceKey, type EndpointSlice } from '../kubernetes/endpoint-slices.ts';
import { LeaderElection } from '../kubernetes/leader-election.ts';
import { AUTOSCALERS, ENDPOINT_SLICES, LEASES, NETWORK_POLICIES, PODS, SERVICES } from '../kubernetes/resources.ts';
import { WorkQueue } from '../kubernetes/work-queue.ts';
import type { Link } from '../link/link.ts';
import type { DownMessage, GatewayBackendConfig, GatewayConfig, UpMessage } from '../link/messages.ts';
import type { WakeCause } from '../model/backend.ts';
import type { BackendConfig, Config, KubernetesConfig } from '../model/config.ts';
import type { TriggerDemand } from '../model/demand.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import type { TraceSink } from '../model/trace.ts';
import { BACKENDS, keyOf, type BackendObject } from './backend-object.ts';
import { Backends, type Compiled, type IdleWatch } from './backends.ts';
import { Configuration } from './configuration.ts';
import { DeadGateways } from './dead-gateways.ts';
import { GatewayPods } from './gateway-pods.ts';
import { SCALED_OBJECTS, type HorizontalPodAutoscaler, type Pod, type ScaledObject, type Service } from './kinds.ts';
import { NetworkPolicies, type NetworkPolicy } from './network-policies.ts';
import { portName } from './in-place-config.ts';
import { PortAllocator, type PortRange } from './port-allocator.ts';
import { RedirectProbe } from './redirect-probe.ts';
import { SliceIndex } from './redirect.ts';
import { routablePorts } from './service-plan.ts';
import { GatewayApi, ServiceEndpoints, type Translation, type TranslationSettings } from './gateway-api/index.ts';
import type { ScalerAddress } from './scalers/objects.ts';
import { isNews, Scalers } from './scalers/scalers.ts';
import { Standby } from './standby.ts';
import { WokenPods } from './woken-pods.ts';
import { pause } from '../model/pause.ts';

/** Objects that are worked on at once. */
const CONCURRENCY = 16;
const MAX_KEYS = 100_000;
/** For one look at one object: a few requests to the API server. */
const WORK_MS = 120_000;
/** How long a new leader waits for Gateways and routes, ms. */
const TRANSLATED_MS = 15_000;
/** How often it is looked whether what made scalers go by has changed, ms. */
const METRICS_LOOK_MS = 2000;
/** How often kinds that were not installed are looked for, ms. */
const DISCOVERY_MS = 60_000;

export interface OperatorOptions {
  client: KubernetesClient;
  /** For the Lease alone: a renewal doesn't wait behind what many Backends write at once. Default: `client`. */
  leaseClient?: KubernetesClient;
  clock: Clock;
  random: RandomSource;
  logger: Logger;
  /** This replica: unlike every other. */
  identity: string;
  /** Where operator and gateways run. */
  namespace: string;
  /** Labels of gateway pods. */
  gatewaySelector: string;
  gatewayPorts: PortRange;
  /** Name of the Lease; null: this operator is the only one. */
  lease: string | null;
  /** What gateways get besides backends, listeners and routes of objects. */
  base: Config;
  /** Takes what gateways record of requests. */
  traces?: TraceSink;
  compile(object: BackendObject): Compiled;
  watchIdle(backend: BackendConfig, changed: () => void): IdleWatch;
  /** Triggers of one leadership: `told` is called with what those of a backend want; they end with `close`. */
  watchTriggers(told: (backend: string, demand: TriggerDemand | null) => void): TriggerWatch;
  /** Drivers of one leadership. `pods` and `services` are shared by all. `replicasBefore`: what a target that others scale is woken with at least. */
  drivers(
    informers: { pods: Informer<Pod>; services: Informer<Service> },
    replicasBefore: (backend: string) => number,
    /** null: of what is woken without a leader. */
    keda: KedaView | null,
    signal: AbortSignal,
  ): CreateDriver;
  /** How KEDA reaches this operator, or why it can't be set up. */
  keda(): ScalerAddress | { problem: string };
  /** KEDA has been found: what it needs to reach us is prepared from now on. */
  kedaFound(): void;
  /** Why external metrics are not read from us; null: they are. */
  externalMetrics(): { reason: string; message: string } | null;
  /** What KEDA and HPAs ask this replica. */
  figures: {
    /** This replica knows what runs from now on; null: it does not lead any more. */
    lead(leading: { controller: Controller; refresh: TriggerWatch['refresh'] } | null): void;
    /** Somebody waits for this backend. */
    wanted(backend: string): void;
    /** Whether somebody may have heard that it isn't wanted since that was so last. */
    wasTold(backend: string): boolean;
  };
  /** The target's replicas; null: it is not there. */
  replicas(kubernetes: KubernetesConfig, signal: AbortSignal): Promise<number | null>;
  /** Of the Gateway API's translation: what does not come from the cluster. */
  routing: Omit<TranslationSettings, 'addresses' | 'host'>;
  /** The Service in front of gateways. */
  gatewayService: string;
  /** Makes the keys of TLS sessions that gateways share, and new ones in time; ends with what it returns. */
  ticketKeys(changed: (keys: string) => void): { close(): void };
  /** Where Secrets of listeners may be read. */
  secretNamespaces: readonly string[];
  /** Keeps of a pod what is needed. */
  trimPod(pod: Pod): Pod;
  causeText(cause: WakeCause): string;
  event(object: KubernetesObject, type: 'Normal' | 'Warning', reason: string, note: string): void;
}

export interface TriggerWatch {
  /** Those of all backends; what is gone or changed ends. */
  configure(backends: readonly BackendConfig[]): void;
  /** Has sources asked anew whose last answer is older. Resolves when they have answered, or `signal` has aborted; never rejects. */
  refresh(backend: string, maxAgeMs: number, signal: AbortSignal): Promise<void>;
  families(): MetricFamily[];
  close(): void;
}

export class Operator {
  readonly #options: OperatorOptions;
  readonly #pods: Informer<Pod>;
  readonly #gatewayPods: Informer<Pod>;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #objects: Informer<BackendObject>;
  readonly #autoscalers: Informer<HorizontalPodAutoscaler>;
  readonly #policies: Informer<NetworkPolicy>;
  #scaledObjects: Informer<ScaledObject> | null = null;
  readonly #standby: Standby;
  readonly #woken: WokenPods;
  /** Of what is woken without a leader. */
  #createDriver: CreateDriver | null = null;
  readonly #ended = new AbortController();
  #leading: Leading | null = null;
  #election: LeaderElection | null = null;
  /** Of this replica's leadership; 0 before it leads. */
  #term = 0;
  readonly #links = new Map<Link<DownMessage, UpMessage>, string>();

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { client, namespace, gatewaySelector } = options;
    this.#pods = client.informer<Pod>(PODS, { trim: options.trimPod });
    this.#gatewayPods = client.informer<Pod>(PODS, { namespace, labelSelector: gatewaySelector });
    this.#services = client.informer<Service>(SERVICES, { trim: trimService });
    this.#slices = client.informer<EndpointSlice>(ENDPOINT_SLICES);
    this.#objects = client.informer<BackendObject>(BACKENDS);
    this.#woken = new WokenPods({
      createDriver: (backend, events) => this.#driver(backend, events),
      tell: (update) => {
        for (const link of this.#links.keys()) link.send(update);
      },
    });
    this.#standby = new Standby({
      client,
      logger: options.logger,
      objects: this.#objects,
      services: this.#services,
      compile: options.compile,
      pods: this.#woken,
      wanted: (backend) => options.figures.wanted(backend),
    });
    this.#autoscalers = client.informer<HorizontalPodAutoscaler>(AUTOSCALERS);
    this.#policies = client.informer<NetworkPolicy>(NETWORK_POLICIES);
  }

  get leads(): boolean {
    return this.#leading !== null;
  }

  /** Address of the pod that leads, for whoever has to ask it; null: nobody does, it is this one, or its pod is not known. */
  get leaderAddress(): string | null {
    const holder = this.#election?.holder ?? '';
    if (holder === '' || holder === this.#options.identity) return null;
    // An identity is the pod's name and a random part.
    const pod = this.#pods.get(this.#options.namespace, holder.replace(/-[0-9a-f]+$/, ''));
    return pod?.status.podIP ?? null;
  }

  /** Runs until `signal` aborts; what was begun is left as it is recorded. */
  async run(signal: AbortSignal): Promise<void> {
    const all: Informer<KubernetesObject>[] = [
      this.#pods,
      this.#gatewayPods,
      this.#services,
      this.#slices,
      this.#objects,
      this.#autoscalers,
    ];
    signal.addEventListener('abort', () => this.#ended.abort(), { once: true });
    for (const informer of all) informer.start(signal);
    // Only conditions need them: nothing waits.
    this.#policies.start(signal);
    await this.#discover(signal);
    await Promise.all(all.map((informer) => informer.synced(signal)));
    const looking = this.#lookForKinds(signal);
    const { lease, client, namespace, identity, logger, clock, random } = this.#options;
    if (lease === null) await this.#lead(signal);
    else {
      const election = new LeaderElection({
        client: this.#options.leaseClient ?? client,
        lock: { namespace, name: lease },
        identity,
        logger,
        clock,
        random,
        started: (own) => this.#lead(own),
      });
      this.#election = election;
      election.start(signal);
      await election.finished();
    }
    await looking;
  }

  #driver(backend: BackendConfig, events: DriverEvents): Driver {
    const informers = { pods: this.#pods, services: this.#services };
    this.#createDriver ??= this.#options.drivers(informers, () => 1, null, this.#ended.signal);
    return this.#createDriver(backend, events);
  }

  /** How KEDA is reached, or whether external metrics are read from us, is another thing now. */
  scalersChanged(): void {
    this.#leading?.scalersChanged();
  }

  /** A gateway has come over the link. */
  attach(id: string, link: Link<DownMessage, UpMessage>): void {
    this.#links.set(link, id);
    link.onClose(() => this.#links.delete(link));
    this.#greet(link, id);
  }

  #greet(link: Link<DownMessage, UpMessage>, id: string): void {
    const leads = this.#leading?.meets === true;
    link.send({ type: 'role', leader: leads, term: this.#term });
    if (leads) this.#leading?.attach(id, link);
    else link.onMessage((message) => this.#standby.receive(message));
  }

  async metrics(signal: AbortSignal): Promise<MetricFamily[]> {
    const leading = this.#leading;
    return leading === null ? [] : leading.metrics(signal);
  }

  async #lead(signal: AbortSignal): Promise<void> {
    this.#term = await this.#readTerm(signal);
    const leading = new Leading(this.#options, {
      pods: this.#pods,
      gatewayPods: this.#gatewayPods,
      services: this.#services,
      slices: this.#slices,
      objects: this.#objects,
      autoscalers: this.#autoscalers,
      policies: this.#policies,
      scaledObjects: () => this.#scaledObjects,
    });
    this.#leading = leading;
    this.#options.logger.info('leading', { identity: this.#options.identity });
    try {
      await leading.run(signal, () => {
        // Gateways are met only when it is known what runs: one that was told too early would hold what it could send on.
        for (const [link, id] of this.#links) this.#greet(link, id);
        this.#woken.close();
        this.#options.figures.lead(leading);
      });
    } finally {
      this.#options.figures.lead(null);
      this.#leading = null;
      for (const link of this.#links.keys()) link.send({ type: 'role', leader: false, term: this.#term });
      // Gateways go on as they are; they come back with a new stream.
      for (const link of [...this.#links.keys()]) link.close();
    }
  }

  /** Rises with each change of the leader. One that leads again after nobody else did has the same: its former streams are closed by then. */
  async #readTerm(signal: AbortSignal): Promise<number> {
    const { client, namespace, lease } = this.#options;
    if (lease === null) return this.#term + 1;
    const held = await client.get<Lease>(LEASES, { namespace, name: lease }, { signal });
    return (held?.spec?.leaseTransitions ?? 0) + 1;
  }

  async #discover(signal: AbortSignal): Promise<void> {
    const { client, logger } = this.#options;
    if (this.#scaledObjects !== null) return;
    try {
      const found = await client.resourceOf('keda.sh/v1alpha1', 'ScaledObject', signal);
      if (found === null) return;
    } catch (error) {
      logger.warn('it could not be found out whether KEDA is installed', {
        reason: error instanceof Error ? error.message : String(error),
      });
      return;
    }
    const informer = client.informer<ScaledObject>(SCALED_OBJECTS);
    informer.start(signal);
    await informer.synced(signal);
    this.#scaledObjects = informer;
    this.#options.kedaFound();
    this.#leading?.watchScaledObjects(informer);
  }

  async #lookForKinds(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#scaledObjects === null) {
      await pause(DISCOVERY_MS, signal);
      if (!signal.aborted) await this.#discover(signal).catch(() => {});
    }
  }
}

interface Lease extends KubernetesObject {
  spec?: { leaseTransitions?: number };
}

interface Informers {
  pods: Informer<Pod>;
  gatewayPods: Informer<Pod>;
  services: Informer<Service>;
  slices: Informer<EndpointSlice>;
  objects: Informer<BackendObject>;
  autoscalers: Informer<HorizontalPodAutoscaler>;
  policies: Informer<NetworkPolicy>;
  scaledObjects(): Informer<ScaledObject> | null;
}

/** One time of leading: the controller and all that writes. */
class Leading {
  readonly controller: Controller;
  readonly #options: OperatorOptions;
  readonly #informers: Informers;
  readonly #backends: Backends;
  readonly #scalers: Scalers;
  readonly #queue: WorkQueue;
  readonly #configuration: Configuration;
  readonly #gateways: GatewayPods;
  readonly #dead: DeadGateways;
  readonly #probe = new RedirectProbe();
  readonly #slices: SliceIndex;
  readonly #endpoints: ServiceEndpoints;
  readonly #routing: GatewayApi;
  #translation: Translation | null = null;
  /** Another leader has given numbers too: ids of instances are never used twice. */
  #staticNumber = 0;
  /** Backend objects that routes lead to. */
  #routed: ReadonlySet<string> = new Set();
  readonly #stops: (() => void)[] = [];
  readonly #ended = new AbortController();
  readonly #triggers: TriggerWatch;
  /** Whether triggers are active, and what is wrong with their sources, by backend. */
  readonly #said = new Map<string, string>();
  /** Whether it is known what runs, so that gateways may be told. */
  meets = false;
  readonly refresh: TriggerWatch['refresh'] = (...asked) => this.#triggers.refresh(...asked);

  constructor(options: OperatorOptions, informers: Informers) {
    const { clock, random, logger, client } = options;
    this.#options = options;
    this.#informers = informers;
    this.#staticNumber = Math.floor(random() * 1e9);
    const keda: KedaView = {
      zeroWithinMs: (backend) => this.#scalers.zeroWithinMs(backend),
      wasTold: (backend) => options.figures.wasTold(backend),
      onActed: (backend, listener) => this.#scalers.onActed(backend, listener),
    };
    const replicasBefore = (backend: string): number => this.#backends.replicasBefore(backend);
    const inner = options.drivers(informers, replicasBefore, keda, this.#ended.signal);
    this.#slices = new SliceIndex(informers.slices);
    this.#endpoints = new ServiceEndpoints(informers.slices, informers.services, clock);
    this.controller = new Controller({
      clock,
      logger,
      createDriver: this.#drivers(inner),
      ...(options.traces === undefined ? {} : { traces: options.traces }),
    });
    this.#triggers = options.watchTriggers((backend, demand) => this.#triggered(backend, demand));
    this.#queue = new WorkQueue({
      work: (key, signal) => this.#backends.reconcile(key, signal),
      concurrency: CONCURRENCY,
      maxKeys: MAX_KEYS,
      logger,
      random,
      timeoutMs: WORK_MS,
    });
    this.#configuration = new Configuration({
      logger,
      build: () => this.#build(),
      configure: async (config) => {
        const version = await this.controller.configure(config, this.#share(config));
        if (!this.#ended.signal.aborted) this.#triggers.configure(config.backends);
        return version;
      },
      gateways: () => this.controller.gateways(),
      applied: (refusal) => this.#backends.applied(refusal),
    });
    this.#gateways = new GatewayPods(
      informers.gatewayPods,
      () => new Set(this.#present()),
      (uid) => this.#dead.has(uid),
    );
    this.#dead = new DeadGateways({
      linked: () => new Set(this.controller.gateways().map(({ id }) => id)),
      ready: () => this.#gateways.ready,
      changed: () => this.#backends.gatewaysChanged(),
    });
    this.#scalers = new Scalers({
      client,
      clock,
      autoscalers: informers.autoscalers,
      scaledObjects: () => informers.scaledObjects(),
      controller: this.controller,
      keda: () => options.keda(),
      externalMetrics: () => options.externalMetrics(),
    });
    this.#backends = new Backends({
      scalers: this.#scalers,
      client,
      clock,
      random,
      logger,
      objects: informers.objects,
      services: informers.services,
      slices: this.#slices,
      gateways: this.#gateways,
      autoscalers: {
        client,
        autoscalers: informers.autoscalers,
        get scaledObjects() {
          return informers.scaledObjects();
        },
      },
      policies: new NetworkPolicies(informers.policies, informers.pods, options.namespace),
      allocator: new PortAllocator(options.gatewayPorts),
      defaults: {
        host: '0.0.0.0',
        listener: options.base.listeners[0]!,
        route: options.base.routes[0]!,
      },
      compile: options.compile,
      watchIdle: options.watchIdle,
      controller: this.controller,
      apply: () => {
        this.#configuration.change();
        // Routes may name what has come, or has gone.
        this.#routing.changed();
      },
      mark: () => this.#configuration.change(),
      isInForce: (mark) => this.#configuration.isInForce(mark),
      seeRedirect: (service, backend, seen, signal) => this.#probe.see(service, backend, this.#present(), seen, signal),
      replicas: options.replicas,
      isRouted: (key) => this.#routed.has(key),
      causeText: options.causeText,
      event: options.event,
      enqueue: (key) => void this.#queue.add(key),
    });
    this.#routing = new GatewayApi({
      client,
      secretNamespaces: options.secretNamespaces,
      services: informers.services,
      guarded: () => this.#backends.guarded(),
      settings: () => ({ ...options.routing, host: '0.0.0.0', addresses: this.#addresses() }),
      onTranslation: (translation) => this.#translated(translation),
      clock,
      logger,
      random,
    });
  }

  /** Where clients reach the gateways. */
  #addresses(): { type: 'IPAddress' | 'Hostname'; value: string }[] {
    const { namespace, gatewayService } = this.#options;
    const service = this.#informers.services.get(namespace, gatewayService);
    const told: { type: 'IPAddress' | 'Hostname'; value: string }[] = [];
    for (const { ip, hostname } of service?.status?.loadBalancer?.ingress ?? []) {
      if (ip !== undefined) told.push({ type: 'IPAddress', value: ip });
      else if (hostname !== undefined) told.push({ type: 'Hostname', value: hostname });
    }
    if (told.length > 0) return told;
    const { clusterIP } = service?.spec ?? {};
    return clusterIP === undefined || clusterIP === 'None' ? [] : [{ type: 'IPAddress', value: clusterIP }];
  }

  /** Routes and listeners of the Gateway API are other ones now. */
  #translated(translation: Translation): void {
    this.#translation = translation;
    const routed = new Set<string>();
    for (const { rules } of translation.routes)
      for (const { backends } of rules) for (const { name } of backends) routed.add(objectOf(name));
    for (const { backend } of translation.listeners) if (backend !== null) routed.add(objectOf(backend));
    const before = this.#routed;
    this.#routed = routed;
    this.#configuration.change();
    if (!isDeepStrictEqual(before, routed)) this.#backends.routesChanged();
  }

  async metrics(signal: AbortSignal): Promise<MetricFamily[]> {
    return [...(await this.controller.collect(signal)).metrics, ...this.#triggers.families()];
  }

  #triggered(backend: string, demand: TriggerDemand | null): void {
    this.controller.triggered(backend, demand);
    const said =
      demand === null
        ? null
        : [
            demand.active.length > 0 ? 'active' : 'quiet',
            // Those that have said nothing yet keep it awake.
            String(demand.metrics.length),
            ...demand.troubles.map(({ name, reason }) => `${name} ${reason}`),
          ].join();
    if ((this.#said.get(backend) ?? null) === said) return;
    if (said === null) this.#said.delete(backend);
    else this.#said.set(backend, said);
    // A condition says what fails, and a handover goes by what is active.
    this.#backends.changed(backend);
  }

  attach(id: string, link: Link<DownMessage, UpMessage>): void {
    this.controller.attach(id, this.#probe.through(id, link));
  }

  /** `met`: called when it is known what runs. However it ends, nothing of it acts any more then. */
  async run(signal: AbortSignal, met: () => void): Promise<void> {
    let routing = Promise.resolve();
    try {
      this.#listen();
      const ticketKeys = this.#options.ticketKeys((keys) => this.controller.setTicketKeys(keys));
      this.#stops.push(() => ticketKeys.close());
      this.#backends.lead(signal);
      this.#queue.start();
      routing = this.#routing.run(signal);
      routing.catch(() => {});
      await this.#meet(signal);
      this.meets = true;
      met();
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } finally {
      await this.#close(routing);
    }
  }

  /** Resolves when it is known what runs. */
  async #meet(signal: AbortSignal): Promise<void> {
    for (const object of this.#informers.objects.list()) this.#queue.add(keyOf(object));
    await this.#queue.idle();
    this.#routing.changed();
    await this.#untilTranslated(signal);
    await this.#routing.setWriting(true);
    while (!this.#configuration.isSettled && !signal.aborted) await pause(10, signal);
  }

  /**
   * The controller first: somebody else may lead already, and one that gateways have left sees no demand, and would put everything to sleep past its handover. What else there is may take
   * its time.
   */
  async #close(routing: Promise<void>): Promise<void> {
    for (const stop of this.#stops) stop();
    this.#configuration.close();
    this.#ended.abort();
    this.#triggers.close();
    await Promise.all([
      this.controller.close(),
      this.#queue.stop(1000).then(() => this.#backends.close()),
      // It ends with the leadership: what it says then is of no use to anybody.
      routing.catch(() => {}),
    ]);
    this.#endpoints.close();
    this.#slices.close();
  }

  /** Gateways that serve routes are not told of fewer because something has not been read yet; what is guarded in place does not wait for ever. */
  async #untilTranslated(signal: AbortSignal): Promise<void> {
    try {
      await this.#routing.first(AbortSignal.any([signal, AbortSignal.timeout(TRANSLATED_MS)]));
    } catch (error) {
      signal.throwIfAborted();
      this.#options.logger.error(
        'Gateways and routes can not be read: gateways are told of Backends alone until they can',
        {
          reason: error instanceof Error ? error.message : String(error),
        },
      );
    }
  }

  scalersChanged(): void {
    for (const object of this.#informers.objects.list()) this.#queue.add(keyOf(object));
  }

  watchScaledObjects(informer: Informer<ScaledObject>): void {
    this.#scalers.watch(informer);
    this.#stops.push(
      informer.onChange((change) => {
        if (change.type !== 'changed' || isNews(change.before, change.object))
          this.#changedIn(change.object.metadata.namespace ?? '');
      }),
    );
    for (const object of this.#informers.objects.list()) this.#queue.add(keyOf(object));
  }

  #listen(): void {
    const { objects, services, slices, autoscalers, scaledObjects } = this.#informers;
    const backends = this.#backends;
    this.#stops.push(
      objects.onChange(({ object }) => this.#queue.add(keyOf(object))),
      services.onChange(({ object }) => {
        for (const key of backends.ofService(keyOf(object))) this.#queue.add(key);
      }),
      slices.onChange(({ object }) => {
        const service = serviceKey(object);
        if (service !== null) for (const key of backends.ofService(service)) backends.notify(key);
      }),
      autoscalers.onChange((change) => {
        // Its status changes with each of its looks.
        const isNew = change.type !== 'changed' || !isSameScaler(change.before, change.object);
        if (isNew) this.#changedIn(change.object.metadata.namespace ?? '');
      }),
      this.#informers.policies.onChange(({ object }) => this.#changedIn(object.metadata.namespace ?? '')),
      this.controller.onEvent(({ backend }) => backends.changed(backend)),
      this.controller.onGateways(() => this.#gatewaysChanged()),
      this.#gateways.onChange(() => this.#gatewaysChanged()),
      () => this.#dead.close(),
      () => this.#scalers.close(),
    );
    const look = setInterval(() => backends.metricsChanged(), METRICS_LOOK_MS);
    this.#stops.push(() => clearInterval(look));
    const known = scaledObjects();
    if (known !== null) this.watchScaledObjects(known);
  }

  #gatewaysChanged(): void {
    this.#dead.look();
    this.#backends.gatewaysChanged();
  }

  /** What scales something in this namespace has changed. */
  #changedIn(namespace: string): void {
    for (const key of this.#backends.ofNamespace(namespace)) this.#queue.add(key);
  }

  #present(): string[] {
    return this.controller
      .gateways()
      .filter(({ inForce, leaving }) => inForce > 0 && !leaving)
      .map(({ id }) => id);
  }

  /** A Service that routes lead to has what its slices say. */
  #drivers(inner: CreateDriver): CreateDriver {
    return (backend, events) => {
      if (backend.source.driver === 'static') {
        const service = this.#translation?.services.find(({ config }) => config.name === backend.name);
        if (service !== undefined) return this.#endpoints.create(service, events);
        return new StaticDriver(backend, backend.source.servers, events, {
          clock: this.#options.clock,
          random: this.#options.random,
          nextNumber: () => ++this.#staticNumber,
        });
      }
      return inner(backend, events);
    };
  }

  /** What gateways are told: with the slices of backends whose Service is left alone. */
  #share(config: Config): GatewayConfig {
    const share: GatewayConfig = toGatewayConfig(config);
    const slices = new Map<string, GatewayBackendConfig['slices']>();
    const add = (backend: string, namespace: string, service: string, port: string): void => {
      const family = this.#informers.services.get(namespace, service)?.spec.ipFamilies?.[0] ?? 'IPv4';
      slices.set(backend, { namespace, service, port, family });
    };
    for (const {
      config: { name },
      namespace,
      service,
      port,
    } of this.#translation?.services ?? []) {
      const ports = this.#informers.services.get(namespace, service)?.spec.ports ?? [];
      add(name, namespace, service, ports.find((one) => one.port === port)?.name ?? '');
    }
    for (const { name, source } of config.backends) {
      if (source.driver !== 'kubernetes' || source.kubernetes.service === null || !this.#routed.has(name)) continue;
      const { namespace, service } = source.kubernetes;
      const [main, ...further] = routablePorts(this.#informers.services.get(namespace, service));
      if (main !== undefined) add(name, namespace, service, main.name);
      for (const port of further) add(`${name}:${portName(port)}`, namespace, service, port.name);
    }
    const backends = share.backends.map((backend) => {
      const known = slices.get(backend.name);
      return known === undefined ? backend : { ...backend, slices: known };
    });
    // They publish what they see themselves. The link is as secret as the credentials of the bus.
    return { ...share, backends, events: config.events };
  }

  #build(): Config {
    const { base } = this.#options;
    const own = this.#backends.parts();
    const translation = this.#translation;
    const backends = [...own.backends, ...(translation?.backends ?? [])];
    return {
      ...base,
      backends,
      listeners: [...(translation?.listeners ?? []), ...own.listeners],
      routes: [...(translation?.routes ?? []), ...own.routes],
      reportIntervalMs: reportInterval(backends),
    };
  }
}

function isSameScaler(a: HorizontalPodAutoscaler, b: HorizontalPodAutoscaler): boolean {
  return a.metadata.deletionTimestamp === b.metadata.deletionTimestamp && isDeepStrictEqual(a.spec, b.spec);
}

/** Demand is told a few times within the shortest time in which somebody may fall asleep. */
function reportInterval(backends: readonly BackendConfig[]): number {
  return backends.reduce((least, { scale }) => Math.min(least, Math.max(50, Math.floor(scale.idleAfterMs / 4))), 1000);
}

function trimService({ apiVersion, kind, metadata, spec, status }: Service): Service {
  const { name, namespace, uid, resourceVersion, deletionTimestamp } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      uid,
      resourceVersion,
      ...(namespace === undefined ? {} : { namespace }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
    spec,
    ...(status?.loadBalancer === undefined ? {} : { status: { loadBalancer: status.loadBalancer } }),
  };
}

/** The Backend object that a gateway's backend belongs to: a further port has its name behind a colon. */
function objectOf(name: string): string {
  return name.startsWith('service:') ? name : name.split(':')[0]!;
}
