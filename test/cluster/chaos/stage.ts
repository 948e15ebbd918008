/** One service that sleeps in place, with its clients, and everything that a fault may touch of it; watched, so that a scenario can act at the very moment at which something is recorded. */
import { connect } from 'node:net';
import type { ApiClient } from '../../../src/kubernetes/api-client.ts';
import type { KubernetesObject, Resource } from '../../../src/kubernetes/client.ts';
import { DEPLOYMENTS, ENDPOINT_SLICES, PODS, SERVICES } from '../../../src/kubernetes/resources.ts';
import { HANDOVER_STEPS, type HandoverStep } from '../../../src/model/handover-step.ts';
import { BACKENDS, type BackendObject } from '../../../src/operator/backend-object.ts';
import { SCALED_OBJECTS, type Pod } from '../../../src/operator/kinds.ts';
import { SELECTOR_KEY } from '../../../src/operator/redirect.ts';
import { Objects } from '../fixtures/objects.ts';
import type { ApiOptions } from '../machine/api.ts';
import { until, type Cluster, type TestNamespace } from '../machine/index.ts';
import type { Witness } from '../fixtures/witness.ts';
import { Clients, type Address } from './clients.ts';
import { programObjects, scaledObject } from './program.ts';

const BOUND_MS = 180_000;
const END_STATE_MS = 30_000;
const MAX_HELD = 10_000;

interface Service extends KubernetesObject {
  spec: { clusterIP: string; selector: Record<string, string> };
}
interface Slice extends KubernetesObject {
  endpoints?: { addresses: string[]; conditions?: { ready?: boolean } }[] | null;
}
interface Deployment extends KubernetesObject {
  spec: { replicas: number };
  status?: { readyReplicas?: number; replicas?: number };
}

export interface StageOptions {
  cluster: Cluster;
  client: ApiClient;
  witness: Witness;
  /** Default: `web`. */
  name?: string;
  /** Where others are too; default: a namespace of its own. */
  home?: Home;
  /** Its program listens this long after its start. */
  startDelayMs?: number;
  drains?: boolean;
  replicas?: number;
  /** With a ScaledObject on the target. */
  keda?: boolean;
  /** Default: a schedule that always allows it. */
  idle?: object;
  idleAfter?: string;
  /** Over the Backend's spec. */
  spec?: object;
}

/** A namespace whose objects are watched: one for each service by itself, or one for many. */
export class Home implements AsyncDisposable {
  readonly namespace: TestNamespace;
  readonly #cluster: Cluster;
  readonly #ended = new AbortController();
  backends!: Objects<BackendObject>;
  services!: Objects<Service>;
  slices!: Objects<Slice>;
  deployments!: Objects<Deployment>;
  pods!: Objects<Pod>;
  scaledObjects: Objects<KubernetesObject> | null = null;

  private constructor(cluster: Cluster, namespace: TestNamespace) {
    this.#cluster = cluster;
    this.namespace = namespace;
  }

  static async open({
    cluster,
    client,
    keda = false,
  }: Pick<StageOptions, 'cluster' | 'client' | 'keda'>): Promise<Home> {
    const home = new Home(cluster, await cluster.namespace('chaos'));
    const watch = <T extends KubernetesObject>(resource: Resource): Promise<Objects<T>> =>
      Objects.watch<T>(client, resource, home.namespace.name, home.#ended.signal);
    home.backends = await watch(BACKENDS);
    home.services = await watch(SERVICES);
    home.slices = await watch(ENDPOINT_SLICES);
    home.deployments = await watch(DEPLOYMENTS);
    home.pods = await watch(PODS);
    if (keda) home.scaledObjects = await watch(SCALED_OBJECTS);
    return home;
  }

  /** Whatever changes in it, `look` is asked. Gives what ends that. */
  onChange(look: () => void): () => void {
    const all = [this.backends, this.services, this.slices, this.deployments, this.scaledObjects];
    const offs = all.flatMap((objects) => (objects === null ? [] : [objects.onChange(look)]));
    return () => {
      for (const off of offs) off();
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    // Restored first: with the namespace itself, pods and Backends would go in any order.
    await this.#cluster.kubectl(['-n', this.namespace.name, 'delete', 'backends', '--all', '--timeout=30s']);
    await this.namespace[Symbol.asyncDispose]();
  }
}

export class Stage implements AsyncDisposable {
  readonly name: string;
  readonly home: Home;
  readonly clients: Clients;
  /** Wall clock ms at which it was known each time that all of its traffic passes gateways. */
  readonly redirectsMs: number[] = [];
  readonly #cluster: Cluster;
  readonly #options: StageOptions;
  readonly #address: Address;

  private constructor(options: StageOptions, home: Home, address: Address) {
    this.#options = options;
    this.#address = address;
    this.#cluster = options.cluster;
    this.name = options.name ?? 'web';
    this.home = home;
    this.clients = new Clients(address, `${home.namespace.name}/${this.name}`);
  }

  /** Resolves when the program answers and its Backend is awake. */
  static async open(options: StageOptions): Promise<Stage> {
    const { witness, name = 'web', drains = true, replicas = 1, keda = false, startDelayMs = 0 } = options;
    const home = options.home ?? (await Home.open(options));
    const { namespace } = home;
    const program = { name, drains, replicas, startDelayMs, identity: `${namespace.name}/${name}` };
    await namespace.apply([...programObjects(witness, program), ...(keda ? [scaledObject(name)] : [])]);
    await namespace.kubectl('rollout', 'status', `deployment/${name}`, '--timeout=180s');
    const service = await home.services.until(`Service ${name}`, () => home.services.get(name));
    const stage = new Stage(options, home, { host: service.spec.clusterIP, port: 80, grpcPort: 90 });
    let before: HandoverStep = 'serving';
    home.backends.onChange(({ metadata }) => {
      if (metadata.name !== name || stage.step === before) return;
      before = stage.step;
      if (before === 'pausing') stage.redirectsMs.push(Date.now());
    });
    await stage.clients.reached();
    await stage.declare();
    await stage.until('it is awake', () => stage.state === 'awake');
    return stage;
  }

  get drains(): boolean {
    return this.#options.drains ?? true;
  }

  get namespace(): TestNamespace {
    return this.home.namespace;
  }

  /** Makes the Backend, or puts it back as it was. */
  async declare(more: object = {}): Promise<void> {
    const { keda = false, idleAfter = '3s', spec = {} } = this.#options;
    const { name } = this;
    const autoscaler = keda ? { autoscaler: { kind: 'ScaledObject', name } } : {};
    await this.namespace.apply([
      {
        apiVersion: 'dormouse.dev/v1alpha1',
        kind: 'Backend',
        metadata: { name },
        spec: {
          kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name }, service: name, ...autoscaler },
          scale: { idleAfter, ...(keda ? { by: 'none' } : {}) },
          idle: { ...(this.#options.idle ?? { schedule: { timezone: 'UTC', allow: ['* * * * *'] } }), settle: '500ms' },
          // A machine with more to do than it can takes its time to start a pod.
          wake: { maxHeld: MAX_HELD },
          ...spec,
          ...more,
        },
      },
    ]);
  }

  get backend(): BackendObject | undefined {
    return this.home.backends.get(this.name);
  }

  /** `serving` before anything is recorded. */
  get step(): HandoverStep {
    return this.backend?.status?.handover?.step ?? 'serving';
  }

  /** Pods in the Service's slices. */
  get listedPods(): number {
    return this.#theirs();
  }

  /** Also those that are going. */
  get allPods(): number {
    return this.home.pods.list().filter(({ metadata }) => metadata.labels?.['app'] === this.name).length;
  }

  get state(): string | undefined {
    return this.backend?.status?.state;
  }

  get replicas(): number {
    return this.home.deployments.get(this.name)?.spec.replicas ?? -1;
  }

  get path(): string {
    return `/apis/apps/v1/namespaces/${this.namespace.name}/deployments/${this.name}`;
  }

  /** Of its objects. */
  get place(): string {
    return this.namespace.name;
  }

  /** To the API server, for the object of its name in this collection. Throws when it is refused. */
  async request(method: string, collection: string, options?: ApiOptions): Promise<void> {
    const { status, body } = await this.#cluster.request(method, `${collection}/${this.name}`, options);
    if (status >= 300) throw new Error(`${method} ${collection}: ${status} ${body.slice(0, 300)}`);
  }

  scale(replicas: number): Promise<void> {
    return this.#cluster.scale(this.path, replicas);
  }

  /** Whatever of it changes, `holds` is asked again. Rejects with what there is after the bound. */
  async until(what: string, holds: () => boolean, timeoutMs = BOUND_MS): Promise<void> {
    let off: (() => void) | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(
          () => reject(new Error(`${what}: not within ${timeoutMs / 1000} s: ${this.describe()}`)),
          timeoutMs,
        );
        const look = (): void => {
          if (holds()) resolve();
        };
        off = this.home.onChange(look);
        look();
      });
    } finally {
      clearTimeout(timer);
      off?.();
    }
  }

  /** Until no connection to the Service is refused: kube-proxy knows of its pods later than the slices. */
  async untilAccepting(): Promise<void> {
    const { host, port } = this.#address;
    await until('the Service accepts every connection', async () => {
      const looks = await Promise.all(Array.from({ length: ACCEPTED }, () => accepts(host, port)));
      return looks.every(Boolean);
    });
  }

  untilStep(step: HandoverStep, timeoutMs?: number): Promise<void> {
    return this.until(`step ${step}`, () => this.step === step, timeoutMs);
  }

  /** Stops its clients as the pods are taken out, tries again when a request took the sleep back, and resolves as soon as `step` is recorded. */
  async fallAsleep(step: HandoverStep = 'asleep', timeoutMs = BOUND_MS): Promise<void> {
    const far = ORDER.indexOf(step);
    const pausesAt = Math.min(far, ORDER.indexOf('redirecting'));
    await this.until('it is put to sleep', () => ORDER.indexOf(this.step) >= pausesAt, timeoutMs);
    if (far > pausesAt) this.clients.pause();
    await this.untilStep(step, timeoutMs);
  }

  /** Awake, off the path of its traffic. */
  async untilServing(timeoutMs?: number): Promise<void> {
    await this.until('it serves', () => this.step === 'serving' && this.state === 'awake', timeoutMs);
  }

  /** What is not as it should be after a while; empty: all is well. */
  async settled(state: 'asleep' | 'awake'): Promise<string[]> {
    const find = (): string[] => (state === 'asleep' ? this.#faultsWhenAsleep() : this.#faultsWhenAwake());
    try {
      await this.until(state, () => find().length === 0, END_STATE_MS);
      return [];
    } catch {
      return [`${state}: ${find().join(', ')}`];
    }
  }

  #faultsWhenAwake(): string[] {
    const found: string[] = [];
    if (this.home.services.get(this.name)?.spec.selector[SELECTOR_KEY] !== undefined)
      found.push('selector has our key');
    if (this.#ours() > 0) found.push('our slice is there');
    if (this.#theirs() === 0) found.push('no pod in the slices');
    if (this.replicas < 1) found.push(`replicas ${this.replicas}`);
    const paused = this.#annotations();
    if (paused.length > 0) found.push(`ScaledObject: ${paused.join()}`);
    const { backend } = this;
    if (backend !== undefined && this.state !== 'awake') found.push(`state ${this.state}`);
    if (backend !== undefined && this.step !== 'serving') found.push(`step ${this.step}`);
    return found;
  }

  #faultsWhenAsleep(): string[] {
    const found: string[] = [];
    if (this.home.services.get(this.name)?.spec.selector[SELECTOR_KEY] === undefined)
      found.push('selector lacks our key');
    if (this.#ours() === 0) found.push('our slice lists nobody');
    if (this.#theirs() > 0) found.push('pods are listed');
    if (this.replicas !== 0) found.push(`replicas ${this.replicas}`);
    if (this.home.scaledObjects !== null && this.#annotations().length !== 2)
      found.push('the ScaledObject is not paused by us');
    if (this.state !== 'asleep') found.push(`state ${this.state}`);
    return found;
  }

  #ours(): number {
    return this.#endpoints((slice) => slice.metadata.name.includes('-dormouse-'));
  }

  #theirs(): number {
    return this.#endpoints((slice) => !slice.metadata.name.includes('-dormouse-'));
  }

  #endpoints(isIt: (slice: Slice) => boolean): number {
    let ready = 0;
    for (const slice of this.home.slices.list())
      if (slice.metadata.labels?.['kubernetes.io/service-name'] === this.name && isIt(slice))
        ready += (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).length;
    return ready;
  }

  #annotations(): string[] {
    const annotations = this.home.scaledObjects?.get(this.name)?.metadata.annotations ?? {};
    return Object.keys(annotations).filter((name) => name.includes('paused'));
  }

  describe(): string {
    const { status } = this.backend ?? {};
    const bad = (status?.conditions ?? []).filter(({ type, status: is }) => (type === 'Crashing') === (is === 'True'));
    return JSON.stringify({
      namespace: this.namespace.name,
      state: this.state,
      handover: status?.handover,
      why: status?.why,
      bad: bad.map(({ type, reason, message }) => `${type} ${reason}: ${message}`),
      replicas: this.replicas,
      selector: this.home.services.get(this.name)?.spec.selector,
      ours: this.#ours(),
      theirs: this.#theirs(),
      annotations: this.#annotations(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clients[Symbol.asyncDispose]();
    if (this.#options.home === undefined) await this.home[Symbol.asyncDispose]();
  }
}

/** Connections of one look: that all of them miss one of two endpoints happens once in a million looks. */
const ACCEPTED = 20;

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const done = (isAccepted: boolean): void => {
      socket.destroy();
      resolve(isAccepted);
    };
    socket.once('connect', () => done(true));
    socket.once('timeout', () => done(false));
    socket.once('error', () => done(false));
  });
}

/** On the way to sleep. */
const ORDER: readonly HandoverStep[] = HANDOVER_STEPS.slice(0, HANDOVER_STEPS.indexOf('asleep') + 1);
