import type { MetricFamily, MetricSeries } from '../model/metrics.ts';
import type { GatewayBackend } from './backend.ts';
import { counter, gauge, routeFamilies } from './counters.ts';
import type { GatewayCounters } from './counters.ts';
import type { GatewayListener } from './listener.ts';
import { resilienceFamilies } from './resilience/resilience-families.ts';
import type { Runtime } from './runtime.ts';

/** By number (RFC 9113 7); http2/ itself is loaded with the first connection that needs it. */
const HTTP2_ERRORS: Readonly<Record<number, string>> = Object.freeze({
  1: 'PROTOCOL_ERROR',
  3: 'FLOW_CONTROL_ERROR',
  5: 'STREAM_CLOSED',
  6: 'FRAME_SIZE_ERROR',
  9: 'COMPRESSION_ERROR',
  11: 'ENHANCE_YOUR_CALM',
});

/** Everything that one gateway counts. Series of backends on which nothing ever happened are left out; labels are bounded by the configuration. */
export function gatewayFamilies(
  counters: GatewayCounters,
  runtime: Runtime,
  backends: ReadonlyMap<string, GatewayBackend>,
  listeners: Iterable<GatewayListener>,
): MetricFamily[] {
  const held: MetricSeries[] = [];
  const heldBytes: MetricSeries[] = [];
  const holdDuration: MetricSeries[] = [];
  const holdsRefused: MetricSeries[] = [];
  const inFlight: MetricSeries[] = [];
  const tunnels: MetricSeries[] = [];
  const connects: MetricSeries[] = [];
  const upstreamConnections: MetricSeries[] = [];
  const connectDuration: MetricSeries[] = [];
  const firstByteDuration: MetricSeries[] = [];
  for (const backend of backends.values()) {
    const labels = { backend: backend.name };
    const used = backend.meter.lastActivityMs >= 0;
    if (!used) continue;
    held.push({ labels, value: backend.queue.size });
    heldBytes.push({ labels, value: backend.queue.bytes });
    inFlight.push({ labels, value: backend.meter.active - backend.queue.size });
    tunnels.push({ labels, value: backend.meter.tunnels });
    if (backend.holdDuration.count > 0) holdDuration.push({ labels, histogram: backend.holdDuration.snapshot() });
    holdsRefused.push({ labels: { ...labels, reason: 'full' }, value: backend.holdsRefused });
    holdsRefused.push({ labels: { ...labels, reason: 'timeout' }, value: backend.holdsExpired });
    connects.push({ labels: { ...labels, result: 'failed' }, value: backend.connectFailures });
    connects.push({ labels: { ...labels, result: 'tried' }, value: backend.connects });
    let open = 0;
    let idle = 0;
    for (const endpoint of backend.endpoints.values()) {
      open += endpoint.open;
      idle += endpoint.idle.length;
      if (endpoint.shared !== null) idle += endpoint.shared.idle;
    }
    upstreamConnections.push({ labels: { ...labels, state: 'busy' }, value: open - idle });
    upstreamConnections.push({ labels: { ...labels, state: 'idle' }, value: idle });
    if (backend.connectDuration.count > 0)
      connectDuration.push({ labels, histogram: backend.connectDuration.snapshot() });
    if (backend.firstByteDuration.count > 0)
      firstByteDuration.push({ labels, histogram: backend.firstByteDuration.snapshot() });
  }
  const connections: MetricSeries[] = [];
  for (const listener of listeners)
    connections.push({ labels: { listener: listener.config.name }, value: listener.connections.size });
  const refused = Array.from(counters.refused, ([route, byStatus]) =>
    Array.from(byStatus, ([status, value]) => ({ labels: { route, status: String(status) }, value })),
  ).flat();
  const http2Failures = Array.from(counters.http2Failures, ([code, value]) => ({
    labels: { error: HTTP2_ERRORS[code] ?? String(code) },
    value,
  }));
  return [
    ...routeFamilies(runtime.routeCounters),
    ...resilienceFamilies(backends.values()),
    gauge('dormouse_held_requests', 'Requests that wait for their backend.', held),
    gauge('dormouse_held_bytes', 'Bytes that waiting requests keep in memory.', heldBytes),
    gauge('dormouse_requests_in_flight', 'Requests that are with an endpoint.', inFlight),
    gauge('dormouse_tunnels', 'Open tunnels (WebSocket and other upgrades).', tunnels),
    {
      name: 'dormouse_hold_duration_seconds',
      help: 'How long requests waited that were then sent on.',
      type: 'histogram',
      series: holdDuration,
    },
    counter(
      'dormouse_holds_refused_total',
      'Requests that could not wait (full) or waited in vain (timeout).',
      holdsRefused,
    ),
    counter(
      'dormouse_upstream_connects_total',
      'Connections to endpoints that were tried, and those that failed.',
      connects,
    ),
    gauge(
      'dormouse_upstream_connections',
      'Open connections to endpoints: busy ones are being opened or have requests.',
      upstreamConnections,
    ),
    {
      name: 'dormouse_upstream_connect_duration_seconds',
      help: 'How long connections to endpoints took to be made, TLS included.',
      type: 'histogram',
      series: connectDuration,
    },
    {
      name: 'dormouse_upstream_first_byte_duration_seconds',
      help: 'From the sending of a request to an endpoint to the head of its response.',
      type: 'histogram',
      series: firstByteDuration,
    },
    gauge('dormouse_client_connections', 'Open connections of clients.', connections),
    counter('dormouse_client_connections_total', 'Connections of clients that were accepted.', [
      { labels: {}, value: counters.connections },
    ]),
    counter(
      'dormouse_client_connections_refused_total',
      'Connections of clients that were closed before their first request, by reason.',
      Object.entries(counters.connectionsRefused).map(([reason, value]) => ({ labels: { reason }, value })),
    ),
    counter(
      'dormouse_tls_handshakes_total',
      'TLS handshakes of clients, by how they ended.',
      Object.entries(counters.handshakes).map(([result, value]) => ({ labels: { result }, value })),
    ),
    counter(
      'dormouse_requests_refused_total',
      'Requests that were answered before a backend was chosen, by route and status.',
      refused,
    ),
    counter('dormouse_filter_failures_total', 'Filters that failed; the request was answered 500.', [
      { labels: {}, value: counters.filterFailures },
    ]),
    gauge('dormouse_http2_connections', 'Open HTTP/2 connections of clients.', [
      { labels: {}, value: counters.http2Connections },
    ]),
    counter('dormouse_http2_connections_total', 'HTTP/2 connections of clients that were opened.', [
      { labels: {}, value: counters.http2ConnectionsOpened },
    ]),
    counter(
      'dormouse_http2_resets_total',
      'Requests of HTTP/2 clients that were cut off, by whom.',
      Object.entries(counters.http2Resets).map(([by, value]) => ({ labels: { by }, value })),
    ),
    counter(
      'dormouse_http2_connections_failed_total',
      'HTTP/2 connections of clients that were ended because of what the client did, by error code.',
      http2Failures,
    ),
  ];
}
