import type { BackendConfig, BackendSource, Config, IdleConfig } from '../model/config.ts';

/** What link/messages.ts calls GatewayConfig: everything but how backends are run. */
export type GatewayShare = Omit<Config, 'backends' | 'stateDir' | 'observe' | 'admin' | 'shutdown'> & {
  shutdown: { drainMs: number };
  traceToken: string;
  backends: (Omit<BackendConfig, 'source' | 'health' | 'triggers' | 'idle' | 'ports'> & {
    driver: BackendSource['driver'];
    idle: Pick<IdleConfig, 'webSockets'>;
  })[];
};

/** The part of the configuration that gateways are told: no commands, no environment. `traceToken`: see GatewayConfig; '' for none. */
export function toGatewayConfig(config: Config, traceToken = ''): GatewayShare {
  const { backends, stateDir: _stateDir, observe: _observe, admin: _admin, shutdown, telemetry, ...shared } = config;
  return {
    ...shared,
    shutdown: { drainMs: shutdown.drainMs },
    traceToken,
    telemetry: { ...telemetry, metricsSinks: [] },
    // A worker's events are published by the supervisor; who publishes itself is told where by the operator.
    events: { ...config.events, bus: { kind: 'memory' } },
    backends: backends.flatMap(({ source, health: _health, triggers: _triggers, idle, ports = [], ...backend }) => {
      const own = { ...backend, driver: source.driver, idle: { webSockets: idle.webSockets } };
      // To a gateway each port is a backend of its own; the controller takes what it says of them as said of the one.
      const further = ports.map(({ name, protocol }) => ({
        ...own,
        name: `${own.name}:${name}`,
        endpoints: { ...own.endpoints, protocol },
      }));
      return [own, ...further];
    }),
  };
}
