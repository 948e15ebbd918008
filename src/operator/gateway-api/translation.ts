/** What goes into the translation of the Gateway API's objects into the gateways' configuration, and what comes out of it. */
import type { ObjectCompiler } from '../../config/index.ts';
import type { KubernetesObject } from '../../kubernetes/client.ts';
import type { BackendConfig, ListenerConfig, ListenerTlsConfig, RouteConfig, RuleConfig } from '../../model/config.ts';
import type { Condition } from '../backend-object.ts';
import type { Service } from '../kinds.ts';
import type {
  Gateway,
  GatewayClass,
  GatewayStatus,
  GrpcRoute,
  HttpRoute,
  RawRoute,
  ReferenceGrant,
  PolicyAncestorStatus,
  RouteFilterObject,
  RouteParentStatus,
  RoutePolicyObject,
  Secret,
} from './objects.ts';

/** All objects, as the API server has them; in any order. */
export interface GatewayApiSnapshot {
  gatewayClasses: readonly GatewayClass[];
  gateways: readonly Gateway[];
  httpRoutes: readonly HttpRoute[];
  grpcRoutes: readonly GrpcRoute[];
  tlsRoutes: readonly RawRoute[];
  tcpRoutes: readonly RawRoute[];
  referenceGrants: readonly ReferenceGrant[];
  /** Their labels are looked at. */
  namespaces: readonly KubernetesObject[];
  services: readonly Service[];
  /** Those of type kubernetes.io/tls. */
  secrets: readonly Secret[];
  routeFilters: readonly RouteFilterObject[];
  routePolicies: readonly RoutePolicyObject[];
  backends: readonly GuardedBackend[];
  /** Of the CRDs (annotation gateway.networking.k8s.io/bundle-version), say `v1.6.2`; '' when they have none. */
  bundleVersions: readonly string[];
}

/** A Backend object: routes to its Service lead to it, so that it can sleep behind them. */
export interface GuardedBackend {
  namespace: string;
  name: string;
  /** kubernetes.service; null: none. */
  service: string | null;
  /** Its name in the configuration. */
  backend: string;
  /** Names of its further ports: BackendConfig.ports. */
  ports: readonly string[];
}

/** How the documented defaults are told: a listener, a rule and a backend as the file with the least in it has them. */
export interface Defaults {
  listener: Omit<ListenerConfig, 'name' | 'address' | 'protocol' | 'backend' | 'tls'>;
  tls: Omit<ListenerTlsConfig, 'certificates'>;
  rule: Pick<RuleConfig, 'timeouts' | 'retry' | 'webSocket' | 'sse'>;
  backend: Omit<BackendConfig, 'name' | 'source'>;
}

export interface TranslationSettings {
  controllerName: string;
  /** Where clients reach the gateways; empty: not known (yet). */
  addresses: readonly { type: 'IPAddress' | 'Hostname'; value: string }[];
  /** Where the gateways' processes listen for a port of a Gateway's listener; null: they can't. */
  containerPort(port: number): number | null;
  /** The address that gateways bind. */
  host: string;
  defaults: Defaults;
  /** Checks one entry of a rule's `filters` as in dormouse.yaml by the filter's own schema, RouteFilter and RoutePolicy objects. */
  compiler: Pick<ObjectCompiler, 'routeFilter' | 'routePolicy'>;
  /** What is wrong with a regular expression, as a sentence; null: nothing. */
  checkPattern(source: string): string | null;
  /** What is wrong with a certificate, as a sentence that holds nothing of the key; null: nothing. */
  checkCertificate(secret: Secret, pem: { cert: string; key: string }): string | null;
}

/** A Service that routes lead to straight, without a Backend object. */
export interface ServiceBackend {
  /** A static source without servers: its endpoints come from EndpointSlices (service-endpoints.ts). */
  config: BackendConfig;
  namespace: string;
  service: string;
  /** Of the Service. */
  port: number;
}

/** A condition whose time of transition is found when it is written (statuses.ts). */
export type NewCondition = Omit<Condition, 'lastTransitionTime'>;

type WithNewConditions<Status> = {
  [Key in keyof Status]: Key extends 'conditions'
    ? NewCondition[]
    : Status[Key] extends (infer Item)[] | undefined
      ? WithNewConditions<Item>[]
      : Status[Key];
};

export type NewGatewayStatus = WithNewConditions<Required<GatewayStatus>>;
export type NewParentStatus = WithNewConditions<RouteParentStatus>;
export type NewAncestorStatus = WithNewConditions<Required<PolicyAncestorStatus>>;

/** The status that an object shall have. Of routes and policies: the entries of this controller alone. */
export type StatusOf =
  | {
      kind: 'GatewayClass';
      object: GatewayClass;
      status: { conditions: NewCondition[]; supportedFeatures: { name: string }[] };
    }
  | { kind: 'Gateway'; object: Gateway; status: NewGatewayStatus }
  | {
      kind: 'HTTPRoute' | 'GRPCRoute' | 'TLSRoute' | 'TCPRoute';
      object: HttpRoute | GrpcRoute | RawRoute;
      /** Whose entries `parents` are. */
      controllerName: string;
      status: { parents: NewParentStatus[] };
    }
  | { kind: 'RouteFilter'; object: RouteFilterObject; status: { conditions: NewCondition[] } }
  | {
      kind: 'RoutePolicy';
      object: RoutePolicyObject;
      /** Whose entries `ancestors` are. */
      controllerName: string;
      status: { ancestors: NewAncestorStatus[] };
    };

export interface Translation {
  listeners: ListenerConfig[];
  /** In the order of their precedence. */
  routes: RouteConfig[];
  /** What routes lead to besides backends of Backend objects: Services, and those that stand for references that can't be resolved. */
  backends: BackendConfig[];
  services: ServiceBackend[];
  /** Secrets in use, by the listener of the configuration that shows them. */
  certificates: { listener: string; namespace: string; secret: string }[];
  statuses: StatusOf[];
}
