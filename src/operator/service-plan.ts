/** What of a Service can stand behind gateways while its pods are away: its ports and what is spoken there, or why it can't. */
import type { EndpointsConfig } from '../model/config.ts';
import type { Service, ServicePort } from './kinds.ts';

export interface PlannedPort {
  /** Of the Service. */
  port: number;
  /** '' when the Service has only one and does not name it. */
  name: string;
  targetPort: number | string;
  appProtocol: string | null;
  /** What the gateways' listener speaks. Raw TCP unless the Service says HTTP: a client that waits to be spoken to must not be kept waiting. */
  listener: 'http' | 'tcp';
  /** What the pods speak. */
  protocol: EndpointsConfig['protocol'];
}

export type ServicePlan =
  | { ok: true; ports: PlannedPort[]; warnings: string[] }
  | { ok: false; reason: string; message: string };

/** The most ports of one Service. */
const MAX_PORTS = 50;

/** `service`: undefined when it is not there. */
export function planService(name: string, service: Service | undefined): ServicePlan {
  if (service === undefined) {
    return refused(
      'ServiceNotFound',
      `there is no Service ${name} in this namespace; create it, or correct kubernetes.service`,
    );
  }
  const { spec } = service;
  if (spec.type === 'ExternalName') {
    return refused(
      'ExternalName',
      `Service ${name} is an ExternalName: it has no address that could be redirected. Name a Service that selects pods`,
    );
  }
  if (spec.clusterIP === 'None') {
    return refused(
      'Headless',
      `Service ${name} is headless: its clients ask DNS for pod addresses, which nothing can stand in for. Name a Service with a cluster address, or route to the Backend through a Gateway`,
    );
  }
  if (Object.keys(spec.selector ?? {}).length === 0) {
    return refused(
      'NoSelector',
      `Service ${name} has no selector, so its endpoints are written by somebody else. Name a Service that selects pods`,
    );
  }
  const ports = spec.ports ?? [];
  if (ports.length === 0) return refused('NoPorts', `Service ${name} has no ports; give it one`);
  if (ports.length > MAX_PORTS) return refused('TooManyPorts', `Service ${name} has more than ${MAX_PORTS} ports`);
  const other = ports.find(({ protocol = 'TCP' }) => protocol !== 'TCP');
  if (other !== undefined) {
    return refused(
      'UnsupportedProtocol',
      `port ${other.port} of Service ${name} is ${other.protocol}: a gateway can hold TCP only. Move that port to a Service of its own`,
    );
  }
  return { ok: true, ports: ports.map(planPort), warnings: warningsOf(name, spec) };
}

/** Ports at which routes may lead to it, whatever kind of Service it is: gateways go to its pods by themselves. */
export function routablePorts(service: Service | undefined): PlannedPort[] {
  const ports = service?.spec.ports ?? [];
  return ports.filter(({ protocol = 'TCP' }) => protocol === 'TCP').map(planPort);
}

function refused(reason: string, message: string): ServicePlan {
  return { ok: false, reason, message };
}

function planPort({ name = '', port, targetPort = port, appProtocol }: ServicePort): PlannedPort {
  const { listener, protocol } = speech(appProtocol, name);
  return { port, name, targetPort, appProtocol: appProtocol ?? null, listener, protocol };
}

/** appProtocol first (KEP-3726 and IANA names), then the name by Istio's convention (`http`, `http-web`, `grpc-api`), else bytes. */
function speech(appProtocol: string | undefined, name: string): Pick<PlannedPort, 'listener' | 'protocol'> {
  const said = appProtocol?.toLowerCase() ?? name.toLowerCase().split('-')[0];
  switch (said) {
    case 'http':
    case 'http1':
    case 'kubernetes.io/ws':
      return { listener: 'http', protocol: 'http1' };
    case 'h2c':
    case 'http2':
    case 'grpc':
    case 'kubernetes.io/h2c':
      return { listener: 'http', protocol: 'h2c' };
    default:
      return { listener: 'tcp', protocol: 'tcp' };
  }
}

function warningsOf(name: string, spec: Service['spec']): string[] {
  const warnings: string[] = [];
  for (const key of ['internalTrafficPolicy', 'externalTrafficPolicy'] as const) {
    if (spec[key] === 'Local') {
      warnings.push(
        `${key} of Service ${name} is Local: while it sleeps, nodes without a gateway refuse its connections. Run a gateway on every node`,
      );
    }
  }
  if (spec.sessionAffinity === 'ClientIP') {
    warnings.push(
      `Service ${name} has session affinity: a client that reached a gateway while it slept keeps reaching it until its affinity ends`,
    );
  }
  return warnings;
}
