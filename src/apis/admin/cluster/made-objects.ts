/** The objects of one backend on a cluster, as they are made of its spec: Deployment, Service, Backend, and an HTTPRoute when hosts or a path are given. */
import type { KubernetesObject, OwnerReference, Resource } from '../../../kubernetes/client.ts';
import { DEPLOYMENTS, SERVICES } from '../../../kubernetes/resources.ts';
import { SETTINGS } from '../models.ts';

export const BACKENDS: Resource = {
  group: 'dormouse.dev',
  version: 'v1alpha1',
  plural: 'backends',
  kind: 'Backend',
  namespaced: true,
};
export const ROUTES: Resource = {
  group: 'gateway.networking.k8s.io',
  version: 'v1',
  plural: 'httproutes',
  kind: 'HTTPRoute',
  namespaced: true,
};

/** Of everything that the API has made: whoever lists by it sees nothing of anybody else. */
export const MANAGED_BY = 'app.kubernetes.io/managed-by';
export const MANAGER = 'dormouse-admin';
export const BACKEND_LABEL = 'dormouse.dev/backend';
/** The first 32 hex digits of the SHA-256 of the Idempotency-Key that made it. */
export const KEY_LABEL = 'dormouse.dev/idempotency-key';
/** SHA-256 of the body that made it. */
export const BODY_ANNOTATION = 'dormouse.dev/idempotency-body';
/** Of the Deployment, which stands first and goes last: how far it is. */
export const STEP_ANNOTATION = 'dormouse.dev/admin-step';
/** Of the Deployment: the spec as it was given, JSON. */
export const SPEC_ANNOTATION = 'dormouse.dev/admin-spec';

/** `creating`: not all is there; it is taken back when nobody goes on with it. `deleting`: it is gone on with. `updating`: what the spec says is put in force. */
export type Step = 'creating' | 'ready' | 'updating' | 'deleting';

export interface MakeSettings {
  /** Whose routes lead to backends; null: there are none. */
  gateway: { namespace: string; name: string; sectionName: string | null } | null;
  /** `scale.by` of those that say nothing of it. */
  scaleBy: 'dormouse' | 'hpa' | 'keda';
}

/** As clusterSpec has checked it. */
export interface ClusterSpec {
  image: string;
  pullPolicy?: string;
  port: number;
  hosts?: string[];
  path?: string;
  command?: string[];
  args?: string[];
  env?: Record<string, string>;
  resources?: { cpu?: string; memory?: string };
  readyPath?: string;
  scale?: Record<string, unknown>;
  [setting: string]: unknown;
}

export interface Place {
  namespace: string;
  name: string;
}

export function isRouted({ hosts, path }: ClusterSpec): boolean {
  return (hosts?.length ?? 0) > 0 || path !== undefined;
}

export function deploymentOf(place: Place, spec: ClusterSpec, annotations: Record<string, string>, key: string | null) {
  const { name } = place;
  const scale = spec.scale ?? {};
  const min = typeof scale['min'] === 'number' ? scale['min'] : 0;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      ...place,
      labels: { ...labelsOf(name), ...(key === null ? {} : { [KEY_LABEL]: key }) },
      annotations,
    },
    spec: {
      // In place it sleeps only when it is known to be idle; behind a route the first request wakes it.
      replicas: Math.max(min, isRouted(spec) ? 0 : 1),
      selector: { matchLabels: { [BACKEND_LABEL]: name } },
      template: templateOf(name, spec),
    },
  };
}

export function templateOf(name: string, spec: ClusterSpec) {
  const { image, pullPolicy, port, command, args, env = {}, resources = {}, readyPath } = spec;
  const requests = Object.fromEntries(Object.entries(resources));
  return {
    metadata: { labels: labelsOf(name) },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      containers: [
        {
          name: 'app',
          image,
          ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
          ...(command === undefined ? {} : { command }),
          ...(args === undefined ? {} : { args }),
          env: Object.entries(env).map(([variable, value]) => ({ name: variable, value })),
          ports: [{ name: 'http', containerPort: port }],
          readinessProbe: {
            ...(readyPath === undefined
              ? { tcpSocket: { port: 'http' } }
              : { httpGet: { path: readyPath, port: 'http' } }),
            periodSeconds: 2,
          },
          resources: {
            requests,
            ...(resources.memory === undefined ? {} : { limits: { memory: resources.memory } }),
          },
          securityContext: { allowPrivilegeEscalation: false },
        },
      ],
    },
  };
}

export function serviceOf(place: Place, owner: OwnerReference) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...place, labels: labelsOf(place.name), ownerReferences: [owner] },
    spec: {
      selector: { [BACKEND_LABEL]: place.name },
      ports: [{ name: 'http', port: 80, targetPort: 'http', protocol: 'TCP' }],
    },
  };
}

export function backendOf(place: Place, spec: ClusterSpec, owner: OwnerReference | null, { scaleBy }: MakeSettings) {
  const settings = Object.fromEntries(SETTINGS.filter((key) => spec[key] !== undefined).map((key) => [key, spec[key]]));
  return {
    apiVersion: 'dormouse.dev/v1alpha1',
    kind: 'Backend',
    metadata: {
      ...place,
      labels: labelsOf(place.name),
      ...(owner === null ? {} : { ownerReferences: [owner] }),
    },
    spec: {
      ...settings,
      ...(scaleBy === 'dormouse' && spec.scale === undefined ? {} : { scale: { by: scaleBy, ...spec.scale } }),
      kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: place.name }, service: place.name },
    },
  };
}

export function routeOf(place: Place, spec: ClusterSpec, owner: OwnerReference, { gateway }: MakeSettings) {
  const { hosts = [], path = '/' } = spec;
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { ...place, labels: labelsOf(place.name), ownerReferences: [owner] },
    spec: {
      parentRefs: [
        {
          namespace: gateway?.namespace,
          name: gateway?.name,
          ...(gateway?.sectionName == null ? {} : { sectionName: gateway.sectionName }),
        },
      ],
      hostnames: hosts,
      rules: [
        { matches: [{ path: { type: 'PathPrefix', value: path } }], backendRefs: [{ name: place.name, port: 80 }] },
      ],
    },
  };
}

export function ownerOf({ apiVersion, kind, metadata }: KubernetesObject): OwnerReference {
  return { apiVersion, kind, name: metadata.name, uid: metadata.uid };
}

function labelsOf(name: string): Record<string, string> {
  return { 'app.kubernetes.io/name': name, [MANAGED_BY]: MANAGER, [BACKEND_LABEL]: name };
}

/** What is made, in this order; taken away in the reverse order. */
export const OWNED: readonly Resource[] = [SERVICES, BACKENDS, ROUTES];
export { DEPLOYMENTS, SERVICES };
