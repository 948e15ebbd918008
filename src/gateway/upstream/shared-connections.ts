import type { Upstream } from './upstream.ts';
import type { UpstreamOptions, UpstreamUser } from './connection.ts';
import type { UpstreamEndpoint } from './endpoint.ts';

/** A request on a connection that carries many at once. */
export interface SharedUpstream extends Upstream {
  /** It may be sent now; otherwise `onUpstreamConnected` says when. */
  readonly ready: boolean;
}

/** The connections to one endpoint whose protocol carries many requests on each (HTTP/2). */
export interface SharedConnections {
  /** Open connections without a request. */
  readonly idle: number;
  /** Begins a request, on a connection that has room or on a new one. Only while not `full`. */
  open(user: UpstreamUser, options: UpstreamOptions): SharedUpstream;
  /** No connection has room, and there may be no more of them. */
  isFull(maxConnections: number): boolean;
  /** Ends those without a request; the others when theirs are over. */
  closeIdle(): void;
  /** Called a few times a second: ends what is idle for too long or does not answer. */
  tick(nowMs: number, idleTimeoutMs: number): void;
}

/** `onConnect`: a connection is begun. */
export type SharedConnectionsFactory = (endpoint: UpstreamEndpoint, onConnect: () => void) => SharedConnections;
