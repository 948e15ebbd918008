/** What this process costs, as metrics. One family per figure, with the process's role as a label, so that a worker's and the supervisor's stay apart. */
import { readdirSync } from 'node:fs';
import type { MetricFamily } from '../model/metrics.ts';

export interface ProcessMetricsOptions {
  version: string;
  /** `supervisor` or `worker`; workers are added up. */
  role: string;
  /** Wall clock ms. */
  startedAtMs: number;
}

export function processMetrics(options: ProcessMetricsOptions): MetricFamily[] {
  const labels = { role: options.role };
  const cpu = process.cpuUsage();
  const families: MetricFamily[] = [
    {
      name: 'dormouse_process_resident_memory_bytes',
      help: 'Resident memory of dormouse itself.',
      type: 'gauge',
      series: [{ labels, value: process.memoryUsage.rss() }],
    },
    {
      name: 'dormouse_process_cpu_seconds_total',
      help: 'User and system CPU time of dormouse itself.',
      type: 'counter',
      series: [{ labels, value: (cpu.user + cpu.system) / 1e6 }],
    },
  ];
  if (options.role === 'supervisor') {
    families.push(
      {
        name: 'dormouse_process_start_time_seconds',
        help: 'When the supervisor was started, in seconds since the epoch.',
        type: 'gauge',
        series: [{ labels, value: options.startedAtMs / 1000 }],
      },
      {
        name: 'dormouse_build_info',
        help: 'Always 1; the labels say what runs.',
        type: 'gauge',
        series: [{ labels: { version: options.version, node: process.versions.node }, value: 1 }],
      },
    );
  }
  const open = openDescriptors();
  if (open !== null) {
    families.push({
      name: 'dormouse_process_open_fds',
      help: 'Open file descriptors of dormouse itself.',
      type: 'gauge',
      series: [{ labels, value: open }],
    });
  }
  return families;
}

/** null where there is no /proc. */
function openDescriptors(): number | null {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return null;
  }
}
