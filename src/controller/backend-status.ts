/** What `dormouse status` shows of one backend, and what a scrape reads of it. */
import { addressText } from '../model/address-text.ts';
import type { TriggerDemand } from '../model/demand.ts';
import type { BackendStatus, InstanceStatus, TriggerStatus } from '../model/status.ts';
import { span } from '../autoscaling/index.ts';
import type { BackendController } from './backend-controller.ts';
import type { BackendReading } from './metrics.ts';
import type { Now } from './demand-sum.ts';

export function backendStatus(backend: BackendController, { nowMs, wallMs }: Now): BackendStatus {
  const { config, demand } = backend;
  const window = backend.shortWindowMs;
  const { awakeBecause, sleepsAtMs } = awake(backend, nowMs, wallMs);
  const instances = backend.fleet.members().map(({ instance, state }): InstanceStatus => {
    return {
      id: instance.id,
      state,
      address: instance.address === null ? '' : addressText(instance.address),
      pid: instance.pid,
      sinceMs: instance.readyAtMs || instance.startedAtMs,
      reason: instance.reason,
      ejectedBy: 0,
    };
  });
  return {
    name: backend.name,
    driver: backend.driverKind,
    phase: backend.phase,
    sinceMs: backend.sinceWallMs,
    why: backend.why,
    awakeBecause,
    sleepsAtMs,
    ...(backend.pinnedUntilMs === 0 ? {} : { awakeUntilMs: backend.pinnedUntilMs }),
    lastWoken: backend.waking.lastWoken,
    lastSleptMs: backend.fallingAsleep.lastSleptMs,
    wakes: backend.counters.wakes,
    instances,
    min: config.scale.min,
    max: config.scale.max,
    desired: backend.driverKind === 'static' ? instances.length : backend.fleet.target,
    demand: {
      concurrency: demand.concurrency(nowMs, window),
      requestsPerSecond: demand.requestsPerSecond(nowMs, window),
      inFlight: demand.inFlight,
      held: demand.held,
      tunnels: demand.tunnels,
    },
    lastActivityMs: demand.lastActivityWallMs,
    crash: backend.crash,
    breaker: config.breaker === null ? null : { closed: 0, halfOpen: 0, open: 0 },
    ...(config.scale.jobs === null ? {} : { runs: backend.runs.status() }),
    ...(backend.triggers === null ? {} : { triggers: triggerStatuses(backend.triggers) }),
    ...formulaStatus(backend),
  };
}

function formulaStatus({ config, asked }: BackendController): Pick<BackendStatus, 'formula'> {
  const { formula } = asked;
  if (config.scale.formula === null || formula === null) return {};
  const fault = formula.value === null ? formula.fault : null;
  return { formula: { text: config.scale.formula.text, value: formula.value, fault } };
}

function triggerStatuses({ metrics, troubles }: TriggerDemand): TriggerStatus[] {
  const silent = troubles.filter(({ name }) => !metrics.some((metric) => metric.name === name));
  return [
    ...metrics.map((metric) => ({
      name: metric.name,
      type: metric.type,
      metric,
      trouble: troubles.find(({ name }) => name === metric.name) ?? null,
    })),
    ...silent.map((trouble) => ({ name: trouble.name, type: trouble.type, metric: null, trouble })),
  ];
}

export function backendReading(backend: BackendController): BackendReading {
  const instances = new Map<string, number>();
  for (const { state } of backend.fleet.members()) instances.set(state, (instances.get(state) ?? 0) + 1);
  return {
    name: backend.name,
    phase: backend.phase,
    desired: backend.driverKind === 'static' ? backend.fleet.members().length : backend.fleet.target,
    instances,
    counters: backend.counters,
    runs: backend.config.scale.jobs === null ? null : backend.runs.status(),
  };
}

function awake(
  backend: BackendController,
  nowMs: number,
  wallMs: number,
): { awakeBecause: string[]; sleepsAtMs: number } {
  if (backend.phase !== 'awake') return { awakeBecause: [], sleepsAtMs: 0 };
  if (backend.driverKind === 'static') return { awakeBecause: ['its servers are run by somebody else'], sleepsAtMs: 0 };
  const idle = backend.idle();
  const awakeBecause: string[] = [];
  const { min } = backend.config.scale;
  if (min > 0) awakeBecause.push(`scale.min is ${min}`);
  if (idle.decision === 'stay') awakeBecause.push(...idle.because);
  if (idle.decision !== 'wait') return { awakeBecause, sleepsAtMs: 0 };
  const leftMs = idle.atMs - nowMs;
  if (min > 0) return { awakeBecause, sleepsAtMs: 0 };
  awakeBecause.push(`${idle.reason}; it sleeps in ${span(leftMs)}`);
  return { awakeBecause, sleepsAtMs: wallMs + Math.ceil(leftMs) };
}
