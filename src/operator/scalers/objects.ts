/** The ScaledObject and the HorizontalPodAutoscaler that the operator makes for a Backend: owned by it, and named after it. */
import { createHash } from 'node:crypto';
import type { KubernetesObject } from '../../kubernetes/client.ts';
import type { BackendConfig, KubernetesConfig } from '../../model/config.ts';
import type { ScaleMetric } from '../../model/demand.ts';
import type { BackendObject } from '../backend-object.ts';
import type { HorizontalPodAutoscaler, ScaledObject } from '../kinds.ts';

/** On everything that the operator makes; what has it is written and deleted by nobody else. */
export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by';
export const MANAGED_BY = 'dormouse';
/** Of the Backend, on our objects and in selectors of external metrics. */
export const BACKEND_LABEL = 'dormouse.dev/backend';

/** KEDA looks at each so often, s: zero comes with a look, everything else is pushed. */
const POLLING_S = 5;
/** scale.idleAfter has passed already when it is told. */
const COOLDOWN_S = 0;
/** Names of labels' values are shorter than names of objects. */
export const MAX_LABEL = 63;

export interface ScalerAddress {
  /** HOST:PORT. */
  address: string;
  /** Name of the ClusterTriggerAuthentication. */
  authentication: string;
  /** Other ones with other certificates: a scaler of KEDA's keeps those that it began with until its ScaledObject changes. */
  credentials: string;
}

/** Whether it is one that the operator made for this object. */
export function isOurs({ metadata }: KubernetesObject, owner: BackendObject): boolean {
  return (
    metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY &&
    metadata.ownerReferences?.some(({ uid }) => uid === owner.metadata.uid) === true
  );
}

/** Whether a ScaledObject has dormouse as its scaler: ours, or one that a user wrote. */
export function asksUs({ spec }: ScaledObject, address: string): boolean {
  const [host = ''] = address.split(':');
  const [service = '', namespace = ''] = host.split('.');
  return (spec.triggers ?? []).some(({ type, metadata }) => {
    if (type !== 'external-push' && type !== 'external') return false;
    const [asked = ''] = (metadata?.['scalerAddress'] ?? '').replace(/^dns:\/\/\//, '').split(':');
    return asked === host || asked === `${service}.${namespace}` || asked.startsWith(`${service}.${namespace}.svc`);
  });
}

export function scaledObjectOf(
  owner: BackendObject,
  backend: BackendConfig,
  kubernetes: KubernetesConfig,
  metrics: readonly ScaleMetric[],
  scaler: ScalerAddress,
): object {
  const { scale } = backend;
  const { target } = kubernetes;
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: metadataOf(owner, owner.metadata.name),
    spec: {
      scaleTargetRef: { apiVersion: target.apiVersion, kind: target.kind, name: target.name },
      pollingInterval: POLLING_S,
      cooldownPeriod: COOLDOWN_S,
      minReplicaCount: scale.min,
      maxReplicaCount: Math.max(1, scale.min, scale.max),
      advanced: { horizontalPodAutoscalerConfig: { behavior: behaviorOf(backend) } },
      triggers: [
        {
          type: 'external-push',
          metadata: {
            scalerAddress: scaler.address,
            enableTLS: 'true',
            backend: owner.metadata.name,
            // KEDA asks for them once for each version of the object.
            metrics: metrics.map(({ name, target: of }) => `${name}=${of}`).join(','),
            credentials: scaler.credentials,
          },
          authenticationRef: { name: scaler.authentication, kind: 'ClusterTriggerAuthentication' },
        },
      ],
    },
  };
}

export function autoscalerOf(
  owner: BackendObject,
  backend: BackendConfig,
  kubernetes: KubernetesConfig,
  metrics: readonly ScaleMetric[],
): object {
  const { scale } = backend;
  const { target } = kubernetes;
  const min = Math.max(1, scale.min);
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: metadataOf(owner, owner.metadata.name),
    spec: {
      scaleTargetRef: { apiVersion: target.apiVersion, kind: target.kind, name: target.name },
      // At zero replicas an HPA stands still: zero and one are dormouse's.
      minReplicas: min,
      maxReplicas: Math.max(min, scale.max),
      behavior: behaviorOf(backend),
      metrics: metrics.map(({ name, target: of }) => ({
        type: 'External',
        external: {
          metric: { name, selector: { matchLabels: { [BACKEND_LABEL]: labelOf(owner.metadata.name) } } },
          target: { type: 'AverageValue', averageValue: quantityOf(of) },
        },
      })),
    },
  };
}

/** Names longer than a label's value end with a hash of the whole. */
export function labelOf(name: string): string {
  if (name.length <= MAX_LABEL) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 10);
  return `${name.slice(0, MAX_LABEL - hash.length - 1)}-${hash}`;
}

const SUFFIXES = ['', 'k', 'M', 'G', 'T', 'P'] as const;

/** As Kubernetes writes numbers: in thousandths where they are not whole, and with the largest suffix that fits. */
export function quantityOf(value: number): string {
  const thousandths = Math.max(1, Math.round(value * 1000));
  if (thousandths % 1000 !== 0) return `${thousandths}m`;
  let whole = thousandths / 1000;
  let suffix = 0;
  for (; whole % 1000 === 0 && suffix < SUFFIXES.length - 1; suffix++) whole /= 1000;
  return `${whole}${SUFFIXES[suffix]}`;
}

/** Whether everything that is wanted is so; what others or the API server have added does not count. */
export function isAsWanted(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted))
    return (
      Array.isArray(actual) &&
      actual.length === wanted.length &&
      wanted.every((item, index) => isAsWanted(actual[index], item))
    );
  if (typeof wanted === 'object' && wanted !== null) {
    if (typeof actual !== 'object' || actual === null) return false;
    return Object.entries(wanted).every(([key, value]) => isAsWanted((actual as Record<string, unknown>)[key], value));
  }
  return actual === wanted;
}

export type Scaler = ScaledObject | HorizontalPodAutoscaler;

function metadataOf({ apiVersion, kind, metadata }: BackendObject, name: string): object {
  return {
    name,
    namespace: metadata.namespace,
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [BACKEND_LABEL]: labelOf(metadata.name) },
    ownerReferences: [
      { apiVersion, kind, name: metadata.name, uid: metadata.uid, controller: true, blockOwnerDeletion: true },
    ],
  };
}

/** scale.scaleDownDelay is an HPA's stabilization window; how fast it grows and shrinks within is its own. */
function behaviorOf({ scale }: BackendConfig): object {
  return {
    scaleDown: { stabilizationWindowSeconds: Math.min(3600, Math.ceil(scale.scaleDownDelayMs / 1000)) },
    scaleUp: { stabilizationWindowSeconds: 0 },
  };
}
