/** The status of a Backend object from what the controller knows. Values that move all the time are rounded: a status is written when something has happened, not as a meter. */
import type { BackendStatus } from '../model/status.ts';
import type { BackendObjectStatus } from './backend-object.ts';

/** `causeText`: who woke it, in a few words. */
export function stateOf(
  backend: BackendStatus,
  causeText: (cause: NonNullable<BackendStatus['lastWoken']>['by']) => string,
): Omit<BackendObjectStatus, 'handover' | 'conditions' | 'observedGeneration'> {
  const { phase, sinceMs, why, instances, desired, demand, lastWoken, lastSleptMs } = backend;
  return {
    state: phase,
    since: time(sinceMs),
    why: why.slice(0, 1000),
    instances: instances.filter(({ state }) => state === 'ready').length,
    desired,
    demand: {
      concurrency: demand.concurrency.toFixed(1),
      requestsPerSecond: demand.requestsPerSecond.toFixed(1),
      inFlight: demand.inFlight,
      held: demand.held,
    },
    ...(lastWoken === null
      ? {}
      : {
          lastWoken: {
            at: time(lastWoken.atMs),
            by: causeText(lastWoken.by).slice(0, 300),
            tookSeconds: (lastWoken.tookMs / 1000).toFixed(3),
          },
        }),
    ...(lastSleptMs === 0 ? {} : { lastSlept: time(lastSleptMs) }),
  };
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
export function time(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}
