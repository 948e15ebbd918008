/** Objects of the Gateway API for tests, with the least that each needs, and the settings of a translation. */
import { ObjectCompiler } from '../../config/index.ts';
import { filterSchemas } from '../../gateway/filters/filters.schema.ts';
import { requestView, type ViewParts } from '../../gateway/request-view.fixture.ts';
import { Router } from '../../gateway/routing/router.ts';
import type { KubernetesObject } from '../../kubernetes/client.ts';
import type { Service } from '../kinds.ts';
import { certificateChecks, documentedDefaults, patternProblem, podPorts } from './defaults.ts';
import type {
  BackendReference,
  Gateway,
  GatewayClass,
  GatewayListener,
  GrpcRoute,
  GrpcRouteRule,
  HttpRoute,
  HttpRouteRule,
  ParentReference,
  RawRoute,
  ReferenceGrant,
  PolicyTargetReference,
  RouteFilterObject,
  RoutePolicyObject,
  Secret,
} from './objects.ts';
import { translate } from './translate.ts';
import type { GatewayApiSnapshot, NewCondition, Translation, TranslationSettings } from './translation.ts';

export const CONTROLLER = 'dormouse.dev/gateway';

const registry = { filters: filterSchemas, strategies: ['round-robin'] };
const compiler = new ObjectCompiler(registry);
const defaults = documentedDefaults(registry);

export function settings(more: Partial<TranslationSettings> = {}): TranslationSettings {
  return {
    controllerName: CONTROLLER,
    addresses: [{ type: 'IPAddress', value: '192.0.2.1' }],
    containerPort: podPorts((port) => port === 8082),
    host: '::',
    defaults,
    compiler,
    checkPattern: patternProblem,
    checkCertificate: certificateChecks(),
    ...more,
  };
}

let serial = 0;

function object(kind: string, name: string, namespace: string | undefined, ageSeconds = 100): KubernetesObject {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid: `uid-${++serial}`,
      resourceVersion: String(serial),
      generation: 3,
      creationTimestamp: new Date(Date.UTC(2026, 0, 1) - ageSeconds * 1000).toISOString(),
    },
  };
}

/** `namespace/name`, or a name in namespace `infra`. */
function placed(name: string): [name: string, namespace: string] {
  const slash = name.indexOf('/');
  return slash < 0 ? [name, 'infra'] : [name.slice(slash + 1), name.slice(0, slash)];
}

export function gatewayClass(name = 'dormouse', controllerName = CONTROLLER): GatewayClass {
  return { ...object('GatewayClass', name, undefined), spec: { controllerName } };
}

export function listener(more: Partial<GatewayListener> = {}): GatewayListener {
  return { name: 'http', port: 80, protocol: 'HTTP', ...more };
}

export function https(secret: string, more: Partial<GatewayListener> = {}): GatewayListener {
  const [name, namespace] = placed(secret);
  const certificateRefs = [secret.includes('/') ? { name, namespace } : { name }];
  return { name: 'https', port: 443, protocol: 'HTTPS', tls: { mode: 'Terminate', certificateRefs }, ...more };
}

export function gateway(
  name: string,
  listeners: GatewayListener[],
  more: Partial<Gateway['spec']> & { ageSeconds?: number } = {},
): Gateway {
  const { ageSeconds, ...spec } = more;
  return {
    ...object('Gateway', ...placed(name), ageSeconds),
    spec: { gatewayClassName: 'dormouse', listeners, ...spec },
  };
}

export interface RouteParts {
  parents?: ParentReference[];
  hostnames?: string[];
  ageSeconds?: number;
}

function routeSpec({ parents = [{ name: 'edge' }], hostnames }: RouteParts) {
  return { parentRefs: parents, ...(hostnames === undefined ? {} : { hostnames }) };
}

export function httpRoute(name: string, rules: HttpRouteRule[], parts: RouteParts = {}): HttpRoute {
  return { ...object('HTTPRoute', ...placed(name), parts.ageSeconds), spec: { ...routeSpec(parts), rules } };
}

export function grpcRoute(name: string, rules: GrpcRouteRule[], parts: RouteParts = {}): GrpcRoute {
  return { ...object('GRPCRoute', ...placed(name), parts.ageSeconds), spec: { ...routeSpec(parts), rules } };
}

export function rawRoute(
  kind: 'TLSRoute' | 'TCPRoute',
  name: string,
  backendRefs: BackendReference[],
  parts: RouteParts = {},
): RawRoute {
  return {
    ...object(kind, ...placed(name), parts.ageSeconds),
    spec: { ...routeSpec(parts), rules: [{ backendRefs }] },
  };
}

export function service(name: string, ports: NonNullable<Service['spec']['ports']> = [{ port: 8080 }]): Service {
  return { ...object('Service', ...placed(name)), spec: { clusterIP: '10.0.0.1', selector: { app: name }, ports } };
}

export function namespace(name: string, labels: Record<string, string> = {}): KubernetesObject {
  const made = object('Namespace', name, undefined);
  return { ...made, metadata: { ...made.metadata, labels } };
}

export function secret(name: string, data: Record<string, string>): Secret {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return { ...object('Secret', ...placed(name)), type: 'kubernetes.io/tls', data: Object.fromEntries(encoded) };
}

export function grant(
  name: string,
  from: ReferenceGrant['spec']['from'],
  to: ReferenceGrant['spec']['to'],
): ReferenceGrant {
  return { ...object('ReferenceGrant', ...placed(name)), spec: { from, to } };
}

export function routeFilter(name: string, spec: Record<string, unknown>): RouteFilterObject {
  return { ...object('RouteFilter', ...placed(name)), spec };
}

/** `targets`: names of HTTPRoutes, or whole references. */
export function routePolicy(
  name: string,
  targets: (string | Partial<PolicyTargetReference>)[],
  spec: Record<string, unknown>,
  ageSeconds?: number,
): RoutePolicyObject {
  const targetRefs = targets.map((target) => ({
    group: 'gateway.networking.k8s.io',
    kind: 'HTTPRoute',
    ...(typeof target === 'string' ? { name: target } : { name: '', ...target }),
  }));
  return { ...object('RoutePolicy', ...placed(name), ageSeconds), spec: { targetRefs, ...spec } };
}

/** With the class, and the Services v1, v2 and v3 of namespace infra on port 8080. */
export function snapshot(more: Partial<GatewayApiSnapshot> = {}): GatewayApiSnapshot {
  return {
    gatewayClasses: [gatewayClass()],
    gateways: [gateway('edge', [listener()])],
    httpRoutes: [],
    grpcRoutes: [],
    tlsRoutes: [],
    tcpRoutes: [],
    referenceGrants: [],
    namespaces: [namespace('infra'), namespace('web')],
    secrets: [],
    routeFilters: [],
    routePolicies: [],
    backends: [],
    bundleVersions: ['v1.6.2'],
    ...more,
    services: [service('v1'), service('v2'), service('v3'), ...(more.services ?? [])],
  };
}

export function translated(more: Partial<GatewayApiSnapshot> = {}, how: Partial<TranslationSettings> = {}): Outcome {
  return new Outcome(translate(snapshot(more), settings(how)));
}

/** A translation with short ways to what tests look at. */
export class Outcome {
  readonly translation: Translation;

  constructor(translation: Translation) {
    this.translation = translation;
  }

  /** `Accepted ResolvedRefs=False/BackendNotFound`: types that are as they should be, others with reason; of one parent. */
  route(name: string, parent = 0): string {
    const found = this.translation.statuses.find(
      (one) =>
        'parents' in one.status &&
        `${one.object.metadata.namespace}/${one.object.metadata.name}` === placed(name).toReversed().join('/'),
    );
    if (found === undefined || !('parents' in found.status)) return 'no status';
    return shortly(found.status.parents[parent]?.conditions);
  }

  /** Of a RouteFilter. */
  filter(name: string): string {
    const found = this.#find('RouteFilter', name);
    return found?.kind === 'RouteFilter' ? shortly(found.status.conditions) : 'no status';
  }

  /** Of a RoutePolicy, by target. */
  policy(name: string): Record<string, string> {
    const found = this.#find('RoutePolicy', name);
    if (found?.kind !== 'RoutePolicy') return {};
    return Object.fromEntries(
      found.status.ancestors.map(({ ancestorRef: { name: target, sectionName }, conditions }) => [
        sectionName === undefined ? target : `${target}#${sectionName}`,
        shortly(conditions),
      ]),
    );
  }

  #find(kind: string, name: string) {
    const [wanted, namespaceName] = placed(name);
    return this.translation.statuses.find(
      ({ kind: of, object: { metadata } }) =>
        of === kind && metadata.name === wanted && metadata.namespace === namespaceName,
    );
  }

  gateway(name: string): string {
    return shortly(this.#gateway(name)?.conditions);
  }

  /** Conditions, supported kinds and attached routes. */
  listener(gatewayName: string, name: string): string {
    const found = this.#gateway(gatewayName)?.listeners.find((one) => one.name === name);
    if (found === undefined) return 'no status';
    return `${shortly(found.conditions)} [${found.supportedKinds.map(({ kind }) => kind).join(' ')}] ${found.attachedRoutes}`;
  }

  #gateway(name: string) {
    const [wanted, namespaceName] = placed(name);
    for (const one of this.translation.statuses) {
      const { metadata } = one.object;
      if (one.kind === 'Gateway' && metadata.name === wanted && metadata.namespace === namespaceName) return one.status;
    }
    return undefined;
  }
}

/** A condition that is false where it should be true (Conflicted, OverlappingTLSConfig, PartiallyInvalid: the other way round) is told with its reason. */
function shortly(conditions: readonly NewCondition[] | undefined): string {
  if (conditions === undefined) return 'no status';
  return conditions
    .flatMap(({ type, status, reason }) => {
      const bad =
        type === 'Conflicted' || type === 'OverlappingTLSConfig' || type === 'PartiallyInvalid' ? 'True' : 'False';
      if (status === bad) return [bad === 'True' ? `${type}/${reason}` : `!${type}/${reason}`];
      return bad === 'True' ? [] : [reason === type ? type : `${type}/${reason}`];
    })
    .join(' ');
}

/** Backends that a request leads to, by the gateways' own router. */
export function leads(outcome: Outcome, parts: ViewParts, on = 'http-80'): string {
  const { routes, listeners } = outcome.translation;
  const target = new Router({ routes, listeners }).match(on, requestView({ host: 'example.com', ...parts }));
  if (target === null) return '404';
  return target.backends.map(({ name, weight }) => (weight === 1 ? name : `${name} ${weight}`)).join(', ');
}

export const v1 = { name: 'v1', port: 8080 };
export const v2 = { name: 'v2', port: 8080 };
export const v3 = { name: 'v3', port: 8080 };
export const V1 = 'service:infra/v1:8080';
export const V2 = 'service:infra/v2:8080';
export const V3 = 'service:infra/v3:8080';
export const fromAll = { allowedRoutes: { namespaces: { from: 'All' } } };
export const OK = 'Accepted ResolvedRefs';
