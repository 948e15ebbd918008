/** The parts of Kubernetes objects that the driver reads, and trims that leave an informer nothing else to keep in memory. */
import type { KubernetesObject, ObjectMeta } from '../../kubernetes/client.ts';
import type { LabelSelector } from '../../kubernetes/selectors.ts';

/** Lower goes first when a ReplicaSet is made smaller; 0 when there is none. */
export const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';

/** Messages of conditions and containers are kept up to here. */
const MAX_MESSAGE_CHARS = 500;

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
}

export interface ContainerPort {
  name?: string;
  containerPort: number;
  protocol?: string;
}

export interface Container {
  name: string;
  /** `Always` for an init container: a sidecar, whose ports count. */
  restartPolicy?: string;
  ports?: ContainerPort[];
}

export interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt?: string };
  terminated?: { exitCode: number; reason?: string; message?: string };
}

export interface ContainerStatus {
  name: string;
  ready: boolean;
  restartCount: number;
  state?: ContainerState;
  lastState?: ContainerState;
}

export interface Pod extends KubernetesObject {
  spec?: { containers?: Container[]; initContainers?: Container[] };
  status?: {
    phase?: string;
    reason?: string;
    message?: string;
    podIP?: string;
    podIPs?: { ip: string }[];
    conditions?: Condition[];
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
  };
}

export interface ServicePort {
  name?: string;
  port: number;
  protocol?: string;
  targetPort?: number | string;
}

export interface Service extends KubernetesObject {
  spec?: { ports?: ServicePort[] };
}

/** A Deployment, a StatefulSet, or anything else with a /scale subresource: of those only metadata is counted on. */
export interface Workload extends KubernetesObject {
  spec?: { replicas?: number; selector?: LabelSelector; ordinals?: { start?: number } };
  status?: { conditions?: Condition[] };
}

/** For the informer of pods. */
export function trimPod(pod: Pod): Pod {
  const { apiVersion, kind, metadata, spec, status } = pod;
  const cost = metadata.annotations?.[DELETION_COST];
  const trimmed: Pod = {
    apiVersion,
    kind,
    metadata: { ...trimMeta(metadata), ...(cost === undefined ? {} : { annotations: { [DELETION_COST]: cost } }) },
    spec: { containers: trimContainers(spec?.containers) },
  };
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  if (sidecars.length > 0) trimmed.spec!.initContainers = trimContainers(sidecars);
  if (status === undefined) return trimmed;
  const { phase, reason, message, podIP, podIPs, conditions, containerStatuses, initContainerStatuses } = status;
  trimmed.status = { phase, podIP };
  const kept = trimmed.status;
  if (reason !== undefined) kept.reason = reason;
  if (message !== undefined) kept.message = cut(message);
  if (podIPs !== undefined && podIPs.length > 0) kept.podIPs = podIPs.map(({ ip }) => ({ ip }));
  if (conditions !== undefined) kept.conditions = trimConditions(conditions, ['Ready', 'PodScheduled']);
  if (containerStatuses !== undefined) kept.containerStatuses = containerStatuses.map(trimStatus);
  if (initContainerStatuses !== undefined) kept.initContainerStatuses = initContainerStatuses.map(trimStatus);
  return trimmed;
}

/** For the informers of targets. */
export function trimWorkload(workload: Workload): Workload {
  const { apiVersion, kind, metadata, spec, status } = workload;
  const trimmed: Workload = { apiVersion, kind, metadata: trimMeta(metadata), spec: {} };
  if (typeof spec?.replicas === 'number') trimmed.spec!.replicas = spec.replicas;
  if (spec?.selector !== undefined) trimmed.spec!.selector = spec.selector;
  if (spec?.ordinals !== undefined) trimmed.spec!.ordinals = spec.ordinals;
  const conditions = Array.isArray(status?.conditions) ? trimConditions(status.conditions, ['ReplicaFailure']) : [];
  if (conditions.length > 0) trimmed.status = { conditions };
  return trimmed;
}

/** For the informer of Services, where nobody else needs more. */
export function trimService(service: Service): Service {
  const { apiVersion, kind, metadata, spec } = service;
  return { apiVersion, kind, metadata: trimMeta(metadata), spec: { ports: spec?.ports ?? [] } };
}

function trimMeta(metadata: ObjectMeta): ObjectMeta {
  const { name, namespace, uid, resourceVersion, generation, labels, creationTimestamp, deletionTimestamp } = metadata;
  const trimmed: ObjectMeta = { name, uid, resourceVersion };
  if (namespace !== undefined) trimmed.namespace = namespace;
  if (generation !== undefined) trimmed.generation = generation;
  if (labels !== undefined) trimmed.labels = labels;
  if (creationTimestamp !== undefined) trimmed.creationTimestamp = creationTimestamp;
  if (deletionTimestamp !== undefined) trimmed.deletionTimestamp = deletionTimestamp;
  const owners = metadata.ownerReferences?.filter(({ controller }) => controller === true);
  if (owners !== undefined && owners.length > 0) trimmed.ownerReferences = owners;
  return trimmed;
}

function trimContainers(containers: readonly Container[] = []): Container[] {
  return containers.map(({ name, restartPolicy, ports }) => {
    const trimmed: Container = { name };
    if (restartPolicy !== undefined) trimmed.restartPolicy = restartPolicy;
    if (ports !== undefined && ports.length > 0)
      trimmed.ports = ports.map((port) => ({
        name: port.name,
        containerPort: port.containerPort,
        protocol: port.protocol,
      }));
    return trimmed;
  });
}

function trimStatus({ name, ready, restartCount, state, lastState }: ContainerStatus): ContainerStatus {
  const trimmed: ContainerStatus = { name, ready, restartCount };
  if (state !== undefined) trimmed.state = trimState(state);
  if (lastState?.terminated !== undefined) trimmed.lastState = trimState({ terminated: lastState.terminated });
  return trimmed;
}

function trimState({ waiting, running, terminated }: ContainerState): ContainerState {
  if (running !== undefined) return { running: { startedAt: running.startedAt } };
  if (waiting !== undefined) return { waiting: { reason: waiting.reason, message: cut(waiting.message) } };
  if (terminated === undefined) return {};
  const { exitCode, reason, message } = terminated;
  return { terminated: { exitCode, reason, message: cut(message) } };
}

function trimConditions(conditions: readonly Condition[], types: readonly string[]): Condition[] {
  return conditions
    .filter(({ type }) => types.includes(type))
    .map((condition) => ({ ...condition, message: cut(condition.message) }));
}

function cut<Text extends string | undefined>(text: Text): Text {
  return (text === undefined ? text : text.slice(0, MAX_MESSAGE_CHARS)) as Text;
}
