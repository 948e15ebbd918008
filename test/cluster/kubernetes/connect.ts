/** Clients of the test cluster's API server. */
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { createClient, type ApiClient, type ClientOptions } from '../../../src/kubernetes/api-client.ts';
import { loadClusterConfig, type ClusterConfig } from '../../../src/kubernetes/cluster-config.ts';
import type { Informer, KubernetesObject } from '../../../src/kubernetes/client.ts';
import { CONFIG_MAPS } from '../../../src/kubernetes/resources.ts';
import { ensureCluster, type Cluster } from '../machine/index.ts';

export interface TestClient extends AsyncDisposable {
  cluster: Cluster;
  config: ClusterConfig;
  client: ApiClient;
}

/** Everything that these tests need is in the control plane. */
export async function connectToCluster(options: Partial<ClientOptions> = {}, server?: string): Promise<TestClient> {
  const cluster = await ensureCluster({ nodes: 0 });
  const config = await clusterConfig(cluster.kubeconfigPath);
  // The certificate is for the server's own address.
  const relayed: ClusterConfig = {
    ...config,
    server: server ?? config.server,
    credentials: async (fresh) => {
      const given = await config.credentials(fresh);
      return { ...given, tls: { ...given.tls, serverName: 'kubernetes' } };
    },
  };
  const client = createClient(server === undefined ? config : relayed, {
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
    ...options,
  });
  return { cluster, config, client, [Symbol.asyncDispose]: () => client.close() };
}

export function clusterConfig(kubeconfig: string): Promise<ClusterConfig> {
  return loadClusterConfig({ env: {}, home: '/', clock: systemClock, kubeconfig });
}

/** Resolves when `holds` does, looked at after each change. */
export async function untilInformed<T extends KubernetesObject>(
  informer: Informer<T>,
  holds: () => boolean,
  timeoutMs = 30_000,
): Promise<void> {
  if (holds()) return;
  const signal = AbortSignal.timeout(timeoutMs);
  let off: () => void;
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('the informer was not told in time')), { once: true });
    off = informer.onChange(() => {
      if (holds()) resolve();
    });
  }).finally(() => off());
}

/** Config maps with the label `of=test`. */
export async function createMaps(client: ApiClient, namespace: string, count: number): Promise<void> {
  const object = (index: number): object => ({ metadata: { name: `map-${index}`, labels: { of: 'test' } } });
  for (let from = 0; from < count; from += 16) {
    const some = Array.from({ length: Math.min(16, count - from) }, (_, index) => from + index);
    await Promise.all(some.map((index) => client.create(CONFIG_MAPS, object(index), { namespace })));
  }
}
