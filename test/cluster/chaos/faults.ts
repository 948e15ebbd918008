/** What is done to the cluster, to Dormouse and to the objects of one service, and how it is known that it is over. */
import { readFileSync, readdirSync } from 'node:fs';
import { INSTALLATION_NAMESPACE } from '../fixtures/installation.ts';
import { until, type Cluster } from '../machine/index.ts';
import type { Stage } from './stage.ts';

const CUT_MS = 10_000;
const READY_MS = 180_000;

/** Resolves when it is over. `killedAtMs`: when connections to a gateway ended without a word (wall clock). */
export type Strike = () => Promise<{ killedAtMs?: number } | void>;

export interface Fault {
  name: string;
  /** Hits everything in the cluster, so that nothing else may be tried meanwhile. */
  isShared: boolean;
  /** Looks for what it will hit, so that nothing is in the way at its moment. Gives what strikes. */
  arm(stage: Stage, cluster: Cluster): Promise<Strike> | Strike;
  /** Tried with a ScaledObject on the target. */
  needsKeda?: boolean;
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
    arm: (_, cluster) => killOperator(cluster),
    after: (_, cluster) => renew(cluster, 'operator'),
  },
  {
    name: 'gateway killed',
    isShared: true,
    arm: (_, cluster) => killGateway(cluster),
    after: (_, cluster) => renew(cluster, 'gateway'),
  },
  { name: 'gateway deleted', isShared: true, arm: (_, cluster) => deleteGateway(cluster) },
  { name: 'API server cut off 10 s', isShared: true, arm: (_, cluster) => () => cluster.cutApiServer(CUT_MS) },
  { name: 'KEDA restarted', isShared: true, needsKeda: true, arm: (_, cluster) => () => cluster.restartKeda() },
  {
    name: 'scaled by hand',
    isShared: false,
    arm: (stage) => () => stage.scale(2),
    after: undoScale,
  },
  {
    name: 'Backend deleted',
    isShared: false,
    deletes: true,
    arm: (stage) => () => stage.request('DELETE', `/apis/dormouse.dev/v1alpha1/namespaces/${stage.place}/backends`),
    after: (stage) => stage.declare(),
  },
  {
    name: 'Service labelled',
    isShared: false,
    arm: (stage) => () =>
      stage.request('PATCH', `/api/v1/namespaces/${stage.place}/services`, {
        contentType: 'application/merge-patch+json',
        body: { metadata: { labels: { at: `t${Date.now()}` } } },
      }),
  },
  {
    // As a tool does that owns the whole map: our key goes with it.
    name: 'Service selector replaced',
    isShared: false,
    arm: (stage) => () =>
      stage.request('PATCH', `/api/v1/namespaces/${stage.place}/services`, {
        contentType: 'application/json-patch+json',
        body: [{ op: 'replace', path: '/spec/selector', value: { app: stage.name } }],
      }),
  },
];

/** Without traffic: a pod that somebody takes out of a Service that is awake is reached until kube-proxy has heard of it, with Dormouse or without. */
async function undoScale(stage: Stage): Promise<void> {
  stage.clients.pause();
  await stage.clients.ledger.settled();
  await stage.scale(1);
  // Its program accepts connections until it has been told to end.
  await stage.until('one pod is left', () => stage.listedPods <= 1 && stage.allPods <= 1);
  await stage.untilAccepting();
  stage.clients.resume();
}

/** The pod that holds the Lease. */
export async function leader(cluster: Cluster): Promise<string> {
  const lease = await cluster.read<{ spec: { holderIdentity: string } }>(
    `/apis/coordination.k8s.io/v1/namespaces/${INSTALLATION_NAMESPACE}/leases/dormouse-operator`,
  );
  return lease?.spec.holderIdentity ?? '';
}

/** SIGKILL to the operator that leads. Its strike resolves when another one leads. */
export async function killOperator(cluster: Cluster): Promise<Strike> {
  const before = await leader(cluster);
  const pod = (await pods(cluster, 'operator')).find(({ metadata }) => before.startsWith(metadata.name));
  if (pod === undefined) throw new Error(`no pod holds the Lease of ${before}`);
  const pid = processOf(pod);
  return async () => {
    process.kill(pid, 'SIGKILL');
    await until(
      'another operator leads',
      async () => {
        const now = await leader(cluster);
        return now !== '' && now !== before;
      },
      { timeoutMs: READY_MS, everyMs: 200 },
    );
  };
}

/** SIGKILL to a gateway. Its strike resolves when it is ready again. */
export async function killGateway(cluster: Cluster): Promise<Strike> {
  const [pod] = await pods(cluster, 'gateway');
  const pid = processOf(pod!);
  const restarts = (pod!.status.containerStatuses?.[0]?.restartCount ?? 0) + 1;
  return async () => {
    process.kill(pid, 'SIGKILL');
    const killedAtMs = Date.now();
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
  };
}

/** As a rollout, a drain of its node or an autoscaler does. Its strike resolves when another one is ready. */
export async function deleteGateway(cluster: Cluster): Promise<Strike> {
  const [pod] = await pods(cluster, 'gateway');
  return async () => {
    await cluster.request('DELETE', `/api/v1/namespaces/${INSTALLATION_NAMESPACE}/pods/${pod!.metadata.name}`);
    await untilReady(cluster, 'gateway');
  };
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

/** The one process of its container. */
function processOf({ metadata, status }: Pod): number {
  const id = status.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? '';
  for (const entry of id === '' ? [] : readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (readFileSync(`/proc/${entry}/cgroup`, 'utf8').includes(id)) return Number(entry);
    } catch {
      // It has just ended.
    }
  }
  throw new Error(`no process of pod ${metadata.name} runs on this machine`);
}
