/** The Gateway API's objects (gateway.networking.k8s.io, standard channel of v1.6), as far as they are read here. Defaults of their schemas may be missing. */
import type { KubernetesObject } from '../../kubernetes/client.ts';
import type { Condition } from '../backend-object.ts';

export const GATEWAY_GROUP = 'gateway.networking.k8s.io';

export interface GatewayClass extends KubernetesObject {
  spec: { controllerName: string; parametersRef?: { group: string; kind: string; name: string } };
  status?: { conditions?: Condition[]; supportedFeatures?: { name: string }[] };
}

export interface Gateway extends KubernetesObject {
  spec: {
    gatewayClassName: string;
    listeners: GatewayListener[];
    addresses?: { type?: string; value?: string }[];
    infrastructure?: { parametersRef?: { group: string; kind: string; name: string } };
    tls?: {
      frontend?: { default?: { validation?: object }; perPort?: { port: number; tls?: { validation?: object } }[] };
    };
  };
  status?: GatewayStatus;
}

export interface GatewayListener {
  name: string;
  hostname?: string;
  port: number;
  protocol: string;
  tls?: { mode?: string; certificateRefs?: ObjectReference[]; options?: Record<string, string> };
  allowedRoutes?: {
    namespaces?: { from?: string; selector?: LabelSelector };
    kinds?: { group?: string; kind: string }[];
  };
}

export interface GatewayStatus {
  addresses?: { type: string; value: string }[];
  conditions?: Condition[];
  listeners?: ListenerStatus[];
}

export interface ListenerStatus {
  name: string;
  supportedKinds: { group: string; kind: string }[];
  attachedRoutes: number;
  conditions: Condition[];
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

export interface ObjectReference {
  group?: string;
  kind?: string;
  namespace?: string;
  name: string;
}

export interface ParentReference extends ObjectReference {
  sectionName?: string;
  port?: number;
}

export interface BackendReference extends ObjectReference {
  port?: number;
  weight?: number;
}

export interface RouteParentStatus {
  parentRef: ParentReference;
  controllerName: string;
  conditions: Condition[];
}

/** What all kinds of routes have. */
export interface Route extends KubernetesObject {
  spec: { parentRefs?: ParentReference[]; hostnames?: string[] };
  status?: { parents?: RouteParentStatus[] };
}

export interface HttpRoute extends Route {
  spec: Route['spec'] & { rules?: HttpRouteRule[] };
}

export interface HttpRouteRule {
  name?: string;
  matches?: HttpRouteMatch[];
  filters?: RouteFilter[];
  backendRefs?: FilteredBackendReference[];
  timeouts?: { request?: string; backendRequest?: string };
}

export interface FilteredBackendReference extends BackendReference {
  filters?: RouteFilter[];
}

export interface HttpRouteMatch {
  path?: { type?: string; value?: string };
  headers?: ValueMatcher[];
  queryParams?: ValueMatcher[];
  method?: string;
}

export interface ValueMatcher {
  type?: string;
  name: string;
  value: string;
}

/** A filter of an HTTPRoute or a GRPCRoute. */
export interface RouteFilter {
  type: string;
  requestHeaderModifier?: HeaderModifier;
  responseHeaderModifier?: HeaderModifier;
  requestMirror?: {
    backendRef: BackendReference;
    percent?: number;
    fraction?: { numerator: number; denominator?: number };
  };
  requestRedirect?: {
    scheme?: string;
    hostname?: string;
    path?: PathModifier;
    port?: number;
    statusCode?: number;
  };
  urlRewrite?: { hostname?: string; path?: PathModifier };
  cors?: {
    allowOrigins?: string[];
    allowCredentials?: boolean;
    allowMethods?: string[];
    allowHeaders?: string[];
    exposeHeaders?: string[];
    maxAge?: number;
  };
  extensionRef?: { group: string; kind: string; name: string };
}

export interface HeaderModifier {
  set?: { name: string; value: string }[];
  add?: { name: string; value: string }[];
  remove?: string[];
}

export interface PathModifier {
  type: string;
  replaceFullPath?: string;
  replacePrefixMatch?: string;
}

export interface GrpcRoute extends Route {
  spec: Route['spec'] & { rules?: GrpcRouteRule[] };
}

export interface GrpcRouteRule {
  name?: string;
  matches?: { method?: { type?: string; service?: string; method?: string }; headers?: ValueMatcher[] }[];
  filters?: RouteFilter[];
  backendRefs?: FilteredBackendReference[];
}

/** TLSRoute and TCPRoute. */
export interface RawRoute extends Route {
  spec: Route['spec'] & { rules?: { name?: string; backendRefs?: BackendReference[] }[] };
}

export interface ReferenceGrant extends KubernetesObject {
  spec: {
    from: { group: string; kind: string; namespace: string }[];
    to: { group: string; kind: string; name?: string }[];
  };
}

export interface Secret extends KubernetesObject {
  type?: string;
  /** base64. */
  data?: Record<string, string>;
}

/** A filter of ours that routes refer to by ExtensionRef (group dormouse.dev): `spec` is one entry of a rule's `filters` as in dormouse.yaml. */
export interface RouteFilterObject extends KubernetesObject {
  spec: Record<string, unknown>;
  status?: { observedGeneration?: number; conditions?: Condition[] };
}

/** What dormouse.yaml says of rules besides matches, filters and backends, for routes of its own namespace (group dormouse.dev). The rest of `spec` is the compiler's. */
export interface RoutePolicyObject extends KubernetesObject {
  spec: { targetRefs?: PolicyTargetReference[] } & Record<string, unknown>;
  status?: { ancestors?: PolicyAncestorStatus[] };
}

export interface PolicyTargetReference {
  group: string;
  kind: string;
  name: string;
  /** Name of a rule. */
  sectionName?: string;
}

export interface PolicyAncestorStatus {
  ancestorRef: ObjectReference & { sectionName?: string };
  controllerName: string;
  conditions?: Condition[];
}
