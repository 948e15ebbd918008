/** The Backend object (dormouse.dev/v1alpha1), as far as it is read and written here; its schema is generated from the configuration's (config/crd). */
import type { KubernetesObject, Resource } from '../kubernetes/client.ts';
import type { HandoverStep } from '../model/handover-step.ts';

export const GROUP = 'dormouse.dev';

export const BACKENDS: Resource = {
  group: GROUP,
  version: 'v1alpha1',
  plural: 'backends',
  kind: 'Backend',
  namespaced: true,
};

/** Restores what was changed before the object goes. */
export const FINALIZER = 'dormouse.dev/restore';

export interface BackendObject extends KubernetesObject {
  spec: Record<string, unknown>;
  status?: BackendObjectStatus;
}

/** metav1.Condition. */
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  lastTransitionTime: string;
  observedGeneration?: number;
}

export interface BackendObjectStatus {
  observedGeneration?: number;
  state?: 'asleep' | 'waking' | 'awake' | 'falling-asleep';
  /** RFC 3339. */
  since?: string;
  why?: string;
  instances?: number;
  desired?: number;
  demand?: { concurrency: string; requestsPerSecond: string; inFlight: number; held: number };
  lastWoken?: { at: string; by: string; tookSeconds: string };
  lastSlept?: string;
  handover?: HandoverStatus;
  conditions?: Condition[];
}

export interface HandoverStatus {
  step: HandoverStep;
  /** RFC 3339. */
  since: string;
  message?: string;
  /** A gateway port for each port of the Service, allocated before anything else. */
  ports?: PortAllocation[];
  /** Replicas of the target before it was put to sleep; it is woken with as many. */
  replicasBefore?: number;
  /** Whether the autoscaler was paused by us. */
  pausedAutoscaler?: boolean;
}

export interface PortAllocation {
  /** Of the Service. */
  port: number;
  gatewayPort: number;
}

/** `namespace/name`, which is also the name of the backend in the configuration. */
export function keyOf(object: { metadata: { namespace?: string; name: string } }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}
