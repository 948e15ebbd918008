/**
 * The compiled configuration: what config/ makes of dormouse.yaml, frozen. Durations are in ms, sizes in bytes, percents are numbers of
 * 0 to 100, `0` of a limit means no bound where the key's comment says so. Everything has its default filled in.
 */
export interface Config {
  /** Number of gateway workers, >= 1. */
  workers: number;
  /** Absolute path. */
  stateDir: string;
  shutdown: { drainMs: number };
  listeners: ListenerConfig[];
  /** In the order of the file. */
  backends: BackendConfig[];
  /** In the order of the file. */
  routes: RouteConfig[];
  security: { trustedProxies: string[] };
  /** null: switched off. */
  observe: { address: HostPort } | null;
  telemetry: {
    accessLog: { format: 'json' | 'common' | 'off'; file: string; redact: string[] };
    log: { level: 'debug' | 'info' | 'warn' | 'error' | 'silent'; format: 'auto' | 'json' | 'pretty' };
  };
  /** Gateways report demand this often: 1000, less when a backend's idleAfter is short (a quarter of it, at least 50). */
  reportIntervalMs: number;
}

export interface HostPort {
  /** IP address or name; IPv6 without brackets. */
  host: string;
  /** 0 = any free port. */
  port: number;
}

export interface ListenerConfig {
  name: string;
  address: HostPort;
  protocol: 'http';
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

export interface BackendConfig {
  name: string;
  source: BackendSource;
  scale: ScaleConfig;
  idle: { webSockets: 'awake' | 'ignore' };
  wake: WakeConfig;
  balance: BalanceConfig;
  endpoints: EndpointsConfig;
  /** Active health checks; null: none. */
  health: HealthConfig | null;
}

export type BackendSource =
  | { driver: 'process'; process: ProcessConfig }
  | { driver: 'static'; servers: StaticServer[] };

export interface StaticServer {
  host: string;
  port: number;
  /** >= 0; 0 gets nothing. */
  weight: number;
}

export interface ProcessConfig {
  /** At least one element; `${PORT}` and `${INSTANCE}` are still in it. */
  command: string[];
  /** Absolute. */
  cwd: string;
  /** Added to the environment of dormouse; `${PORT}` and `${INSTANCE}` are still in it. */
  env: Record<string, string>;
  user: string | null;
  /** 'auto': a free port, told in PORT. */
  port: 'auto' | number;
  socket: 'connect' | 'inherited';
  ready: { kind: 'tcp' } | { kind: 'http'; path: string; status: StatusRange };
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
  by: 'dormouse' | 'none';
  idleAfterMs: number;
  target: { metric: 'concurrency' | 'rps'; value: number; utilizationPercent: number };
  windows: { stableMs: number; panicPercent: number; panicThresholdPercent: number };
  rates: { up: number; down: number };
  scaleDownDelayMs: number;
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
}

export interface BalanceConfig {
  /** A name in the registry of strategies. */
  strategy: string;
  hash: HashKey | null;
}

export type HashKey =
  | { by: 'header'; name: string }
  | { by: 'cookie'; name: string }
  | { by: 'client' }
  | { by: 'uri' };

export interface EndpointsConfig {
  /** Open connections to one endpoint per worker; beyond it requests wait in the hold queue. 0 = no bound. */
  maxConnections: number;
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
  rules: RuleConfig[];
}

export interface RuleConfig {
  /** At least one; any of them matches the rule. */
  matches: MatchConfig[];
  filters: FilterConfig[];
  /** May be empty only when a filter answers (redirect). */
  backends: { name: string; weight: number }[];
  retry: { attempts: number };
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
