/** One service that sleeps in place, with its clients, and everything that a fault may touch of it; watched, so that a scenario can act at the very moment at which something is recorded. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../../../src/kubernetes/api-client.ts';
import type { KubernetesObject, Resource } from '../../../src/kubernetes/client.ts';
import { DEPLOYMENTS, ENDPOINT_SLICES, SERVICES } from '../../../src/kubernetes/resources.ts';
import { BACKENDS, type BackendObject, type HandoverStep } from '../../../src/operator/backend-object.ts';
import { SCALED_OBJECTS } from '../../../src/operator/kinds.ts';
import { SELECTOR_KEY } from '../../../src/operator/redirect.ts';
import { Objects } from '../fixtures/objects.ts';
import type { Cluster, TestNamespace } from '../machine/index.ts';
import type { Witness } from '../fixtures/witness.ts';
import { Clients, type Address } from './clients.ts';
import { programObjects, scaledObject } from './program.ts';

const BOUND_MS = 180_000;

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

export class Stage implements AsyncDisposable {
  readonly name: string;
  readonly namespace: TestNamespace;
  readonly clients: Clients;
  readonly #cluster: Cluster;
  readonly #options: StageOptions;
  readonly #ended = new AbortController();
  #backends!: Objects<BackendObject>;
  #services!: Objects<Service>;
  #slices!: Objects<Slice>;
  #deployments!: Objects<Deployment>;
  #scaledObjects: Objects<KubernetesObject> | null = null;

  private constructor(options: StageOptions, namespace: TestNamespace, address: Address) {
    this.#options = options;
    this.#cluster = options.cluster;
    this.name = options.name ?? 'web';
    this.namespace = namespace;
    this.clients = new Clients(address, namespace.name);
  }

  /** Resolves when the program answers and its Backend is awake. */
  static async open(options: StageOptions): Promise<Stage> {
    const { cluster, witness, name = 'web', drains = true, replicas = 1, keda = false } = options;
    const namespace = await cluster.namespace('chaos');
    await namespace.apply([
      ...programObjects(witness, { name, drains, replicas }),
      ...(keda ? [scaledObject(name)] : []),
    ]);
    await namespace.kubectl('rollout', 'status', `deployment/${name}`, '--timeout=120s');
    const service = (await cluster.read<Service>(`/api/v1/namespaces/${namespace.name}/services/${name}`))!;
    const stage = new Stage(options, namespace, { host: service.spec.clusterIP, port: 80, grpcPort: 90 });
    await stage.#watch();
    await stage.declare();
    await stage.until('it is awake', () => stage.step === 'serving' || stage.state === 'awake');
    return stage;
  }

  async #watch(): Promise<void> {
    const { client, keda = false } = this.#options;
    const watch = <T extends KubernetesObject>(resource: Resource): Promise<Objects<T>> =>
      Objects.watch<T>(client, resource, this.namespace.name, this.#ended.signal);
    this.#backends = await watch(BACKENDS);
    this.#services = await watch(SERVICES);
    this.#slices = await watch(ENDPOINT_SLICES);
    this.#deployments = await watch(DEPLOYMENTS);
    if (keda) this.#scaledObjects = await watch(SCALED_OBJECTS);
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
          ...spec,
          ...more,
        },
      },
    ]);
  }

  get backend(): BackendObject | undefined {
    return this.#backends.get(this.name);
  }

  get step(): HandoverStep | undefined {
    return this.backend?.status?.handover?.step;
  }

  get state(): string | undefined {
    return this.backend?.status?.state;
  }

  get replicas(): number {
    return this.#deployments.get(this.name)?.spec.replicas ?? -1;
  }

  get path(): string {
    return `/apis/apps/v1/namespaces/${this.namespace.name}/deployments/${this.name}`;
  }

  scale(replicas: number): Promise<void> {
    return this.#cluster.scale(this.path, replicas);
  }

  /** Whatever of it changes, `holds` is asked again. Rejects with what there is after the bound. */
  async until(what: string, holds: () => boolean, timeoutMs = BOUND_MS): Promise<void> {
    const looked = new Set<() => void>();
    const all = [this.#backends, this.#services, this.#slices, this.#deployments, this.#scaledObjects];
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${what}: not within ${timeoutMs / 1000} s: ${this.describe()}`)),
          timeoutMs,
        );
        const look = (): void => {
          if (!holds()) return;
          clearTimeout(timer);
          resolve();
        };
        for (const objects of all) if (objects !== null) looked.add(objects.onChange(look));
        look();
      });
    } finally {
      for (const off of looked) off();
    }
  }

  untilStep(step: HandoverStep, timeoutMs?: number): Promise<void> {
    return this.until(`step ${step}`, () => this.step === step, timeoutMs);
  }

  /** Stops its clients as the pods are taken out, tries again when a request took the sleep back, and resolves as soon as `step` is recorded. */
  async fallAsleep(step: HandoverStep = 'asleep', timeoutMs = BOUND_MS): Promise<void> {
    const far = ORDER.indexOf(step);
    const pausesAt = Math.min(far, ORDER.indexOf('redirecting'));
    await this.until('it is put to sleep', () => ORDER.indexOf(this.step ?? 'serving') >= pausesAt, timeoutMs);
    if (far > pausesAt) this.clients.pause();
    await this.untilStep(step, timeoutMs);
  }

  /** Awake, off the path of its traffic. */
  async untilServing(timeoutMs?: number): Promise<void> {
    await this.until('it serves', () => this.step === 'serving' && this.state === 'awake', timeoutMs);
  }

  /** What is not as it should be while nobody has to do with it; empty: all is well. */
  faultsWhenAwake(): string[] {
    const found: string[] = [];
    if (this.#services.get(this.name)?.spec.selector[SELECTOR_KEY] !== undefined) found.push('selector has our key');
    if (this.#ours() > 0) found.push('our slice is there');
    if (this.#theirs() === 0) found.push('no pod in the slices');
    if (this.replicas < 1) found.push(`replicas ${this.replicas}`);
    const paused = this.#annotations();
    if (paused.length > 0) found.push(`ScaledObject: ${paused.join()}`);
    const { backend } = this;
    if (backend !== undefined && this.state !== 'awake') found.push(`state ${this.state}`);
    if (backend !== undefined && this.step !== 'serving' && this.step !== undefined) found.push(`step ${this.step}`);
    return found;
  }

  faultsWhenAsleep(): string[] {
    const found: string[] = [];
    if (this.#services.get(this.name)?.spec.selector[SELECTOR_KEY] === undefined) found.push('selector lacks our key');
    if (this.#ours() === 0) found.push('our slice lists nobody');
    if (this.#theirs() > 0) found.push('pods are listed');
    if (this.replicas !== 0) found.push(`replicas ${this.replicas}`);
    if (this.#scaledObjects !== null && this.#annotations().length !== 2)
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
    for (const slice of this.#slices.list())
      if (slice.metadata.labels?.['kubernetes.io/service-name'] === this.name && isIt(slice))
        ready += (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false).length;
    return ready;
  }

  #annotations(): string[] {
    const annotations = this.#scaledObjects?.get(this.name)?.metadata.annotations ?? {};
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
      selector: this.#services.get(this.name)?.spec.selector,
      ours: this.#ours(),
      theirs: this.#theirs(),
      annotations: this.#annotations(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clients[Symbol.asyncDispose]();
    this.#ended.abort();
    await this.#cluster.kubectl(['-n', this.namespace.name, 'delete', 'backends', '--all', '--wait=false']);
    await delay(0);
    await this.namespace[Symbol.asyncDispose]();
  }
}

const ORDER: readonly HandoverStep[] = [
  'serving',
  'listening',
  'redirecting',
  'redirected',
  'pausing',
  'settling',
  'sleeping',
  'asleep',
];
