/** What /metrics shows of the program itself, beside what controller and gateways count. */
import type { GatewayStatus } from '../link/messages.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { WorkerStatus } from '../model/status.ts';

export function workerFamilies(
  workers: readonly WorkerStatus[],
  gateways: ReadonlyMap<string, GatewayStatus>,
): MetricFamily[] {
  const states = { starting: 0, running: 0, draining: 0, gone: 0 };
  for (const worker of workers) states[worker.state]++;
  let restarts = 0;
  for (const worker of workers) if (worker.state !== 'draining') restarts += worker.restarts;
  let rssBytes = 0;
  for (const gateway of gateways.values()) rssBytes += gateway.rssBytes;
  return [
    {
      name: 'dormouse_workers',
      help: 'Worker processes by state.',
      type: 'gauge',
      series: (['starting', 'running', 'draining'] as const).map((state) => ({
        labels: { state },
        value: states[state],
      })),
    },
    {
      name: 'dormouse_worker_restarts_total',
      help: 'Workers that were replaced since the start.',
      type: 'counter',
      series: [{ labels: {}, value: restarts }],
    },
    {
      name: 'dormouse_process_resident_memory_bytes',
      help: 'Resident memory of dormouse itself.',
      type: 'gauge',
      series: [{ labels: { role: 'worker' }, value: rssBytes }],
    },
  ];
}

export function configFamilies(config: {
  version: number;
  appliedAtMs: number;
  lastError: string | null;
}): MetricFamily[] {
  return [
    {
      name: 'dormouse_config_last_reload_successful',
      help: '1 when the last reload was applied, 0 when it was refused and the former configuration stayed.',
      type: 'gauge',
      series: [{ labels: {}, value: config.lastError === null ? 1 : 0 }],
    },
    {
      name: 'dormouse_config_applied_timestamp_seconds',
      help: 'When the configuration in force was applied, in seconds since the epoch.',
      type: 'gauge',
      series: [{ labels: {}, value: config.appliedAtMs / 1000 }],
    },
  ];
}
