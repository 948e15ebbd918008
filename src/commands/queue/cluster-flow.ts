/** The flow of the demo in a cluster: its queue's figures, the Backend, whoever scales it, and its pods. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubernetesObject } from '../../kubernetes/client.ts';
import { AUTOSCALERS, DEPLOYMENTS } from '../../kubernetes/resources.ts';
import { DormouseError } from '../../model/errors.ts';
import { BACKENDS, type BackendObject } from '../../operator/backend-object.ts';
import { PART_OF, DEMO, type DemoCluster } from './cluster.ts';
import { clusterStats } from './cluster-queue.ts';
import type { Workload } from './cluster-up.ts';
import type { Flow, Stage } from './flow.ts';
import { WORKER } from './local-flow.ts';
import type { QueueStats } from './programs.ts';

const EVERY_MS = 500;

interface Hpa extends KubernetesObject {
  spec: { scaleTargetRef: { kind: string; name: string }; minReplicas?: number; maxReplicas: number };
  status?: {
    currentReplicas?: number;
    desiredReplicas?: number;
    currentMetrics?:
      | { external?: { metric: { name: string }; current: { value?: string; averageValue?: string } } }[]
      | null;
  };
}

/** Once. Throws DORMOUSE_DEMO_NOT_RUNNING. */
export async function clusterFlow(cluster: DemoCluster): Promise<Flow> {
  const { client, namespace, signal } = cluster;
  const [backend, workers, hpas] = await Promise.all([
    client.get<BackendObject>(BACKENDS, { namespace, name: WORKER }, { signal }),
    client.get<Workload>(DEPLOYMENTS, { namespace, name: WORKER }, { signal }),
    client.list<Hpa>(AUTOSCALERS, { namespace, signal }),
  ]);
  if (backend?.metadata.labels?.[PART_OF] !== DEMO || workers === null) {
    const text = `no queue demo is in namespace ${namespace}; start it with: dormouse demo queue up --cluster`;
    throw new DormouseError('DORMOUSE_DEMO_NOT_RUNNING', text, { userFault: true });
  }
  const trigger = triggerOf(backend);
  const problems: string[] = [];
  let stats: QueueStats | null = null;
  if (trigger.kind !== 'cron') {
    stats = await clusterStats(cluster).catch((error: unknown) => {
      if (signal.aborted) throw error;
      problems.push(`the figures of the queue are not to be had: ${(error as Error).message}`);
      return null;
    });
  }
  for (const { type, status, message } of backend.status?.conditions ?? [])
    if (type === 'Ready' && status !== 'True') problems.push(message);
  const hpa = hpas.items.find(({ spec }) => spec.scaleTargetRef.name === WORKER) ?? null;
  const stages = stagesOf(trigger, stats, backend, workers, hpa);
  return { place: `in namespace ${namespace}`, atMs: Date.now(), stages, stats, problems };
}

/** Twice a second until the signal aborts. */
export async function* followClusterFlow(cluster: DemoCluster, signal: AbortSignal): AsyncGenerator<Flow> {
  while (!signal.aborted) {
    yield await clusterFlow(cluster);
    await sleep(EVERY_MS, undefined, { signal }).catch(() => {});
  }
}

interface DemoTrigger {
  kind: string;
  by: string;
  max: number;
}

function triggerOf({ spec }: BackendObject): DemoTrigger {
  const [trigger = {}] = (spec.triggers ?? []) as Record<string, unknown>[];
  const { by = 'dormouse', max = 1 } = (spec.scale ?? {}) as { by?: string; max?: number };
  return { kind: Object.keys(trigger).find((key) => key !== 'name') ?? '', by, max };
}

const SOURCES: Readonly<Record<string, string>> = {
  'redis-list': 'Redis list',
  'nats-jetstream': 'JetStream',
  cron: 'schedule',
};

function stagesOf(
  { kind, by, max }: DemoTrigger,
  stats: QueueStats | null,
  { status }: BackendObject,
  workers: Workload,
  hpa: Hpa | null,
): Stage[] {
  const external = hpa?.status?.currentMetrics?.find((metric) => metric.external !== undefined)?.external ?? null;
  const replicas = hpa?.status?.currentReplicas ?? 0;
  const average = external?.current.averageValue;
  const total = external?.current.value ?? (average === undefined ? null : quantity(average) * replicas);
  const value = total === null ? null : typeof total === 'string' ? quantity(total) : total;
  return [
    {
      title: 'event source',
      what: SOURCES[kind] ?? kind,
      value: stats?.depth ?? null,
      unit: 'wait',
      details: stats === null ? [] : [`${stats.inFlight} in flight`],
    },
    {
      title: 'scaler',
      what: `dormouse, trigger ${kind}`,
      value: stats === null ? null : stats.depth + stats.inFlight,
      unit: 'wait or in flight',
      details: [],
    },
    ...(by === 'dormouse'
      ? []
      : [
          {
            title: 'external metric',
            what: external?.metric.name ?? 'external.metrics.k8s.io',
            value,
            unit: 'as the HPA read it',
            details: average === undefined ? [] : [`${Number(quantity(average).toFixed(1))} for each pod`],
          },
        ]),
    by === 'dormouse'
      ? {
          title: 'autoscaler',
          what: 'dormouse',
          value: status?.desired ?? null,
          unit: 'desired',
          details: [`0 to ${max}`, status?.state ?? ''],
        }
      : {
          title: by === 'keda' ? 'HPA of KEDA' : 'HPA',
          what: hpa?.metadata.name ?? 'none while asleep',
          value: hpa?.status?.desiredReplicas ?? null,
          unit: 'desired',
          details: hpa === null ? [] : [`${hpa.spec.minReplicas ?? 1} to ${hpa.spec.maxReplicas}`],
        },
    {
      title: 'pods',
      what: 'Deployment worker',
      value: workers.status?.readyReplicas ?? 0,
      unit: 'ready',
      details: [`${workers.spec.replicas ?? 1} replicas`],
    },
  ];
}

/** A Kubernetes quantity: `12`, `5500m`, `3k`. */
function quantity(text: string): number {
  const found = /^([\d.]+)(m|k|M|G)?$/.exec(text);
  const factor = { m: 0.001, k: 1e3, M: 1e6, G: 1e9 }[found?.[2] ?? ''] ?? 1;
  return found === null ? NaN : Number(found[1]) * factor;
}
