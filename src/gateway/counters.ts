import { DurationHistogram } from './duration-histogram.ts';
import { TunnelCounters } from './protocols/tunnel-counters.ts';
import type { TunnelKind } from './protocols/tunnel-counters.ts';
import type { MetricFamily, MetricSeries } from '../model/metrics.ts';

export { DurationHistogram };

/** What is counted for each pair of route and backend. Index of `codes`: status class 1 to 5; 0: no status was sent. */
export class RouteCounters {
  readonly codes = new Float64Array(6);
  readonly duration = new DurationHistogram();
  requestBytes = 0;
  responseBytes = 0;
  /** Of EndedRequests: what was noted and not told yet. */
  ended: number[] | null = null;
  readonly route: string;
  readonly backend: string;
  /** By kind; made when the first one is opened. */
  readonly tunnels = new Map<TunnelKind, TunnelCounters>();

  constructor(route: string, backend: string) {
    this.route = route;
    this.backend = backend;
  }

  tunnel(kind: TunnelKind): TunnelCounters {
    let counters = this.tunnels.get(kind);
    if (counters === undefined) this.tunnels.set(kind, (counters = new TunnelCounters(kind, this.route, this.backend)));
    return counters;
  }
}

/** Why a connection was closed before its first request. */
export type ConnectionRefusal = 'limit' | 'clients' | 'proxy-header' | 'client-hello' | 'no-route';

/** Routes, those of former configurations too, whose refusals are counted apart. */
const MOST_ROUTES = 10_000;

/** What is counted once a gateway. */
export class GatewayCounters {
  connections = 0;
  readonly connectionsRefused: Record<ConnectionRefusal, number> = {
    limit: 0,
    clients: 0,
    'proxy-header': 0,
    'client-hello': 0,
    'no-route': 0,
  };
  /** TLS handshakes of clients, by how they ended. */
  readonly handshakes = { full: 0, resumed: 0, failed: 0, client_certificate: 0, timeout: 0, aborted: 0 };
  /** Connections of HTTP/2 clients that were ended by an error, by its code (RFC 9113 7). Bounded: only our own codes come here. */
  readonly http2Failures = new Map<number, number>();
  /** Filters that threw, or whose promise was rejected. */
  filterFailures = 0;
  /** Open HTTP/2 connections of clients, and those that were ever opened. */
  http2Connections = 0;
  http2ConnectionsOpened = 0;
  /** Requests of HTTP/2 clients that were cut off: by the client, or by us. */
  readonly http2Resets = { client: 0, gateway: 0 };
  /** Requests that were answered before a backend was chosen, by route ('': none matched) and status. Bounded: only our own statuses come here. */
  readonly refused = new Map<string, Map<number, number>>();

  refuseConnection(reason: ConnectionRefusal): void {
    this.connectionsRefused[reason]++;
  }

  http2Failed(code: number): void {
    this.http2Failures.set(code, (this.http2Failures.get(code) ?? 0) + 1);
  }

  refuse(status: number, route = ''): void {
    let byStatus = this.refused.get(route);
    if (byStatus === undefined) {
      // Names of routes change with reloads only, but a program may be reloaded for years.
      if (this.refused.size >= MOST_ROUTES) route = '';
      byStatus = this.refused.get(route) ?? new Map<number, number>();
      this.refused.set(route, byStatus);
    }
    byStatus.set(status, (byStatus.get(status) ?? 0) + 1);
  }
}

export function counter(name: string, help: string, series: MetricSeries[]): MetricFamily {
  return { name, help, type: 'counter', series };
}

export function gauge(name: string, help: string, series: MetricSeries[]): MetricFamily {
  return { name, help, type: 'gauge', series };
}

/** The families of all route counters; routes without a request are left out. */
export function routeFamilies(all: Iterable<RouteCounters>): MetricFamily[] {
  const requests: MetricSeries[] = [];
  const durations: MetricSeries[] = [];
  const received: MetricSeries[] = [];
  const sent: MetricSeries[] = [];
  for (const c of all) {
    const labels = { route: c.route, backend: c.backend };
    let any = false;
    for (let i = 0; i < 6; i++) {
      if (c.codes[i] === 0) continue;
      any = true;
      requests.push({ labels: { ...labels, code_class: i === 0 ? 'none' : `${i}xx` }, value: c.codes[i]! });
    }
    if (!any) continue;
    durations.push({ labels, histogram: c.duration.snapshot() });
    received.push({ labels, value: c.requestBytes });
    sent.push({ labels, value: c.responseBytes });
  }
  return [
    counter(
      'dormouse_requests_total',
      'Requests that ended, by status class of what the client got; none: it got nothing.',
      requests,
    ),
    {
      name: 'dormouse_request_duration_seconds',
      help: 'From the first byte of the request to the last byte of the response, holds included.',
      type: 'histogram',
      series: durations,
    },
    counter('dormouse_request_body_bytes_total', 'Bytes of request bodies received from clients.', received),
    counter('dormouse_response_body_bytes_total', 'Bytes of response bodies sent to clients.', sent),
  ];
}
