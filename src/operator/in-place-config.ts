/** The configuration of a backend that guards its Service in place: a listener for each port of the Service, on the gateway port allocated to it. */
import type { BackendConfig, ListenerConfig, RouteConfig } from '../model/config.ts';
import type { PortAllocation } from './backend-object.ts';
import type { PlannedPort } from './service-plan.ts';

export interface InPlaceParts {
  backend: BackendConfig;
  listeners: ListenerConfig[];
  routes: RouteConfig[];
}

export interface InPlaceDefaults {
  /** Where gateways bind; any address of the pod. */
  host: string;
  listener: ListenerConfig;
  /** With one rule and no match. */
  route: RouteConfig;
}

/** `ports`: the first one is the backend's own, the others are its further ports. */
export function inPlaceParts(
  backend: BackendConfig,
  ports: readonly PlannedPort[],
  allocated: readonly PortAllocation[],
  defaults: InPlaceDefaults,
): InPlaceParts {
  const [main, ...further] = ports;
  if (main === undefined) return { backend, listeners: [], routes: [] };
  const listeners: ListenerConfig[] = [];
  const routes: RouteConfig[] = [];
  for (const port of ports) {
    const own = allocated.find((one) => one.port === port.port);
    if (own === undefined) continue;
    const to = port === main ? backend.name : `${backend.name}:${portName(port)}`;
    const name = listenerName(backend.name, port.port);
    const isTcp = port.listener === 'tcp';
    listeners.push({
      ...defaults.listener,
      name,
      address: { host: defaults.host, port: own.gatewayPort },
      protocol: port.listener,
      backend: isTcp ? to : null,
    });
    if (isTcp) continue;
    const [rule] = defaults.route.rules;
    routes.push({
      ...defaults.route,
      name: name,
      listeners: [name],
      rules: [{ ...rule!, backends: [{ name: to, weight: 1 }] }],
    });
  }
  return {
    backend: {
      ...backend,
      endpoints: { ...backend.endpoints, protocol: main.protocol },
      // Between one and many somebody else decides, who sees the traffic; and the sources have said idle for idleAfter before the gateways are asked.
      scale: {
        ...backend.scale,
        min: 0,
        by: backend.scale.by === 'keda' ? 'keda' : 'none',
        idleAfterMs: backend.idle.settleMs,
      },
      ports: further.map((port) => ({ name: portName(port), protocol: port.protocol })),
    },
    listeners,
    routes,
  };
}

/** Unique among all listeners: names of objects have no colon. */
export function listenerName(backend: string, servicePort: number): string {
  return `${backend}:${servicePort}`;
}

/** As the driver names it in Instance.ports. */
export function portName({ name, port }: Pick<PlannedPort, 'name' | 'port'>): string {
  return name === '' ? String(port) : name;
}
