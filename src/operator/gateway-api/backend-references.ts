/** Where routes lead: backendRefs to Services and to Backends, across namespaces where a ReferenceGrant allows it. */
import type { BackendConfig, EndpointsConfig, EndpointTlsConfig } from '../../model/config.ts';
import { GROUP } from '../backend-object.ts';
import type { Service, ServicePort } from '../kinds.ts';
import type { Problem } from './gateways.ts';
import { GATEWAY_GROUP, type BackendReference } from './objects.ts';
import type { ReferenceGrants } from './reference-grants.ts';
import type { Defaults, GatewayApiSnapshot, GuardedBackend, ServiceBackend } from './translation.ts';

/** What goes there: requests, calls of gRPC, or bytes. */
export type Traffic = 'http' | 'grpc' | 'raw';

export type Resolved = { name: string } | { problem: Problem };

/** Backends that no object stands for. Names of others have a slash or a colon. */
export const STAND_INS = {
  /** Answers 500: where a reference can't be resolved (HTTPRouteRule.backendRefs). */
  http: 'unresolved',
  /** Answers UNAVAILABLE (GRPCRouteRule.backendRefs). */
  grpc: 'unresolved-grpc',
  /** Refuses connections (TLSRoute, TCPRoute). */
  raw: 'unresolved-raw',
  /** Answers 404: a host of a listener on which no route has it. */
  noRoute: 'no-route',
} as const;

type StandIn = keyof typeof STAND_INS;

export class BackendReferences {
  /** What was referred to, by name. */
  readonly services = new Map<string, ServiceBackend>();
  readonly #standIns = new Set<StandIn>();
  readonly #services: ReadonlyMap<string, Service>;
  readonly #guarded = new Map<string, GuardedBackend>();
  readonly #backends = new Map<string, GuardedBackend>();
  readonly #names = new Set<string>();
  readonly #grants: ReferenceGrants;
  readonly #defaults: Defaults;

  constructor(snapshot: GatewayApiSnapshot, grants: ReferenceGrants, defaults: Defaults) {
    this.#services = new Map(snapshot.services.map((one) => [`${one.metadata.namespace}/${one.metadata.name}`, one]));
    for (const backend of snapshot.backends) {
      this.#backends.set(`${backend.namespace}/${backend.name}`, backend);
      this.#names.add(backend.backend);
      const key = `${backend.namespace}/${backend.service}`;
      // Of two that name one Service the first by name counts, whatever their order here.
      const known = this.#guarded.get(key);
      if (backend.service !== null && (known === undefined || backend.name < known.name))
        this.#guarded.set(key, backend);
    }
    this.#grants = grants;
    this.#defaults = defaults;
  }

  /** `from`: the route that refers. */
  resolve(
    { group = '', kind = 'Service', namespace: written, name, port }: BackendReference,
    from: { kind: string; namespace: string },
    traffic: Traffic,
  ): Resolved {
    const namespace = written ?? from.namespace;
    const isService = group === '' && kind === 'Service';
    if (!isService && !(group === GROUP && kind === 'Backend')) {
      return fail(
        'InvalidKind',
        `${group === '' ? '' : `${group}/`}${kind} ${name}: routes lead to Services, or to Backends of ${GROUP}`,
      );
    }
    if (!this.#grants.allows({ group: GATEWAY_GROUP, ...from }, { group, kind, namespace, name })) {
      return fail(
        'RefNotPermitted',
        `${kind} ${name} is in namespace ${namespace}, where no ReferenceGrant lets a ${from.kind} of namespace ${from.namespace} refer to it`,
      );
    }
    return isService ? this.#service(namespace, name, port, traffic) : this.#backend(namespace, name, port);
  }

  /** Whether a Backend object has this name in the configuration. */
  isBackend(name: string): boolean {
    return this.#names.has(name);
  }

  /** The name of a stand-in, which is made when it is asked for. */
  standIn(kind: StandIn): string {
    this.#standIns.add(kind);
    return STAND_INS[kind];
  }

  /** All that is led to and that no Backend object stands for. */
  configs(): BackendConfig[] {
    const standIns = [...this.#standIns].map((kind) => standInConfig(kind, this.#defaults));
    return [...standIns, ...[...this.services.values()].map(({ config }) => config)].sort((a, b) =>
      a.name < b.name ? -1 : 1,
    );
  }

  #backend(namespace: string, name: string, port: number | undefined): Resolved {
    const found = this.#backends.get(`${namespace}/${name}`);
    if (found === undefined) return fail('BackendNotFound', `there is no Backend ${namespace}/${name}`);
    if (port === undefined || found.service === null) return { name: found.backend };
    const service = this.#services.get(`${namespace}/${found.service}`);
    const at = portOf(service, port);
    return at === null
      ? fail('BackendNotFound', `Backend ${namespace}/${name}: its Service ${found.service} has no port ${port}`)
      : { name: nameAtPort(found, at) };
  }

  #service(namespace: string, name: string, port: number | undefined, traffic: Traffic): Resolved {
    const what = `Service ${namespace}/${name}`;
    const service = this.#services.get(`${namespace}/${name}`);
    if (service === undefined) return fail('BackendNotFound', `there is no ${what}`);
    if (service.spec.type === 'ExternalName') {
      return fail(
        'BackendNotFound',
        `${what} is an ExternalName: it has no endpoints, and names are not followed out of the cluster`,
      );
    }
    const at = port === undefined ? null : portOf(service, port);
    if (at === null) {
      const ports = (service.spec.ports ?? []).map((one) => one.port).join(', ');
      return fail('BackendNotFound', `${what} has no port ${port ?? '(none was named)'}; it has ${ports || 'none'}`);
    }
    if ((at.port.protocol ?? 'TCP') !== 'TCP') {
      return fail('UnsupportedProtocol', `port ${port} of ${what} is ${at.port.protocol}; only TCP can be led to`);
    }
    const guard = this.#guarded.get(`${namespace}/${name}`);
    if (guard !== undefined) return { name: nameAtPort(guard, at) };
    const { protocol, tls, suffix } = speech(at.port, traffic, `${name}.${namespace}.svc`);
    const key = `service:${namespace}/${name}:${at.port.port}${suffix}`;
    if (!this.services.has(key)) {
      const { backend } = this.#defaults;
      const config: BackendConfig = {
        ...backend,
        name: key,
        source: { driver: 'static', servers: [] },
        tls,
        endpoints: { ...backend.endpoints, protocol },
      };
      this.services.set(key, { config, namespace, service: name, port: at.port.port });
    }
    return { name: key };
  }
}

function fail(reason: string, message: string): { problem: Problem } {
  return { problem: { reason, message: `backendRefs: ${message}` } };
}

function portOf(service: Service | undefined, wanted: number): { port: ServicePort; index: number } | null {
  const ports = service?.spec.ports ?? [];
  const index = ports.findIndex(({ port }) => port === wanted);
  return index < 0 ? null : { port: ports[index]!, index };
}

/** The first port of its Service is the backend itself; others are backends of their own (BackendConfig.ports). */
function nameAtPort(guard: GuardedBackend, { port, index }: { port: ServicePort; index: number }): string {
  const { name = '' } = port;
  return index > 0 && guard.ports.includes(name) ? `${guard.backend}:${name}` : guard.backend;
}

interface Speech {
  protocol: EndpointsConfig['protocol'];
  tls: EndpointTlsConfig | null;
  /** Part of the name: one port may be spoken to in several ways. */
  suffix: string;
}

/** What is spoken at a Service's port: appProtocol (KEP-3726) says it, else the kind of the route. */
function speech({ appProtocol }: ServicePort, traffic: Traffic, serverName: string): Speech {
  if (traffic === 'raw') return { protocol: 'tcp', tls: null, suffix: ':tcp' };
  switch (appProtocol?.toLowerCase()) {
    case 'https':
    case 'kubernetes.io/wss': {
      const tls: EndpointTlsConfig = { caFile: null, serverName, certFile: null, keyFile: null, insecure: false };
      return traffic === 'grpc' ? { protocol: 'h2', tls, suffix: ':h2' } : { protocol: 'http1', tls, suffix: '' };
    }
    case 'kubernetes.io/h2c':
    case 'grpc':
      return { protocol: 'h2c', tls: null, suffix: '' };
    default:
      return traffic === 'grpc'
        ? { protocol: 'h2c', tls: null, suffix: ':h2c' }
        : { protocol: 'http1', tls: null, suffix: '' };
  }
}

const ANSWERS: Readonly<Record<Exclude<StandIn, 'raw'>, { status: number; detail: string }>> = {
  http: { status: 500, detail: 'This route leads to a place that does not exist; the status of the route says which.' },
  grpc: { status: 503, detail: 'This route leads to a place that does not exist; the status of the route says which.' },
  noRoute: { status: 404, detail: 'No route leads here.' },
};

/** It never has an instance, so that what is answered while one sleeps is answered always. */
function standInConfig(kind: StandIn, { backend }: Defaults): BackendConfig {
  const source = { driver: 'static', servers: [] } as const;
  const config: BackendConfig = { ...backend, name: STAND_INS[kind], source: { ...source, servers: [] } };
  if (kind === 'raw') return { ...config, endpoints: { ...backend.endpoints, protocol: 'tcp' } };
  const { status, detail } = ANSWERS[kind];
  return {
    ...config,
    wake: {
      ...backend.wake,
      answers: [
        {
          match: { path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [] },
          status,
          headers: { 'Content-Type': 'application/problem+json' },
          body: JSON.stringify({ status, detail }),
        },
      ],
    },
  };
}
