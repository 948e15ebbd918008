/** Kinds that come with every cluster. */
import type { Resource } from './client.ts';

function resource(group: string, version: string, plural: string, kind: string, namespaced = true): Resource {
  return { group, version, plural, kind, namespaced };
}

export const PODS = resource('', 'v1', 'pods', 'Pod');
export const SERVICES = resource('', 'v1', 'services', 'Service');
export const SECRETS = resource('', 'v1', 'secrets', 'Secret');
export const NAMESPACES = resource('', 'v1', 'namespaces', 'Namespace', false);
export const NODES = resource('', 'v1', 'nodes', 'Node', false);
export const CONFIG_MAPS = resource('', 'v1', 'configmaps', 'ConfigMap');
export const EVENTS = resource('events.k8s.io', 'v1', 'events', 'Event');
export const ENDPOINT_SLICES = resource('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice');
export const DEPLOYMENTS = resource('apps', 'v1', 'deployments', 'Deployment');
export const STATEFUL_SETS = resource('apps', 'v1', 'statefulsets', 'StatefulSet');
export const JOBS = resource('batch', 'v1', 'jobs', 'Job');
export const CRON_JOBS = resource('batch', 'v1', 'cronjobs', 'CronJob');
export const LEASES = resource('coordination.k8s.io', 'v1', 'leases', 'Lease');
export const AUTOSCALERS = resource('autoscaling', 'v2', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler');
export const NETWORK_POLICIES = resource('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy');
export const CUSTOM_RESOURCES = resource(
  'apiextensions.k8s.io',
  'v1',
  'customresourcedefinitions',
  'CustomResourceDefinition',
  false,
);
