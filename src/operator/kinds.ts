/** Objects of other groups, as far as they are read here. */
import type { KubernetesObject, Resource } from '../kubernetes/client.ts';

export interface Service extends KubernetesObject {
  spec: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    ipFamilies?: string[];
    selector?: Record<string, string>;
    sessionAffinity?: string;
    internalTrafficPolicy?: string;
    externalTrafficPolicy?: string;
    ports?: ServicePort[];
  };
  status?: { loadBalancer?: { ingress?: { ip?: string; hostname?: string }[] } };
}

export interface ServicePort {
  name?: string;
  protocol?: string;
  port: number;
  targetPort?: number | string;
  appProtocol?: string;
}

export interface Pod extends KubernetesObject {
  spec: { nodeName?: string; containers?: { name: string; ports?: { name?: string; containerPort: number }[] }[] };
  status: {
    phase?: string;
    podIP?: string;
    podIPs?: { ip: string }[];
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
}

export interface ScaledObject extends KubernetesObject {
  spec: {
    scaleTargetRef?: { apiVersion?: string; kind?: string; name: string };
    minReplicaCount?: number;
    idleReplicaCount?: number;
    /** Seconds. */
    pollingInterval?: number;
    cooldownPeriod?: number;
    triggers?: { type: string; metadata?: Record<string, string> }[];
  };
  status?: {
    hpaName?: string;
    externalMetricNames?: string[];
    /** RFC 3339, whole seconds. */
    lastActiveTime?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
}

export interface HorizontalPodAutoscaler extends KubernetesObject {
  spec: { scaleTargetRef: { apiVersion?: string; kind: string; name: string }; minReplicas?: number };
}

export const SCALED_OBJECTS: Resource = {
  group: 'keda.sh',
  version: 'v1alpha1',
  plural: 'scaledobjects',
  kind: 'ScaledObject',
  namespaced: true,
};
