import type { MetricFamily, MetricSeries } from '../../model/metrics.ts';
import { counter, gauge } from '../counters.ts';
import type { RawStreams } from './tcp-streams.ts';
import type { TunnelCounters } from './tunnel-counters.ts';

/** The families of tunnels: WebSockets and other upgrades by route, raw connections by listener or route. */
export function tunnelFamilies(upgrades: Iterable<TunnelCounters>, streams: RawStreams): MetricFamily[] {
  const open: MetricSeries[] = [];
  const opened: MetricSeries[] = [];
  const durations: MetricSeries[] = [];
  const bytes: MetricSeries[] = [];
  const timedOut: MetricSeries[] = [];
  for (const c of [...upgrades, ...streams.counters]) {
    const labels = { route: c.route, backend: c.backend, kind: c.kind };
    open.push({ labels, value: c.open });
    opened.push({ labels, value: c.opened });
    durations.push({ labels, histogram: c.duration.snapshot() });
    bytes.push({ labels: { ...labels, from: 'client' }, value: c.clientBytes });
    bytes.push({ labels: { ...labels, from: 'backend' }, value: c.upstreamBytes });
    timedOut.push({ labels, value: c.timedOut });
  }
  const refused = Array.from(streams.refused, ({ backend, reason, count }) => ({
    labels: { backend, reason },
    value: count,
  }));
  return [
    gauge('dormouse_tunnels_open', 'Open tunnels by what they are: websocket, upgrade (another protocol), tcp.', open),
    counter('dormouse_tunnels_opened_total', 'Tunnels that were opened.', opened),
    {
      name: 'dormouse_tunnel_duration_seconds',
      help: 'How long tunnels were open that have ended.',
      type: 'histogram',
      series: durations,
    },
    counter('dormouse_tunnel_bytes_total', 'Bytes that passed through tunnels, by where they came from.', bytes),
    counter(
      'dormouse_tunnels_timed_out_total',
      'Tunnels that the gateway closed because nothing passed, or because the client answered no ping.',
      timedOut,
    ),
    counter(
      'dormouse_raw_connections_refused_total',
      'Raw connections that were reset before they reached an endpoint, and why.',
      refused,
    ),
  ];
}
