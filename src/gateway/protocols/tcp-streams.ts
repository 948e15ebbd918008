import type { GatewayConfig } from '../../link/messages.ts';
import type { RandomSource } from '../../model/ports.ts';
import type { Outcome } from '../answers.ts';
import type { GatewayBackend } from '../backend.ts';
import type { OpenConnection, ProtocolHandlers } from '../open-connection.ts';
import type { StreamConnection } from './tcp.ts';
import { TunnelCounters } from './tunnel-counters.ts';

export interface RawStreamsDeps {
  backend(name: string): GatewayBackend | undefined;
  random: RandomSource;
}

/** The raw connections of a gateway: takes them from `tcp` and `tls` listeners, and counts. */
export class RawStreams {
  private readonly deps: RawStreamsDeps;
  private readonly kept = new Map<string, TunnelCounters>();
  private connection: typeof StreamConnection | null = null;
  private readonly refusals = new Map<string, { backend: string; reason: Outcome; count: number }>();

  constructor(deps: RawStreamsDeps) {
    this.deps = deps;
  }

  /** To be awaited before a listener needs it: what only raw connections need is loaded then. */
  async load(): Promise<void> {
    this.connection ??= (await import('./tcp.ts')).StreamConnection;
  }

  /** What is counted for tunnels, by listener (or route) and backend. */
  get counters(): Iterable<TunnelCounters> {
    return this.kept.values();
  }

  /** Connections that ended before they reached an endpoint. */
  get refused(): Iterable<{ backend: string; reason: Outcome; count: number }> {
    return this.refusals.values();
  }

  /** A configuration came into force: what it doesn't name is not counted any more. */
  configured(config: GatewayConfig): void {
    const names = new Set([...config.listeners, ...config.routes].map(({ name }) => name));
    const backends = new Set(config.backends.map(({ name }) => name));
    for (const [key, { route, backend }] of this.kept)
      if (!names.has(route) || !backends.has(backend)) this.kept.delete(key);
    for (const [key, { backend }] of this.refusals) if (!backends.has(backend)) this.refusals.delete(key);
  }

  readonly open: NonNullable<ProtocolHandlers['openStream']> = (socket, listener, info, backendName, route) => {
    const backend = this.deps.backend(backendName);
    if (backend === undefined) {
      // A reload took it away a moment ago.
      const gone: OpenConnection = {
        idle: true,
        deadlineMs: Number.POSITIVE_INFINITY,
        onDeadline() {},
        checkProgress() {},
        finish() {},
        destroy() {},
      };
      socket.on('close', () => listener.onConnectionClosed(gone));
      socket.resetAndDestroy();
      return gone;
    }
    return new this.connection!(socket, {
      listener,
      info,
      backend,
      route,
      counters: this.countersOf(route === '' ? listener.config.name : route, backendName),
      random: this.deps.random,
      refused: (reason) => this.countRefusal(backendName, reason),
    });
  };

  private countersOf(route: string, backend: string): TunnelCounters {
    const key = `${route}\n${backend}`;
    let counters = this.kept.get(key);
    if (counters === undefined) {
      counters = new TunnelCounters('tcp', route, backend);
      this.kept.set(key, counters);
    }
    return counters;
  }

  private countRefusal(backend: string, reason: Outcome): void {
    const key = `${backend}\n${reason}`;
    const known = this.refusals.get(key);
    if (known === undefined) this.refusals.set(key, { backend, reason, count: 1 });
    else known.count++;
  }
}
