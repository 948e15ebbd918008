/** What is done to the cluster, to Dormouse and to the objects of one service, and how it is known that it is over. */
import { readFileSync, readdirSync } from 'node:fs';
import { INSTALLATION_NAMESPACE } from '../fixtures/installation.ts';
import { until, type Cluster } from '../machine/index.ts';
import type { Stage } from './stage.ts';

const CUT_MS = 10_000;
const READY_MS = 180_000;

export interface Fault {
  name: string;
  /** Hits everything in the cluster, so that nothing else may be tried meanwhile. */
  isShared: boolean;
  /** Resolves when it is over. `killedAtMs`: when connections to a gateway ended without a word (wall clock). */
  strike(stage: Stage, cluster: Cluster): Promise<{ killedAtMs?: number } | void>;
  /** The Backend is gone afterwards. */
  deletes?: boolean;
  /** Puts back what is not the operator's to put back. */
  after?(stage: Stage, cluster: Cluster): Promise<void>;
}

interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  status: { containerStatuses?: { containerID?: string; restartCount: number; ready: boolean }[] };
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'operator killed',
    isShared: true,
    strike: (_, cluster) => killOperator(cluster),
    after: (_, cluster) => renew(cluster, 'operator'),
  },
  {
    name: 'gateway killed',
    isShared: true,
    strike: (_, cluster) => killGateway(cluster),
    after: (_, cluster) => renew(cluster, 'gateway'),
  },
  { name: 'gateway deleted', isShared: true, strike: (_, cluster) => deleteGateway(cluster) },
  { name: 'API server cut off 10 s', isShared: true, strike: (_, cluster) => cluster.cutApiServer(CUT_MS) },
  { name: 'KEDA restarted', isShared: true, strike: (_, cluster) => cluster.restartKeda() },
  {
    name: 'scaled by hand',
    isShared: false,
    strike: (stage) => stage.scale(2),
    after: (stage) => stage.scale(1),
  },
  {
    name: 'Backend deleted',
    isShared: false,
    deletes: true,
    strike: async (stage) => {
      await stage.namespace.kubectl('delete', 'backend', stage.name, '--wait=false');
    },
    after: (stage) => stage.declare(),
  },
  {
    name: 'Service labelled',
    isShared: false,
    strike: async (stage) => {
      await stage.namespace.kubectl('label', 'service', stage.name, `at=t${Date.now()}`, '--overwrite');
    },
  },
  {
    // As a tool does that owns the whole map: our key goes with it.
    name: 'Service selector replaced',
    isShared: false,
    strike: async (stage) => {
      const selector = { app: stage.name };
      const patch = JSON.stringify([{ op: 'replace', path: '/spec/selector', value: selector }]);
      await stage.namespace.kubectl('patch', 'service', stage.name, '--type=json', '-p', patch);
    },
  },
];

/** The pod that holds the Lease. */
export async function leader(cluster: Cluster): Promise<string> {
  const lease = await cluster.read<{ spec: { holderIdentity: string } }>(
    `/apis/coordination.k8s.io/v1/namespaces/${INSTALLATION_NAMESPACE}/leases/dormouse-operator`,
  );
  return lease?.spec.holderIdentity ?? '';
}

/** SIGKILL to the operator that leads. Resolves when another one leads. */
export async function killOperator(cluster: Cluster): Promise<void> {
  const before = await leader(cluster);
  const pod = (await pods(cluster, 'operator')).find(({ metadata }) => before.startsWith(metadata.name));
  if (pod === undefined) throw new Error(`no pod holds the Lease of ${before}`);
  kill(pod);
  await until(
    'another operator leads',
    async () => {
      const now = await leader(cluster);
      return now !== '' && now !== before;
    },
    { timeoutMs: READY_MS, everyMs: 200 },
  );
}

/** SIGKILL to a gateway. Resolves when it is ready again. */
export async function killGateway(cluster: Cluster): Promise<{ killedAtMs: number }> {
  const [pod] = await pods(cluster, 'gateway');
  kill(pod!);
  const killedAtMs = Date.now();
  const restarts = (pod!.status.containerStatuses?.[0]?.restartCount ?? 0) + 1;
  await until(
    'the gateway is back',
    async () =>
      (await pods(cluster, 'gateway')).some(
        ({ metadata, status: { containerStatuses: [own] = [] } }) =>
          metadata.name === pod!.metadata.name && own !== undefined && own.restartCount >= restarts && own.ready,
      ),
    { timeoutMs: READY_MS },
  );
  return { killedAtMs };
}

/** As a rollout, a drain of its node or an autoscaler does. Resolves when another one is ready. */
export async function deleteGateway(cluster: Cluster): Promise<void> {
  const [pod] = await pods(cluster, 'gateway');
  await cluster.kubectl(['-n', INSTALLATION_NAMESPACE, 'delete', 'pod', pod!.metadata.name, '--wait=false']);
  await untilReady(cluster, 'gateway');
}

/** Pods of a part that aren't going. */
async function pods(cluster: Cluster, part: 'operator' | 'gateway'): Promise<Pod[]> {
  const list = await cluster.read<{ items: Pod[] }>(
    `/api/v1/namespaces/${INSTALLATION_NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fcomponent%3D${part}`,
  );
  return (list?.items ?? []).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

export async function untilReady(cluster: Cluster, part: 'operator' | 'gateway'): Promise<void> {
  await until(
    `every ${part} is ready`,
    async () => {
      const all = await pods(cluster, part);
      return all.length >= 2 && all.every(({ status }) => status.containerStatuses?.[0]?.ready === true);
    },
    { timeoutMs: READY_MS, everyMs: 100 },
  );
}

/** Pods that were killed are replaced: otherwise the kubelet restarts them later and later, which is not what is looked at here. */
async function renew(cluster: Cluster, part: 'operator' | 'gateway'): Promise<void> {
  for (const { metadata, status } of await pods(cluster, part)) {
    if ((status.containerStatuses?.[0]?.restartCount ?? 0) === 0) continue;
    await cluster.kubectl(['-n', INSTALLATION_NAMESPACE, 'delete', 'pod', metadata.name, '--wait=false']);
  }
  await untilReady(cluster, part);
}

/** SIGKILL to the one process of its container. */
function kill(pod: Pod): void {
  const id = pod.status.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? '';
  const pid = id === '' ? undefined : processOf(id);
  if (pid === undefined) throw new Error(`no process of pod ${pod.metadata.name} runs on this machine`);
  process.kill(pid, 'SIGKILL');
}

function processOf(containerId: string): number | undefined {
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readFileSync(`/proc/${entry}/cgroup`, 'utf8').includes(containerId)) return Number(entry);
    } catch {
      // It has just ended.
    }
  }
  return undefined;
}
