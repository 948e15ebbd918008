/** A compiled configuration with the documented defaults, for tests that need one without reading a file. Each call gives new objects. */
import type { BackendConfig, Config, ListenerConfig, RouteConfig, RuleConfig } from './config.ts';

export function defaultListener(more: Partial<ListenerConfig> = {}): ListenerConfig {
  return {
    name: 'web',
    address: { host: '127.0.0.1', port: 0 },
    protocol: 'http',
    backend: null,
    tls: null,
    proxyProtocol: { acceptFrom: [] },
    clients: { allow: [], deny: [] },
    http2: { maxStreams: 128, maxResetsPerSecond: 200, windowBytes: 1 << 20 },
    limits: { connections: 10_000, headerBytes: 32_000, headers: 100, uriBytes: 8000, bodyBytes: 0 },
    timeouts: { headerMs: 10_000, bodyMs: 60_000, idleMs: 75_000 },
    ...more,
  };
}

/** Everything of a backend but who runs it. */
export function defaultBackend(name: string): Omit<BackendConfig, 'source'> {
  return {
    name,
    clients: { allow: [], deny: [] },
    tls: null,
    proxyProtocol: 'off',
    ejection: {
      consecutiveErrors: 5,
      failurePercent: 85,
      minimumRequests: 20,
      windowMs: 10_000,
      baseMs: 30_000,
      maxEjectedPercent: 50,
    },
    breaker: null,
    scale: {
      min: 0,
      max: 1,
      by: 'dormouse',
      jobs: null,
      idleAfterMs: 60_000,
      target: { metric: 'concurrency', value: 100, utilizationPercent: 70 },
      windows: { stableMs: 60_000, panicPercent: 10, panicThresholdPercent: 200 },
      rates: { up: 1000, down: 2 },
      scaleDownDelayMs: 0,
      formula: null,
      fallback: null,
    },
    idle: { webSockets: 'awake', prometheus: null, schedule: null, settleMs: 2000 },
    wake: {
      timeoutMs: 60_000,
      maxHeld: 1000,
      maxHeldBytes: 64 << 20,
      with: [],
      page: false,
      failFastAfterMs: 10_000,
      before: null,
      answers: [],
      never: { userAgents: [], clients: [] },
    },
    balance: { strategy: 'round-robin', hash: null, sticky: null, slowStartMs: 0 },
    endpoints: {
      maxConnections: 0,
      maxRequests: 0,
      protocol: 'http1',
      idlePerEndpoint: 64,
      connectTimeoutMs: 1000,
      idleTimeoutMs: 60_000,
    },
    health: null,
    triggers: [],
  };
}

/** The rule that sends everything to one backend. */
export function defaultRule(backend: string, more: Partial<RuleConfig> = {}): RuleConfig {
  return {
    matches: [{ path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [] }],
    filters: [],
    backends: [{ name: backend, weight: 1 }],
    timeouts: { requestMs: 0, perTryMs: 0, idleMs: 0 },
    retry: { attempts: 2, on: ['connect'], backoffMs: 25, budgetPercent: 20 },
    webSocket: { idleMs: 0, pingMs: 30_000 },
    sse: { heartbeatMs: 15_000, retryMs: 3000 },
    ...more,
  };
}

export function defaultRoute(backend: string, rule: Partial<RuleConfig> = {}): RouteConfig {
  return {
    name: backend,
    listeners: [],
    hosts: [],
    clients: { allow: [], deny: [] },
    rules: [defaultRule(backend, rule)],
  };
}

export function defaultTelemetry(): Config['telemetry'] {
  return {
    accessLog: { format: 'json', file: 'stdout', redact: [] },
    log: { level: 'info', format: 'json' },
    traces: null,
    serverTiming: false,
    metricsSinks: [],
  };
}

export function defaultEvents(): Config['events'] {
  return { bus: { kind: 'memory' }, each: false, stream: 'dormouse.traffic', maxLength: 100_000, buffer: 10_000 };
}
