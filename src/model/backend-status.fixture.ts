import type { BackendStatus } from './status.ts';

/** Of a backend that sleeps. */
export function backendStatus(over: Partial<BackendStatus> = {}): BackendStatus {
  return {
    name: 'shop',
    driver: 'process',
    phase: 'asleep',
    sinceMs: Date.now() - 65_000,
    why: 'idle for 60 s',
    awakeBecause: [],
    sleepsAtMs: 0,
    lastWoken: null,
    lastSleptMs: 0,
    wakes: 0,
    instances: [],
    min: 0,
    max: 4,
    desired: 0,
    demand: { concurrency: 0, requestsPerSecond: 0, inFlight: 0, held: 0, tunnels: 0 },
    lastActivityMs: 0,
    crash: null,
    breaker: null,
    ...over,
  };
}
