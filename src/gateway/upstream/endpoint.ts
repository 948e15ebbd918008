import type { Endpoint } from '../../model/backend.ts';
import type { BalancedEndpoint } from '../balancing/strategy.ts';
import { EndpointRecord } from '../resilience/ejection.ts';
import type { UpstreamConnection, UpstreamOptions } from './connection.ts';
import type { SharedConnections } from './shared-connections.ts';

/**
 * One endpoint as this gateway sees it: its address, what is in flight on it and its pool of idle connections. Last in, first out, so that
 * a quiet backend keeps few connections warm and the rest run into their idle timeout.
 */
export class UpstreamEndpoint implements BalancedEndpoint {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** Its share of the traffic now: `fullWeight`, less while it starts slowly. */
  weight: number;
  fullWeight: number;
  /** Gets requests only while no other endpoint is usable. */
  backup: boolean;
  /** Monotonic ms at which its slow start began; -1: it has its full share. */
  slowSinceMs = -1;
  readonly record = new EndpointRecord();
  state: Endpoint['state'];
  /** Exchanges on it now; tunnels are in `tunnels`. */
  inFlight = 0;
  tunnels = 0;
  /** Connections that are open or being opened. */
  open = 0;
  /** Version of the update that asked to drain it; 0: not asked, or answered. */
  drainVersion = 0;
  /** Monotonic ms until which it gets nothing, after a failed connect; 0: not suspended. */
  suspendedUntilMs = 0;
  readonly idle: UpstreamConnection[] = [];
  /** Connections that carry many requests at once; null: none was needed yet, or the protocol has no such. */
  shared: SharedConnections | null = null;
  /**
   * How it is spoken to, where a reload has changed that for the endpoints that come: what it runs was started under the former configuration, and the
   * controller takes it away next. null: as its backend says.
   */
  formerOptions: UpstreamOptions | null = null;
  /** Gone from the controller's list: connections are not kept any more. */
  removed = false;

  constructor(endpoint: Endpoint) {
    this.id = endpoint.id;
    this.host = endpoint.host;
    this.port = endpoint.port;
    this.weight = endpoint.weight;
    this.fullWeight = endpoint.weight;
    this.backup = endpoint.backup === true;
    this.state = endpoint.state;
  }

  /** An idle connection that is younger than its timeouts, or null. */
  takeIdle(nowMs: number, maxIdleMs: number): UpstreamConnection | null {
    for (;;) {
      const connection = this.idle.pop();
      if (connection === undefined) return null;
      if (connection.usable && nowMs - connection.idleSinceMs < Math.min(maxIdleMs, connection.keepAliveHintMs))
        return connection;
      connection.destroy();
    }
  }

  closeIdle(): void {
    for (const connection of this.idle.splice(0)) connection.destroy();
    this.shared?.closeIdle();
  }
}
