/**
 * The Gateway API's objects as the gateways' configuration, and the status that each object shall have for it. Pure: nothing is asked and nothing is written, the same
 * snapshot gives the same translation in whatever order its lists are, and the work grows with the number of objects.
 *
 * All Gateways of our classes are served by the same gateways (ports.ts). Requests belong to the most specific listener of a Gateway whose hostname they have (listener
 * isolation); among Gateways the router's precedence decides.
 */
import type { ListenerConfig, RouteConfig, RuleConfig } from '../../model/config.ts';
import {
  acceptedOn,
  hostsByTarget,
  inForce,
  parentStatuses,
  routeConfigs,
  hostList,
  routeName,
} from './route-parts.ts';
import { Attaching, type AttachedParent, type Attachment } from './attachment.ts';
import { BackendReferences } from './backend-references.ts';
import { byAge } from './by-age.ts';
import { findCertificates } from './certificates.ts';
import { classStatuses, gatewayStatus, ownGateways, type EvaluatedGateway } from './gateways.ts';
import { grpcRules } from './grpc-rules.ts';
import { httpRules } from './http-rules.ts';
import type { EvaluatedListener } from './listener.ts';
import type { GrpcRoute, HttpRoute, RawRoute } from './objects.ts';
import { Policies } from './policies.ts';
import { findOverlaps, groupBy, settlePorts } from './ports.ts';
import { rawRules } from './raw-routes.ts';
import { ReferenceGrants } from './reference-grants.ts';
import { RouteFilters } from './route-filters.ts';
import type { CompiledRule, RuleContext } from './rules.ts';
import type { GatewayApiSnapshot, StatusOf, Translation, TranslationSettings } from './translation.ts';

export function translate(snapshot: GatewayApiSnapshot, settings: TranslationSettings): Translation {
  return new Translating(snapshot, settings).run();
}

class Translating {
  readonly #snapshot: GatewayApiSnapshot;
  readonly #settings: TranslationSettings;
  readonly #grants: ReferenceGrants;
  readonly #references: BackendReferences;
  readonly #routeFilters: RouteFilters;
  readonly #policies: Policies;
  readonly #context: Omit<RuleContext, 'route' | 'port'>;
  readonly #attached = new Map<EvaluatedListener, number>();
  readonly #routes: RouteConfig[] = [];
  readonly #statuses: StatusOf[] = [];
  /** Backends of TCP listeners, by listener of the configuration. */
  readonly #tcp = new Map<string, { backend: string; route: string }>();

  constructor(snapshot: GatewayApiSnapshot, settings: TranslationSettings) {
    this.#snapshot = snapshot;
    this.#settings = settings;
    this.#grants = new ReferenceGrants(snapshot.referenceGrants);
    this.#references = new BackendReferences(snapshot, this.#grants, settings.defaults);
    this.#routeFilters = new RouteFilters(snapshot.routeFilters, this.#references, settings);
    this.#policies = new Policies(snapshot.routePolicies, settings);
    this.#context = { references: this.#references, routeFilters: this.#routeFilters, settings };
  }

  run(): Translation {
    const { namespaces, httpRoutes, grpcRoutes, tlsRoutes, tcpRoutes } = this.#snapshot;
    const gateways = this.#gateways();
    const attaching = new Attaching(gateways, namespaces);
    for (const route of byAge<HttpRoute | GrpcRoute>([...httpRoutes, ...grpcRoutes])) this.#requests(route, attaching);
    for (const route of byAge(tlsRoutes)) this.#passedThrough(route, attaching);
    for (const route of byAge(tcpRoutes)) this.#connections(route, attaching);
    this.#closeNarrowHosts(attaching, gateways);
    const { listeners, certificates } = this.#listeners(gateways);
    const used = backendsUsed(this.#routes, listeners);
    return {
      listeners,
      routes: this.#routes,
      backends: this.#references.configs().filter(({ name }) => used.has(name)),
      services: [...this.#references.services.values()]
        .filter(({ config }) => used.has(config.name))
        .sort((a, b) => (a.config.name < b.config.name ? -1 : 1)),
      certificates,
      statuses: [
        ...classStatuses(this.#snapshot, this.#settings),
        ...gateways.map((gateway) => gatewayStatus(gateway, this.#attached)),
        ...this.#statuses,
        ...this.#routeFilters.statuses(),
        ...this.#policies.statuses(),
      ],
    };
  }

  #gateways(): EvaluatedGateway[] {
    const gateways = ownGateways(this.#snapshot, this.#settings);
    settlePorts(gateways, this.#settings);
    const secrets = new Map(
      this.#snapshot.secrets.map((one) => [`${one.metadata.namespace}/${one.metadata.name}`, one]),
    );
    for (const { listeners } of gateways) {
      for (const listener of listeners)
        if (listener.protocol === 'https') findCertificates(listener, secrets, this.#grants, this.#settings);
    }
    findOverlaps(gateways);
    return gateways;
  }

  /** HTTPRoute and GRPCRoute. */
  #requests(route: HttpRoute | GrpcRoute, attaching: Attaching): void {
    const parents = attaching.attach(route);
    this.#policies.meet(route, parents.length > 0);
    if (parents.length === 0) {
      this.#tellStatus(route, parents, []);
      return;
    }
    const compile = (port: number): CompiledRule[] => {
      const context = {
        ...this.#context,
        port,
        route: { kind: route.kind, namespace: route.metadata.namespace ?? '' },
      };
      const rules =
        route.kind === 'GRPCRoute' ? grpcRules(route as GrpcRoute, context) : httpRules(route as HttpRoute, context);
      return this.#policies.applied(route, rules, this.#references);
    };
    const attachments = acceptedOn(parents);
    const first = compile(attachments[0]?.listener.spec.port ?? 80);
    if (!this.#tellStatus(route, parents, first)) return;
    this.#count(attachments);
    const dependsOnPort = first.some((rule) => 'rule' in rule && rule.dependsOnPort);
    this.#routes.push(
      ...routeConfigs(route, attachments, (port) => ({
        runs: inForce(dependsOnPort ? compile(port) : first),
        dependsOnPort,
      })),
    );
  }

  /** TLSRoute. */
  #passedThrough(route: RawRoute, attaching: Attaching): void {
    const parents = attaching.attach(route);
    const rules = parents.length === 0 ? [] : rawRules(route, this.#references, this.#settings);
    if (!this.#tellStatus(route, parents, rules)) return;
    const attachments = acceptedOn(parents);
    this.#count(attachments);
    this.#routes.push(...routeConfigs(route, attachments, () => ({ runs: inForce(rules), dependsOnPort: false })));
  }

  /** TCPRoute: the oldest one has a listener. */
  #connections(route: RawRoute, attaching: Attaching): void {
    const parents = attaching.attach(route).map((parent): AttachedParent => {
      const taken = parent.attachments.filter(({ listener }) => this.#tcp.has(listener.target));
      if (parent.refused !== null || taken.length < parent.attachments.length) {
        return { ...parent, attachments: parent.attachments.filter((one) => !taken.includes(one)) };
      }
      const owner = this.#tcp.get(taken[0]!.listener.target)!.route;
      const message = `All connections of this listener go to ${owner}, which is older; take a listener of its own`;
      return { ...parent, refused: { reason: 'NotAllowedByListeners', message }, attachments: [] };
    });
    const rules = parents.length === 0 ? [] : rawRules(route, this.#references, this.#settings);
    if (!this.#tellStatus(route, parents, rules)) return;
    const attachments = acceptedOn(parents);
    this.#count(attachments);
    const rule = inForce(rules)[0]?.rules[0];
    const backend = rule?.backends.find(({ weight }) => weight > 0)?.name ?? this.#references.standIn('raw');
    for (const target of hostsByTarget(attachments).keys()) this.#tcp.set(target, { backend, route: routeName(route) });
  }

  /** False: it is not accepted anywhere. */
  #tellStatus(
    route: HttpRoute | GrpcRoute | RawRoute,
    parents: readonly AttachedParent[],
    rules: readonly CompiledRule[],
  ): boolean {
    const { controllerName } = this.#settings;
    const before = route.status?.parents?.some((parent) => parent.controllerName === controllerName) === true;
    if (parents.length === 0 && !before) return false;
    const statuses = parentStatuses(route, parents, rules, controllerName);
    this.#statuses.push({
      kind: route.kind as 'HTTPRoute',
      object: route,
      controllerName,
      status: { parents: statuses },
    });
    return statuses.some(({ conditions }) => conditions[0]!.status === 'True');
  }

  #count(attachments: readonly Attachment[]): void {
    for (const { listener } of attachments) this.#attached.set(listener, (this.#attached.get(listener) ?? 0) + 1);
  }

  /** What no route of the most specific listener has is nobody else's: 404, or no connection. Last, so that every route comes before. */
  #closeNarrowHosts(attaching: Attaching, gateways: readonly EvaluatedGateway[]): void {
    const protocols = new Map(gateways.flatMap(({ listeners }) => listeners.map((one) => [one.target, one.protocol])));
    for (const [target, names] of [...attaching.narrowHostnames()].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const name = this.#references.standIn(protocols.get(target) === 'tls' ? 'raw' : 'noRoute');
      const rule: RuleConfig = {
        ...this.#settings.defaults.rule,
        matches: [{ path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [] }],
        filters: [],
        backends: [{ name, weight: 1 }],
      };
      this.#routes.push({
        name: 'no-route',
        listeners: [target],
        hosts: hostList(names),
        clients: { allow: [], deny: [] },
        rules: [rule],
      });
    }
  }

  #listeners(gateways: readonly EvaluatedGateway[]): Pick<Translation, 'listeners' | 'certificates'> {
    const served = gateways.flatMap(({ refused, listeners }) =>
      refused === null ? listeners.filter(({ serves }) => serves) : [],
    );
    const listeners: ListenerConfig[] = [];
    const certificates: Translation['certificates'] = [];
    for (const [name, sharing] of [...groupBy(served, ({ target }) => target)].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const { protocol, containerPort } = sharing[0]!;
      const backend = this.#tcp.get(name)?.backend ?? null;
      if (protocol === null || (protocol === 'tcp' && backend === null)) continue;
      listeners.push({
        ...this.#settings.defaults.listener,
        name,
        address: { host: this.#settings.host, port: containerPort },
        protocol,
        backend,
        tls: protocol === 'https' ? this.#tls(sharing) : null,
      });
      const secrets = new Map(sharing.flatMap((one) => one.secrets.map((of) => [`${of.namespace}/${of.secret}`, of])));
      for (const one of secrets.values()) certificates.push({ listener: name, ...one });
    }
    return { listeners, certificates };
  }

  /** One entry for each Secret and the hosts of all listeners that show it. */
  #tls(sharing: readonly EvaluatedListener[]): ListenerConfig['tls'] {
    const certificates = new Map<string, EvaluatedListener['certificates'][number]>();
    for (const one of sharing.flatMap((listener) => listener.certificates)) {
      const key = one.hosts.length === 0 ? one.name : `${one.name} for hosts`;
      const known = certificates.get(key);
      if (known === undefined) certificates.set(key, { ...one, hosts: [...one.hosts] });
      else for (const host of one.hosts) if (!known.hosts.includes(host)) known.hosts.push(host);
    }
    return { ...this.#settings.defaults.tls, certificates: [...certificates.values()] };
  }
}

/** What routes that are not in force lead to is not looked after. */
function backendsUsed(routes: readonly RouteConfig[], listeners: readonly ListenerConfig[]): Set<string> {
  const used = new Set<string>();
  for (const { backend } of listeners) if (backend !== null) used.add(backend);
  for (const { rules } of routes) {
    for (const { backends, filters } of rules) {
      for (const { name } of backends) used.add(name);
      for (const { type, options } of filters)
        if (type === 'mirror') used.add((options as { backend: string }).backend);
    }
  }
  return used;
}
