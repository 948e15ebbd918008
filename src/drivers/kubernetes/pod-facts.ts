/** What a pod says of itself. Pure. */
import type { ContainerStatus, Condition, Pod, ServicePort } from './objects.ts';

/** The same for every operator, and never that of a later pod of the same name. */
export function instanceId({ metadata }: Pod): string {
  return `${metadata.name}~${metadata.uid.slice(0, 8)}`;
}

export function hasEnded({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

export function isTerminating({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined;
}

export function condition(pod: Pod, type: string): Condition | undefined {
  return pod.status?.conditions?.find((one) => one.type === type);
}

export function isReady(pod: Pod): boolean {
  return condition(pod, 'Ready')?.status === 'True';
}

/** The first of its addresses; null while it has none. */
export function hostOf({ status }: Pod): string | null {
  return status?.podIP || status?.podIPs?.[0]?.ip || null;
}

/**
 * Where the pod listens for each port of the Service, by the port's name ('' for one without). Named target ports are looked up in this pod, as they
 * may differ between pods. Only TCP. Ports that this pod does not have are left out, as the Service leaves them out.
 */
export function portsOf(pod: Pod, ports: readonly ServicePort[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { name = '', port, protocol = 'TCP', targetPort = port } of ports) {
    if (protocol !== 'TCP') continue;
    const number = typeof targetPort === 'number' ? targetPort : namedPort(pod, targetPort);
    if (number !== null) found.set(name, number);
  }
  return found;
}

function namedPort({ spec }: Pod, name: string): number | null {
  for (const container of [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])]) {
    const port = container.ports?.find((one) => one.name === name && (one.protocol ?? 'TCP') === 'TCP');
    if (port !== undefined) return port.containerPort;
  }
  return null;
}

/** How often its containers were started again, all together. */
export function restarts({ status }: Pod): number {
  return (status?.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0);
}

/**
 * Whether a pod that isn't Ready was so before: its condition changed after its containers were started. At the resolution of a second, which is that of
 * Kubernetes' times.
 */
export function wasReady(pod: Pod): boolean {
  const ready = condition(pod, 'Ready');
  if (ready?.status !== 'False' || ready.lastTransitionTime === undefined) return false;
  const started = (pod.status?.containerStatuses ?? []).map(({ state }) => Date.parse(state?.running?.startedAt ?? ''));
  return started.length > 0 && started.every((atMs) => Date.parse(ready.lastTransitionTime!) > atMs);
}

/** Why it is not Ready, one sentence without the pod's name. */
export function notReadyReason(pod: Pod): string {
  const trouble = containerTrouble(pod);
  if (trouble !== null) return trouble;
  const ready = condition(pod, 'Ready');
  if (ready?.message) return `is not ready: ${ready.message}`;
  return ready?.reason ? `is not ready (${ready.reason})` : 'is not ready';
}

/** Reasons of a waiting container that do not pass by themselves in a moment. */
const TROUBLE = new Set([
  'CrashLoopBackOff',
  'ImagePullBackOff',
  'ErrImagePull',
  'ErrImageNeverPull',
  'ImageInspectError',
  'InvalidImageName',
  'RegistryUnavailable',
  'SignatureValidationFailed',
  'CreateContainerConfigError',
  'CreateContainerError',
  'CreatePodSandboxError',
  'RunContainerError',
  'PostStartHookError',
  'PreCreateHookError',
  'PreStartHookError',
]);

/** What visibly keeps it from starting: one clause after "pod NAME", null when nothing does. A container that runs (again) is given its time. */
export function startTrouble(pod: Pod): string | null {
  const scheduled = condition(pod, 'PodScheduled');
  if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable')
    return `can't be scheduled: ${scheduled.message || 'no node takes it'}`;
  return containerTrouble(pod);
}

function containerTrouble({ status }: Pod): string | null {
  for (const container of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
    const trouble = troubleOf(container);
    if (trouble !== null) return trouble;
  }
  return null;
}

function troubleOf({ name, state, lastState, restartCount }: ContainerStatus): string | null {
  const waiting = state?.waiting;
  const ended = state?.terminated ?? lastState?.terminated;
  if (waiting?.reason !== undefined && TROUBLE.has(waiting.reason)) {
    if (waiting.reason !== 'CrashLoopBackOff' || ended === undefined)
      return `can't start container ${name} (${waiting.reason})${waiting.message ? `: ${waiting.message}` : ''}`;
    return `${endWords(name, ended)}, ${restartCount + 1} times so far (CrashLoopBackOff)`;
  }
  const now = state?.terminated;
  return now !== undefined && now.exitCode !== 0 ? endWords(name, now) : null;
}

function endWords(name: string, { exitCode, reason }: { exitCode: number; reason?: string }): string {
  const why = reason === undefined || reason === 'Error' || reason === 'Completed' ? '' : ` (${reason})`;
  return `container ${name} ended with exit code ${exitCode}${why}`;
}
