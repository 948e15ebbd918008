/** Drivers of workloads in the real cluster, with the informers and the client that an operator has. */
import { createClient, type ApiClient } from '../../../src/kubernetes/api-client.ts';
import { loadClusterConfig, type ClusterConfig } from '../../../src/kubernetes/cluster-config.ts';
import type {
  Informer,
  KubernetesClient,
  KubernetesObject,
  ObjectName,
  Patch,
  RequestOptions,
  Resource,
} from '../../../src/kubernetes/client.ts';
import { PODS, SERVICES } from '../../../src/kubernetes/resources.ts';
import { defaultBackend } from '../../../src/model/config.fixture.ts';
import type { BackendConfig, KubernetesConfig, ScaleConfig, WakeConfig } from '../../../src/model/config.ts';
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { Witness } from '../../../src/drivers/driver.contract.ts';
import type { Driver } from '../../../src/drivers/driver.ts';
import {
  createKubernetesDrivers,
  trimPod,
  trimService,
  trimWorkload,
  type Pod,
  type Service,
  type Workload,
} from '../../../src/drivers/kubernetes/index.ts';
import type { Cluster, TestNamespace } from '../machine/index.ts';

/** What the driver under test writes, in order. */
export interface Write {
  atMs: number;
  answeredAtMs: number;
  path: string;
  body: { spec?: { replicas?: number }; metadata?: { annotations?: Record<string, string> } };
  error: string;
}

export class Bench implements AsyncDisposable {
  readonly client: ApiClient;
  readonly writes: Write[] = [];
  readonly cluster: Cluster;
  readonly #ending = new AbortController();
  readonly #pods: Informer<Pod>;
  readonly #services: Informer<Service>;
  readonly #targets = new Map<string, Informer<Workload>>();
  readonly #drivers: Driver[] = [];
  readonly #create: ReturnType<typeof createKubernetesDrivers>;

  private constructor(cluster: Cluster, client: ApiClient) {
    this.cluster = cluster;
    this.client = client;
    this.#pods = client.informer<Pod>(PODS, { trim: trimPod });
    this.#services = client.informer<Service>(SERVICES, { trim: trimService });
    this.#create = createKubernetesDrivers({
      client: this.#recording(),
      informers: { pods: this.#pods, services: this.#services, targets: (resource) => this.#target(resource) },
      clock: systemClock,
      logger: silentLogger,
    });
  }

  /** `changes`: of how the API server is reached by the driver. */
  static async open(cluster: Cluster, changes: Partial<ClusterConfig> = {}): Promise<Bench> {
    const deps = { logger: silentLogger, clock: systemClock };
    const config = await loadClusterConfig({
      env: { KUBECONFIG: cluster.kubeconfigPath },
      home: '/',
      clock: systemClock,
    });
    const bench = new Bench(cluster, createClient({ ...config, ...changes }, { ...deps, random: Math.random }));
    for (const informer of [bench.#pods, bench.#services] as Informer<KubernetesObject>[]) {
      informer.start(bench.#ending.signal);
      await informer.synced(bench.#ending.signal);
    }
    return bench;
  }

  /** A driver of this target behind the Service of the same name; resolves when its informers are in step. */
  async drive(
    namespace: TestNamespace,
    target: KubernetesConfig['target'],
    changes: { kubernetes?: Partial<KubernetesConfig>; scale?: Partial<ScaleConfig>; wake?: Partial<WakeConfig> } = {},
  ): Promise<{ driver: Driver; witness: Witness }> {
    const resource = await this.client.resourceOf(target.apiVersion, target.kind);
    if (resource !== null) await this.#target(resource).synced(this.#ending.signal);
    const standard = defaultBackend(target.name);
    const backend: BackendConfig = {
      ...standard,
      source: {
        driver: 'kubernetes',
        kubernetes: {
          namespace: namespace.name,
          target,
          service: target.name,
          port: 0,
          autoscaler: null,
          ready: 'probe',
          ...changes.kubernetes,
        },
      },
      scale: { ...standard.scale, max: 3, ...changes.scale },
      wake: { ...standard.wake, failFastAfterMs: 3000, ...changes.wake },
    };
    const witness = new Witness(60_000);
    const driver = this.#create(backend, witness);
    this.#drivers.push(driver);
    return { driver, witness };
  }

  /** Writes to /scale of this target. */
  scaleWrites(name: string): Write[] {
    return this.writes.filter(({ path }) => path === `${name}/scale`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#drivers.map((driver) => driver.close()));
    this.#create.close();
    this.#ending.abort();
    await this.client.close();
  }

  #target(resource: Resource): Informer<Workload> {
    let informer = this.#targets.get(resource.plural);
    if (informer === undefined) {
      informer = this.client.informer<Workload>(resource, { trim: trimWorkload });
      informer.start(this.#ending.signal);
      this.#targets.set(resource.plural, informer);
    }
    return informer;
  }

  #recording(): KubernetesClient {
    const { client, writes } = this;
    const patch = async (resource: Resource, name: ObjectName, patched: Patch, options: RequestOptions = {}) => {
      const path = `${name.name}${options.subresource === undefined ? '' : `/${options.subresource}`}`;
      const write: Write = { atMs: performance.now(), answeredAtMs: 0, path, body: patched.body as object, error: '' };
      writes.push(write);
      try {
        return await client.patch(resource, name, patched, options);
      } catch (error) {
        write.error = (error as Error).message;
        throw error;
      } finally {
        write.answeredAtMs = performance.now();
      }
    };
    return new Proxy(client, {
      get: (target, key) => {
        if (key === 'patch') return patch;
        const value = Reflect.get(target, key, target) as unknown;
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }
}
