/** The flow of a demo on this machine: its queue's figures, and what the dormouse beside it makes of them. */
import { join } from 'node:path';
import { ControlClient } from '../../apis/control/control-client.ts';
import type { BackendStatus } from '../../model/status.ts';
import type { DemoState } from './demo-state.ts';
import type { Flow, Stage } from './flow.ts';
import { flagsOf, followStats, readStats, type QueueStats } from './programs.ts';

/** The worker's name in the demo's configurations. */
export const WORKER = 'worker';
const EVERY_MS = 500;

export function queueFlags({ connection, queue }: DemoState): string[] {
  return flagsOf({ connection, queue });
}

/** Once. */
export async function localFlow(folder: string, demo: DemoState, signal: AbortSignal): Promise<Flow> {
  const client = new ControlClient({ stateDir: stateDirOf(folder) });
  const [stats, status] = await Promise.all([
    demo.source === 'cron' ? null : readStats(queueFlags(demo), signal),
    client.status({ signal }),
  ]);
  return flowOf(demo, stats, status.backends.find(({ name }) => name === WORKER) ?? null);
}

/** Twice a second until `signal` aborts, or the queue is gone. */
export async function* followLocalFlow(folder: string, demo: DemoState, signal: AbortSignal): AsyncGenerator<Flow> {
  const client = new ControlClient({ stateDir: stateDirOf(folder) });
  for await (const stats of demo.source === 'cron' ? ticks(signal) : followStats(queueFlags(demo), EVERY_MS, signal)) {
    const status = await client.status({ signal });
    yield flowOf(demo, stats, status.backends.find(({ name }) => name === WORKER) ?? null);
  }
}

async function* ticks(signal: AbortSignal): AsyncGenerator<null> {
  const { setTimeout: sleep } = await import('node:timers/promises');
  while (!signal.aborted) {
    yield null;
    await sleep(EVERY_MS, undefined, { signal }).catch(() => {});
  }
}

export function stateDirOf(folder: string): string {
  return join(folder, 'dormouse');
}

const KINDS = {
  list: { source: 'Redis list', trigger: 'redis-list' },
  stream: { source: 'JetStream', trigger: 'nats-jetstream' },
  cron: { source: 'schedule', trigger: 'cron' },
} as const;

function flowOf(demo: DemoState, stats: QueueStats | null, worker: BackendStatus | null): Flow {
  const kind = KINDS[demo.source];
  const trigger = worker?.triggers?.find(({ type }) => type === kind.trigger);
  const metric = trigger?.metric ?? null;
  const ready = worker?.instances.filter(({ state }) => state === 'ready').length ?? null;
  const stages: Stage[] = [
    stats === null
      ? { title: 'event source', what: kind.source, value: metric?.value ?? null, unit: 'wanted now', details: [] }
      : {
          title: 'event source',
          what: `${kind.source} ${demo.queue}`,
          value: stats.depth,
          unit: 'wait',
          details: [`${stats.inFlight} in flight`],
        },
    {
      title: 'scaler',
      what: `trigger ${kind.trigger}`,
      value: metric?.value ?? null,
      unit: demo.source === 'cron' ? 'instances' : 'wait or in flight',
      details: metric === null ? [] : [`${metric.target} for each worker`],
    },
    {
      title: 'metric',
      what: 'value / target',
      value: metric === null ? null : metric.value / metric.target,
      unit: 'workers',
      details: metric === null ? [] : [metric.active ? 'active' : 'not active'],
    },
    {
      title: 'autoscaler',
      what: 'dormouse',
      value: worker?.desired ?? null,
      unit: 'desired',
      details: worker === null ? [] : [`${worker.min} to ${worker.max}`],
    },
    {
      title: 'instances',
      what: 'processes',
      value: ready,
      unit: 'ready',
      details: worker === null ? [] : [worker.phase],
    },
  ];
  const problems = worker === null ? ['the backend worker is not in the configuration'] : [];
  if (worker?.crash != null) problems.push(worker.crash.reason);
  if (trigger?.trouble != null) problems.push(`trigger ${trigger.name}: ${trigger.trouble.reason}`);
  return { place: 'on this machine', atMs: Date.now(), stages, stats, problems };
}
