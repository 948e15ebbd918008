import { DurationHistogram } from '../duration-histogram.ts';

export type TunnelKind = 'websocket' | 'upgrade' | 'tcp';

/** Upper bounds in seconds: tunnels live for hours. */
export const TUNNEL_BOUNDS_SECONDS: readonly number[] = [0.1, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400];

/** What is counted for the tunnels of one kind between a route (or a listener) and a backend. */
export class TunnelCounters {
  open = 0;
  opened = 0;
  readonly duration = new DurationHistogram(TUNNEL_BOUNDS_SECONDS);
  /** From clients, and from endpoints; counted while they pass. */
  clientBytes = 0;
  upstreamBytes = 0;
  /** Closed by the gateway because nothing passed, or nobody answered a ping. */
  timedOut = 0;
  readonly kind: TunnelKind;
  /** Name of the route; of the listener for raw connections. */
  readonly route: string;
  readonly backend: string;

  constructor(kind: TunnelKind, route: string, backend: string) {
    this.kind = kind;
    this.route = route;
    this.backend = backend;
  }
}
