/** Servers that somebody else runs: always there, never scaled, watched when health checks are configured. */
import type { BackendConfig, StaticServer } from '../../model/config.ts';
import type { Clock, RandomSource } from '../../model/ports.ts';
import type { Driver, DriverEvents, Instance } from '../driver.ts';
import { HealthCheck } from '../probe/health-check.ts';
import { speechOf } from '../probe/speech.ts';

export interface StaticDriverDeps {
  clock: Clock;
  random: RandomSource;
  nextNumber(): number;
}

export class StaticDriver implements Driver {
  readonly kind = 'static';
  readonly canScale = false;
  readonly #events: DriverEvents;
  readonly #deps: StaticDriverDeps;
  readonly #servers = new Map<string, { instance: Instance; check: HealthCheck | null }>();
  #closed = false;

  /** Tells its instances by events in a microtask, so that the caller has the driver by then. */
  constructor(backend: BackendConfig, servers: readonly StaticServer[], events: DriverEvents, deps: StaticDriverDeps) {
    this.#events = events;
    this.#deps = deps;
    for (const server of servers) this.#add(backend, server);
    queueMicrotask(() => {
      for (const { instance, check } of this.#servers.values()) {
        if (this.#closed) return;
        this.#events.instance({ ...instance });
        check?.start();
      }
    });
  }

  instances(): readonly Instance[] {
    return [...this.#servers.values()].map(({ instance }) => ({ ...instance }));
  }

  crash(): null {
    return null;
  }

  scaleUp(): void {}

  cancelStarts(): void {}

  async retire(): Promise<void> {}

  suspect(id: string): void {
    this.#servers.get(id)?.check?.suspect();
  }

  logs(): [] {
    return [];
  }

  onLog(): () => void {
    return () => {};
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const { instance, check } of this.#servers.values()) {
      check?.stop();
      this.#events.instance({ ...instance, state: 'gone', reason: 'taken out of the configuration, or dormouse ends' });
    }
    this.#servers.clear();
  }

  #add(backend: BackendConfig, server: StaticServer): void {
    const nowMs = this.#deps.clock.wallMs();
    const instance: Instance = {
      id: `${backend.name}-${this.#deps.nextNumber()}`,
      state: 'ready',
      address: { host: server.host, port: server.port },
      weight: server.weight,
      ...(server.backup ? { backup: true } : {}),
      pid: null,
      startedAtMs: 0,
      readyAtMs: nowMs,
      reason: '',
    };
    const check =
      backend.health === null
        ? null
        : new HealthCheck({
            target: { host: server.host, port: server.port },
            speech: speechOf(backend),
            config: backend.health,
            when: 'always',
            decideAtOnce: true,
            random: this.#deps.random,
            changed: (healthy, reason) => {
              instance.state = healthy ? 'ready' : 'unhealthy';
              instance.reason = reason;
              if (healthy) instance.readyAtMs = this.#deps.clock.wallMs();
              this.#events.instance({ ...instance });
            },
          });
    this.#servers.set(instance.id, { instance, check });
  }
}
