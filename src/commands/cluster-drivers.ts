/** Drivers of workloads in a cluster, for backends with `kubernetes:` in the file of one machine: by the kubeconfig, loaded when the first such backend is configured. */
import { homedir } from 'node:os';
import type { CreateDriver } from '../drivers/driver.ts';
import type { KubernetesClient } from '../kubernetes/client.ts';
import type { Config } from '../model/config.ts';
import { systemClock, type Logger } from '../model/ports.ts';

export interface ClusterDriversOptions {
  env: Readonly<Record<string, string | undefined>>;
  logger: Logger;
}

type Closable = CreateDriver & { close(): void };

export class ClusterDrivers {
  readonly #options: ClusterDriversOptions;
  readonly #byNamespace = new Map<string, Closable>();
  readonly #ended = new AbortController();
  #client: KubernetesClient | null = null;

  constructor(options: ClusterDriversOptions) {
    this.#options = options;
  }

  /** Loads what the configuration needs. Rejects with DORMOUSE_KUBECONFIG or DORMOUSE_IN_CLUSTER, and nothing is changed then. */
  async prepare(config: Config): Promise<void> {
    for (const { source } of config.backends) {
      if (source.driver !== 'kubernetes') continue;
      const { namespace } = source.kubernetes;
      // Informers of one namespace each: nobody needs rights beyond it.
      if (!this.#byNamespace.has(namespace)) this.#byNamespace.set(namespace, await this.#load(namespace));
    }
  }

  /** Call `prepare` before. */
  readonly create: CreateDriver = (backend, events) => {
    const { source } = backend;
    const create = source.driver === 'kubernetes' ? this.#byNamespace.get(source.kubernetes.namespace) : undefined;
    if (create === undefined) throw new Error(`${backend.name}: its cluster has not been prepared`);
    return create(backend, events);
  };

  async #load(namespace: string): Promise<Closable> {
    const { env, logger } = this.#options;
    const { loadClusterConfig } = await import('../kubernetes/cluster-config.ts');
    const { createClient } = await import('../kubernetes/api-client.ts');
    const { createKubernetesDrivers, trimPod, trimService, trimWorkload } =
      await import('../drivers/kubernetes/index.ts');
    const { PODS, SERVICES } = await import('../kubernetes/resources.ts');
    const clock = systemClock;
    if (this.#client === null) {
      const cluster = await loadClusterConfig({ env, home: homedir(), clock });
      this.#client = createClient(cluster, { logger, clock, random: Math.random });
      logger.info('workloads of a cluster are scaled', { cluster: cluster.source });
    }
    const client = this.#client;
    const { signal } = this.#ended;
    const informer: KubernetesClient['informer'] = (resource, options) => {
      const made = client.informer(resource, { ...options, namespace });
      made.start(signal);
      return made;
    };
    const targets = new Map<string, ReturnType<typeof informer>>();
    return createKubernetesDrivers({
      client,
      clock,
      logger,
      informers: {
        pods: informer(PODS, { trim: trimPod }),
        services: informer(SERVICES, { trim: trimService }),
        targets: (resource) => {
          const key = `${resource.group}/${resource.version}/${resource.plural}`;
          const known = targets.get(key) ?? informer(resource, { trim: trimWorkload });
          targets.set(key, known as never);
          return known as never;
        },
      },
    });
  }

  async close(): Promise<void> {
    this.#ended.abort();
    for (const create of this.#byNamespace.values()) create.close();
    await this.#client?.close();
  }
}
