/**
 * The compiled configuration: what config/ makes of dormouse.yaml, frozen. Durations are in ms, sizes in bytes, percents are numbers of
 * 0 to 100, `0` of a limit means no bound where the key's comment says so. Everything has its default filled in.
 */
import type { FormulaNode } from './formula.ts';

export interface Config {
  /** Number of gateway workers, >= 1. */
  workers: number;
  /** Absolute path. */
  stateDir: string;
  /** `delayMs`: how long /readyz says no before listeners close; then what was accepted has `drainMs` to end. */
  shutdown: { delayMs: number; drainMs: number };
  listeners: ListenerConfig[];
  /** In the order of the file. */
  backends: BackendConfig[];
  /** In the order of the file. */
  routes: RouteConfig[];
  /** Modules that add strategies, filters, metrics sinks and triggers. */
  plugins: PluginConfig[];
  security: { trustedProxies: string[]; clients: ClientRules };
  /** null: switched off. */
  observe: { address: HostPort } | null;
  /** The admin API over TCP; null: switched off. The control socket serves it all the same. */
  admin: AdminConfig | null;
  events: EventsConfig;
  telemetry: {
    accessLog: { format: 'json' | 'common' | 'off'; file: string; redact: string[] };
    log: { level: 'debug' | 'info' | 'warn' | 'error' | 'silent'; format: 'auto' | 'json' | 'pretty' };
    /** null: none are recorded. */
    traces: TracesConfig | null;
    /** Whether every response carries Server-Timing. */
    serverTiming: boolean;
    /** Who is given the metrics regularly, beside those that scrape them. Gateways are told none. */
    metricsSinks: MetricsSinkConfig[];
  };
  /** Gateways report demand this often: 1000, less when a backend's idleAfter is short (a quarter of it, at least 50). */
  reportIntervalMs: number;
}

/** What a token may do. Each may what those before it may. `commands`: backends with `process:`, which is running code. */
export const ADMIN_SCOPES = ['read', 'operate', 'admin', 'commands'] as const;
export type AdminScope = (typeof ADMIN_SCOPES)[number];

export interface AdminConfig {
  address: HostPort;
  /** It is the one that is there when the file says nothing: not being able to listen there is a remark in the log, not an error. */
  isUsual: boolean;
  /** null: one that is made at the start and lies in the state folder. */
  tokens: AdminToken[] | null;
  /** Absolute paths. `clientCaFile`: clients must have a certificate of one of these authorities; null: no client is asked for one. */
  tls: { certFile: string; keyFile: string; clientCaFile: string | null } | null;
  /** Whether backends with `process:` may be made over the API: on the control socket and a loopback address, or nowhere. */
  commands: 'loopback' | 'off';
  /** Further names that the Host of a request may have. Lower case. */
  hosts: string[];
}

export interface AdminToken {
  name: string;
  /** `sha256:` and 64 hex digits. */
  hash: string;
  scope: AdminScope;
}
/** Where traffic events are published, and which. */
export interface EventsConfig {
  bus: EventBusConfig;
  /** One event a request, besides those of wakes and windows. */
  each: boolean;
  /** The start of the names under which they are stored: stream keys, subjects. */
  stream: string;
  /** Events that a stream holds, about: the oldest make room. */
  maxLength: number;
  /** Events that are kept while the bus takes none, at most. */
  buffer: number;
}

export type EventBusConfig =
  | { kind: 'memory' }
  | {
      kind: 'redis' | 'nats';
      /** With user and password, where it has them. */
      url: string;
      /** Absolute paths; null: none. Read at each connection. */
      passwordFile: string | null;
      /** Of NATS: a .creds file, a user's JWT and key. */
      credentialsFile: string | null;
      /** null: as the URL says, with the authorities that the system knows. */
      tls: { caFile: string | null; certFile: string | null; keyFile: string | null; serverName: string | null } | null;
    };

export interface HostPort {
  /** IP address or name; IPv6 without brackets. */
  host: string;
  /** 0 = any free port. */
  port: number;
}

export interface PluginConfig {
  /** Absolute path of the module. */
  path: string;
  /** Changes with the content of the file, so that a changed module is loaded anew. */
  version: string;
}

export interface MetricsSinkConfig {
  /** A name in the registry of metrics sinks. */
  type: string;
  /** As its schema left them. */
  options: unknown;
  intervalMs: number;
}

export interface TracesConfig {
  /** Base URL of an OTLP/HTTP receiver; `/v1/traces` is added when the path is empty. */
  otlp: string;
  /** Share of the requests without a sampled traceparent that are recorded, 0 to 100. */
  samplePercent: number;
  /** Sent with each export, say an authorization. */
  headers: Record<string, string>;
  serviceName: string;
}

/** Addresses or CIDR blocks, v4 and v6. `deny` wins; with an `allow` that isn't empty everybody else is refused. */
export interface ClientRules {
  allow: string[];
  deny: string[];
}

export interface ListenerConfig {
  name: string;
  address: HostPort;
  /** http: HTTP/1.1 and h2c; https: TLS with ALPN h2 and http/1.1; tls: passed through by SNI; tcp: to `backend`. */
  protocol: 'http' | 'https' | 'tls' | 'tcp';
  /** tcp only: where its connections go. */
  backend: string | null;
  /** https only. */
  tls: ListenerTlsConfig | null;
  /** CIDR blocks of peers whose connections begin with a PROXY header (v1 or v2); others' are taken as they are. */
  proxyProtocol: { acceptFrom: string[] };
  clients: ClientRules;
  http2: Http2Config;
  limits: {
    /** Connections open at once per worker; beyond it new ones are refused with 503 and closed. 0 = no bound. */
    connections: number;
    headerBytes: number;
    headers: number;
    uriBytes: number;
    /** 0 = no bound. */
    bodyBytes: number;
  };
  timeouts: {
    /** From the first byte of a request (or the opened connection) to the end of its head. 408. */
    headerMs: number;
    /** Longest pause between two reads of a request body. 408. */
    bodyMs: number;
    /** Longest pause between two requests. The connection is closed. */
    idleMs: number;
  };
}

export interface Http2Config {
  /** Concurrent streams per connection (SETTINGS_MAX_CONCURRENT_STREAMS). */
  maxStreams: number;
  /** Streams that a client may reset per second and connection; beyond it the connection ends with ENHANCE_YOUR_CALM. */
  maxResetsPerSecond: number;
  /** Flow control window per stream, bytes. */
  windowBytes: number;
}

export interface ListenerTlsConfig {
  /** At least one; the first is used for clients whose SNI none of them names. */
  certificates: (CertificateFiles | InlineCertificate)[];
  minVersion: '1.2' | '1.3';
  clientAuth: { caFile: string | null; mode: 'none' | 'optional' | 'require' };
  hsts: { maxAgeSeconds: number; includeSubdomains: boolean; preload: boolean } | null;
}

/** Absolute paths, read anew when the files change. */
export interface CertificateFiles {
  certFile: string;
  keyFile: string;
}

/** A certificate that is not in files: what a gateway of a cluster is told of a Secret. */
export interface InlineCertificate {
  /** Names it in messages: `Secret shop/tls`. */
  name: string;
  /** PEM: the certificate, then those of its issuers. */
  cert: string;
  /** PEM. Never logged. */
  key: string;
  /** Names that it is shown for, lower case; `*.` stands for one or more labels. Empty: those of the certificate. */
  hosts: string[];
}

/** TLS towards endpoints. Absolute paths. */
export interface EndpointTlsConfig {
  /** null: the certificate authorities of Node. */
  caFile: string | null;
  /** Name to ask for and to verify; null: the server's host, or the backend's name when that is an address. */
  serverName: string | null;
  certFile: string | null;
  keyFile: string | null;
  /** The certificate is not verified. */
  insecure: boolean;
}

export interface EjectionConfig {
  /** Errors in a row (5xx, connect failures, resets) after which an endpoint gets nothing for a while; 0: never for this. */
  consecutiveErrors: number;
  /** Share of failed requests in the window that ejects, 0 to 100; 0: never for this. */
  failurePercent: number;
  /** Requests in the window below which the share says nothing. */
  minimumRequests: number;
  windowMs: number;
  /** How long, times the number of ejections in a row. */
  baseMs: number;
  /** Share of the endpoints that may be ejected at once, 0 to 100. */
  maxEjectedPercent: number;
}

export interface BreakerConfig {
  /** Share of failed requests in the window that opens it, over 0 to 100. */
  failurePercent: number;
  windowMs: number;
  /** Requests in the window below which it stays closed. */
  minimumRequests: number;
  /** How long it stays open before trials are let through. */
  openForMs: number;
  /** Requests that are let through while half open. */
  trials: number;
  fallback: FallbackConfig;
}

/** What is answered while the breaker is open. */
export interface FallbackConfig {
  status: number;
  /** Each name and value; checked to be a header line. */
  headers: Record<string, string>;
  /** null: problem+json of the gateway. The content of `file` stands here when the file names one. */
  body: string | null;
}

export interface BackendConfig {
  name: string;
  source: BackendSource;
  clients: ClientRules;
  /** null: plain. */
  tls: EndpointTlsConfig | null;
  /** PROXY header that each connection to an endpoint begins with. Such connections are not shared between clients. */
  proxyProtocol: 'off' | 'v1' | 'v2';
  /** null: never ejects. */
  ejection: EjectionConfig | null;
  /** null: none. */
  breaker: BreakerConfig | null;
  scale: ScaleConfig;
  idle: IdleConfig;
  wake: WakeConfig;
  balance: BalanceConfig;
  endpoints: EndpointsConfig;
  /** Active health checks; null: none. */
  health: HealthConfig | null;
  /** What wakes it, keeps it awake and asks for instances, besides requests. */
  triggers: TriggerConfig[];
  /** Further ports of its instances: gateways know each as a backend `<name>:<port name>`. Missing: there is one port. */
  ports?: BackendPort[];
}

export interface BackendPort {
  /** As in Endpoint.ports. */
  name: string;
  /** What is spoken there. */
  protocol: EndpointsConfig['protocol'];
}

export interface TriggerConfig {
  /** Unique among the backend's. */
  name: string;
  /** A name in the registry of triggers. */
  type: string;
  /** As its schema left them. */
  options: unknown;
}

export type BackendSource =
  | { driver: 'process'; process: ProcessConfig }
  | { driver: 'static'; servers: StaticServer[] }
  | { driver: 'kubernetes'; kubernetes: KubernetesConfig };

/** A workload of a Kubernetes cluster: whatever has a /scale subresource. Its pods are the instances. */
export interface KubernetesConfig {
  /** That of the Backend object; target and Service are in it too. */
  namespace: string;
  target: { apiVersion: string; kind: string; name: string };
  /** The Service that its clients use: tells at which ports pods listen. null: `port` of the pods is used. */
  service: string | null;
  /** Where pods listen when there is no Service; 0 otherwise. With neither they listen nowhere: workers of a queue. */
  port: number;
  /** The KEDA object that scales the target and is paused while it sleeps; null: none. */
  autoscaler: { kind: 'ScaledObject'; name: string } | null;
  /** probe: the first connection that a pod's port takes; pod: its condition Ready, with readiness gates. */
  ready: 'probe' | 'pod';
}

export interface IdleConfig {
  /** Whether an open WebSocket keeps it awake. */
  webSockets: 'awake' | 'ignore';
  /** null: not asked. */
  prometheus: PrometheusIdleConfig | null;
  /** null: always allowed. */
  schedule: ScheduleIdleConfig | null;
  /** How long nothing may come through the gateways once the Service is redirected to them, before it is scaled to zero. */
  settleMs: number;
}

/** Idle: every sample of `query` is below `threshold`. No answer, an empty one and a Prometheus that started only just now are not idle. */
export interface PrometheusIdleConfig {
  /** http or https URL. */
  serverAddress: string;
  query: string;
  threshold: number;
  /** An instant query whose value is the seconds that Prometheus has been up, or 1 when it was up all the time; null: a query of our own. */
  uptimeQuery: string | null;
  scrapeIntervalMs: number;
}

/** Cron expressions of five fields, each the set of the minutes that it names. */
export interface ScheduleIdleConfig {
  /** An IANA name. */
  timezone: string;
  /** Minutes in which it may sleep; empty: all. */
  allow: string[];
  /** Minutes in which it is awake. */
  awake: string[];
}

export interface StaticServer {
  host: string;
  port: number;
  /** >= 0; 0 gets nothing. */
  weight: number;
  /** Gets requests only while no other server is ready. */
  backup: boolean;
}

export interface ProcessConfig {
  /** At least one element; `${PORT}` and `${INSTANCE}` are still in it. */
  command: string[];
  /** Absolute. */
  cwd: string;
  /** Added to the environment of dormouse; `${PORT}` and `${INSTANCE}` are still in it. */
  env: Record<string, string>;
  user: string | null;
  /** 'auto': a free port, told in PORT. 'none': it listens nowhere, no route leads to it. */
  port: 'auto' | 'none' | number;
  socket: 'connect' | 'inherited';
  /** started: as soon as it runs. */
  ready: { kind: 'tcp' } | { kind: 'http'; path: string; status: StatusRange } | { kind: 'started' };
  startTimeoutMs: number;
  stopGraceMs: number;
  sleep: 'stop' | 'freeze';
  crash: { backoffMs: number; maxBackoffMs: number };
  logs: { lines: number };
}

/** Inclusive. */
export interface StatusRange {
  from: number;
  to: number;
}

export interface ScaleConfig {
  min: number;
  max: number;
  /** Who decides between one and max: dormouse, an HPA or KEDA (zero too), or whoever does already. The last three are of a cluster. */
  by: 'dormouse' | 'hpa' | 'keda' | 'none';
  /** Each instance is a run: it does a batch of messages and ends by itself. null: instances work until they are ended. */
  jobs: JobsConfig | null;
  idleAfterMs: number;
  target: { metric: 'concurrency' | 'rps'; value: number; utilizationPercent: number };
  windows: { stableMs: number; panicPercent: number; panicThresholdPercent: number };
  rates: { up: number; down: number };
  scaleDownDelayMs: number;
  /** What is made of the triggers' numbers; null: the largest wins. */
  formula: FormulaConfig | null;
  /** At least so many instances once a trigger has failed so often in a row; null: it stays as it is. */
  fallback: { failures: number; replicas: number } | null;
}

export interface FormulaConfig {
  /** As written. */
  text: string;
  expression: FormulaNode;
  /** Trigger names by how the formula writes them. */
  names: Readonly<Record<string, string>>;
  /** Of one instance, for a formula over what triggers measured; null: it is over the instances that each asks for. */
  target: number | null;
  /** Active above this; with `target` only. */
  activationTarget: number;
}

export interface JobsConfig {
  /** Messages of one run. */
  batch: number;
  /** Runs that have ended and are remembered, the newest ones. */
  history: number;
}

export interface WakeConfig {
  timeoutMs: number;
  /** Across all workers. */
  maxHeld: number;
  /** Across all workers. */
  maxHeldBytes: number;
  /** Names of backends that are awake before this one is started, in order. */
  with: string[];
  page: boolean;
  /** How long a start may visibly hang (unschedulable, image errors, crashes) before holds are answered 503 with the reason. */
  failFastAfterMs: number;
  /** Wakes it at these times, before it is needed; null: never. */
  before: { cron: string; timezone: string } | null;
  /** Requests that are answered without waking while no instance is ready, first match wins. */
  answers: WakeAnswer[];
  /** Requests that may not wake: 503 while no instance is ready. */
  never: { userAgents: ValueMatch[]; clients: string[] };
}

export interface WakeAnswer {
  match: MatchConfig;
  status: number;
  headers: Record<string, string>;
  body: string;
}

export interface BalanceConfig {
  /** A name in the registry of strategies. */
  strategy: string;
  hash: HashKey | null;
  /** A cookie that keeps a client at its endpoint; `ttlMs` 0: for the browser's session. */
  sticky: { cookie: string; ttlMs: number } | null;
  /** An endpoint that became ready gets its full share only after this. */
  slowStartMs: number;
  /** For a strategy of a plugin: its options, as its schema left them. */
  options?: unknown;
  /** For a strategy of a plugin: the plugin's version, so that a changed one makes a new strategy. */
  plugin?: string;
}

export type HashKey =
  | { by: 'header'; name: string }
  | { by: 'cookie'; name: string }
  | { by: 'client' }
  | { by: 'uri' };

export interface EndpointsConfig {
  /** Open connections to one endpoint per worker; beyond it requests wait in the hold queue. 0 = no bound. */
  maxConnections: number;
  /** Requests in flight at one endpoint per worker; beyond it requests wait in the hold queue. 0 = no bound. Differs from connections for HTTP/2. */
  maxRequests: number;
  /** What endpoints speak. */
  protocol: 'http1' | 'h2c' | 'h2' | 'tcp';
  idlePerEndpoint: number;
  connectTimeoutMs: number;
  idleTimeoutMs: number;
}

export interface HealthConfig {
  /** null: a TCP connect is enough. */
  path: string | null;
  intervalMs: number;
  timeoutMs: number;
  status: StatusRange;
  rise: number;
  fall: number;
}

export interface RouteConfig {
  name: string;
  /** Names; empty: all. */
  listeners: string[];
  /** Lower case; empty: all. A wildcard is `*.` and a suffix, as in the Gateway API. */
  hosts: string[];
  clients: ClientRules;
  rules: RuleConfig[];
}

export interface RuleConfig {
  /** At least one; any of them matches the rule. */
  matches: MatchConfig[];
  filters: FilterConfig[];
  /** May be empty only when a filter answers (redirect). */
  backends: { name: string; weight: number }[];
  timeouts: {
    /** From the request's head to the end of the response, holds apart; 504 (or 408 while its body is still to come). 0 = none. */
    requestMs: number;
    /** From the moment a try begins to the head of its response; the next try, or 504. 0 = none. */
    perTryMs: number;
    /** Longest pause in which nothing passes in either direction once the request is at an endpoint; 504, or a broken response. 0 = none. */
    idleMs: number;
  };
  retry: RetryConfig;
  webSocket: { idleMs: number; pingMs: number };
  sse: { heartbeatMs: number; retryMs: number };
}

/** What may be tried again: `connect` no connection; `reset` it ended before a response; `timeout` perTry has passed; or a status. */
export type RetryCondition = 'connect' | 'reset' | 'timeout' | '5xx' | '502' | '503' | '504';

export interface RetryConfig {
  /** Tries in all, the first too, >= 1. */
  attempts: number;
  on: RetryCondition[];
  /** Mean pause before the second try; doubles, with full jitter. */
  backoffMs: number;
  /** Retries may be at most this share of the requests of a backend, in a window of 10 s per worker; 3 a second are always allowed. */
  budgetPercent: number;
}

export interface MatchConfig {
  path: { kind: 'exact' | 'prefix' | 'regex'; value: string };
  /** Upper case; empty: all. */
  methods: string[];
  headers: ValueMatch[];
  query: ValueMatch[];
}

export interface ValueMatch {
  /** For headers: lower case. */
  name: string;
  kind: 'exact' | 'regex';
  value: string;
}

/** One filter, as its own schema left it. `type` is its name in the registry of filters. */
export interface FilterConfig {
  type: string;
  options: unknown;
}
