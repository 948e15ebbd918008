import type { MetricFamily } from '../model/metrics.ts';
import type { BusStats } from './event-bus.ts';

/** What /metrics shows of traffic events; `kind` is that of the bus in force. */
export function eventFamilies(kind: string, { up, kept, published, dropped }: BusStats): MetricFamily[] {
  return [
    {
      name: 'dormouse_events_published_total',
      help: 'Traffic events that the bus has taken.',
      type: 'counter',
      series: [{ labels: {}, value: published }],
    },
    {
      name: 'dormouse_events_dropped_total',
      help: 'Traffic events that nobody gets: the buffer was full, the bus refused them, dormouse ended before, or a worker saw too many.',
      type: 'counter',
      series: Object.entries(dropped).map(([reason, value]) => ({ labels: { reason }, value })),
    },
    {
      name: 'dormouse_events_buffered',
      help: 'Traffic events that the bus has not taken yet.',
      type: 'gauge',
      series: [{ labels: {}, value: kept }],
    },
    {
      name: 'dormouse_events_bus_up',
      help: '1 while the bus of traffic events takes them.',
      type: 'gauge',
      series: [{ labels: { bus: kind }, value: up ? 1 : 0 }],
    },
  ];
}
