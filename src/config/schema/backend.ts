import { z } from 'zod';
import type { HostPort } from '../../model/config.ts';
import { shown } from '../config-error.ts';
import { didYouMean } from '../nearest.ts';
import { clientsSection } from './clients.ts';
import { idleSection } from './idle.ts';
import { kubernetesSection } from './kubernetes.ts';
import { breakerSection, ejectionSection, healthSection } from './resilience.ts';
import { partEntry, type PartSchemas } from './named-parts.ts';
import { wakeSection } from './wake.ts';
import {
  Rejected,
  TOKEN,
  duration,
  headerName,
  isHostName,
  number,
  oneOf,
  percent,
  scalar,
  section,
  statusRange,
  text,
  toggle,
  TIMER_MS,
} from './scalars.ts';

/** What the registry knows that a backend may name. */
export interface BackendParts {
  strategies: readonly string[];
  /** Strategies with options of their own. */
  pluginStrategies: PartSchemas;
  triggers: PartSchemas;
}

/** An entry of `backends:`. */
export function backendSchema(parts: BackendParts) {
  const strategies = [...parts.strategies, ...Object.keys(parts.pluginStrategies)];
  return section({
    process: processSection().optional(),
    kubernetes: kubernetesSection().optional(),
    servers: z
      .array(z.union([serverUrl(), serverEntry()]))
      .min(1)
      .max(1000)
      .optional(),
    scale: section({
      min: number({ min: 0, max: 1000 }).prefault(0),
      max: number({ min: 1, max: 1000 }).optional(),
      by: oneOf(['dormouse', 'hpa', 'keda', 'none']).prefault('dormouse'),
      jobs: section({
        batch: number({ min: 1, max: 1_000_000 }).prefault(1),
        history: number({ min: 0, max: 1000 }).prefault(10),
      }).optional(),
      idleAfter: duration().prefault('60s'),
      target: section({
        concurrency: number({ min: 0, max: 1_000_000, whole: false, above: true }).optional(),
        rps: number({ min: 0, max: 10_000_000, whole: false, above: true }).optional(),
        utilizationPercent: percent({ min: 1, max: 100 }).prefault(70),
      }).prefault({}),
      windows: section({
        stable: duration({ minMs: 1000, maxMs: 3_600_000 }).prefault('60s'),
        panicPercent: percent({ min: 1, max: 100 }).prefault(10),
        panicThresholdPercent: percent({ min: 100, max: 1000 }).prefault(200),
      }).prefault({}),
      rates: section({
        up: number({ min: 1, max: 1_000_000, whole: false, above: true }).prefault(1000),
        down: number({ min: 1, max: 1_000_000, whole: false, above: true }).prefault(2),
      }).prefault({}),
      scaleDownDelay: duration({ maxMs: 3_600_000 }).prefault('0s'),
      formula: z
        .union([
          text({ max: 4096, lines: true, what: 'a formula' }),
          section({
            expression: text({ max: 4096, lines: true, what: 'a formula' }),
            target: number({ min: 0, max: 1e15, whole: false, above: true }).optional(),
            activationTarget: number({ min: 0, max: 1e15, whole: false }).optional(),
          }),
        ])
        .optional(),
      fallback: section({
        failures: number({ min: 1, max: 1_000_000 }).prefault(3),
        replicas: number({ min: 0, max: 1000 }),
      }).optional(),
    }).prefault({}),
    idle: idleSection(),
    wake: wakeSection(),
    balance: section({
      strategy: strategyName(strategies).prefault('round-robin'),
      options: z.unknown().optional(),
      hash: section({
        header: headerName().optional(),
        cookie: cookieName().optional(),
        client: oneOf(['address']).optional(),
        uri: yes().optional(),
      }).optional(),
      sticky: section({ cookie: cookieName(), ttl: duration().prefault('0s') }).optional(),
      slowStart: duration({ maxMs: 3_600_000 }).prefault('0s'),
    })
      .transform((balance, context) => {
        const schema = parts.pluginStrategies[balance.strategy];
        if (schema === undefined) return balance;
        const options = schema.safeParse(balance.options);
        if (options.success) return { ...balance, options: options.data };
        for (const issue of options.error.issues) {
          context.issues.push({ ...issue, path: ['options', ...issue.path] } as (typeof context.issues)[number]);
        }
        return z.NEVER;
      })
      .prefault({}),
    endpoints: section({
      maxConnections: number({ min: 0, max: 1_000_000 }).prefault(0),
      maxRequests: number({ min: 0, max: 1_000_000 }).prefault(0),
      protocol: oneOf(['http1', 'h2c', 'h2', 'tcp']).optional(),
      idlePerEndpoint: number({ min: 0, max: 100_000 }).prefault(64),
      connectTimeout: duration({ minMs: 1, maxMs: TIMER_MS }).prefault('1s'),
      idleTimeout: duration({ minMs: 1 }).prefault('60s'),
    }).prefault({}),
    clients: clientsSection(),
    tls: section({
      ca: text().optional(),
      serverName: serverName().optional(),
      cert: text().optional(),
      key: text().optional(),
      insecure: toggle().prefault('off'),
    }).optional(),
    proxyProtocol: oneOf(['off', 'v1', 'v2']).prefault('off'),
    health: healthSection(),
    ejection: ejectionSection(),
    breaker: breakerSection(),
    triggers: z
      .array(partEntry('trigger', parts.triggers, { name: triggerName().optional() }))
      .max(100)
      .prefault([]),
  });
}

export type BackendEntry = z.output<ReturnType<typeof backendSchema>>;

function processSection() {
  return section({
    command: z
      .array(text({ max: 131_072, empty: true, lines: true }))
      .min(1)
      .max(1000),
    cwd: text().prefault('.'),
    env: z.record(variableName(), text({ max: 131_072, empty: true, lines: true })).prefault({}),
    user: text({ max: 64 }).optional(),
    port: scalar<'auto' | 'none' | number>(
      { anyOf: [{ enum: ['auto', 'none'] }, { type: 'integer', minimum: 1, maximum: 65_535 }] },
      (value) => {
        if (value === 'auto' || value === 'none') return value;
        if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535) return value;
        return new Rejected(`expected auto, none or a port from 1 to 65535, got ${shown(value)}`);
      },
    ).prefault('auto'),
    socket: oneOf(['connect', 'inherited']).prefault('connect'),
    ready: section({
      tcp: yes().optional(),
      http: requestPathAndQuery().optional(),
      status: statusRange().optional(),
    }).prefault({}),
    startTimeout: duration({ minMs: 1, maxMs: TIMER_MS }).prefault('60s'),
    stopGrace: duration({ maxMs: TIMER_MS }).prefault('10s'),
    sleep: oneOf(['stop', 'freeze']).prefault('stop'),
    crash: section({
      backoff: duration({ minMs: 1, maxMs: TIMER_MS }).prefault('1s'),
      maxBackoff: duration({ minMs: 1, maxMs: TIMER_MS }).prefault('60s'),
    }).prefault({}),
    logs: section({ lines: number({ min: 0, max: 1_000_000 }).prefault(1000) }).prefault({}),
  });
}

/** Where a server listens, and what its URL says of how it is spoken to. */
export interface ServerUrl extends HostPort {
  scheme: 'http' | 'https' | 'tcp';
}

function serverUrl() {
  return scalar<ServerUrl>({ type: 'string', pattern: '^(https?|tcp)://', maxLength: 300 }, readServerUrl);
}

function serverEntry() {
  return section({
    url: serverUrl(),
    weight: number({ min: 0, max: 1_000_000 }).prefault(1),
    backup: toggle().prefault('off'),
  });
}

const STANDARD_PORTS = { http: 80, https: 443, tcp: 0 } as const;

/** `http://host:port`, https or tcp: where a server listens, nothing more. */
function readServerUrl(value: unknown): ServerUrl | Rejected {
  const hint = 'write http://host:port';
  if (typeof value !== 'string' || value.length > 300) return new Rejected(`expected a URL, got ${shown(value)}`, hint);
  const scheme = /^(http|https|tcp):\/\//i.exec(value)?.[1]?.toLowerCase() as ServerUrl['scheme'] | undefined;
  // URL knows hosts and ports of http only.
  const url = scheme === undefined ? null : URL.parse(`http${value.slice(scheme.length)}`);
  if (scheme === undefined || url === null) {
    const withScheme = URL.parse(`http://${value}`);
    const guess =
      withScheme !== null && withScheme.pathname === '/' && /^[\w.:[\]-]+$/.test(value)
        ? `write http://${value}`
        : hint;
    return new Rejected(`${shown(value)} is not an http, https or tcp URL`, guess);
  }
  if (url.username !== '' || url.password !== '') return new Rejected('a server has no user name and password', hint);
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    return new Rejected(
      `${shown(value)} has a path`,
      `write ${scheme}://${url.host} and change paths with the filter rewrite`,
    );
  }
  // As written: URL leaves http's own port 80 out.
  const written = /:(\d+)\/?$/.exec(value)?.[1];
  const port = written === undefined ? STANDARD_PORTS[scheme] : Number(written);
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  if (port === 0)
    return new Rejected(
      scheme === 'tcp' && written === undefined ? `${shown(value)} has no port` : 'a server has no port 0',
      scheme === 'tcp' ? 'write tcp://host:port' : hint,
    );
  return host.includes(':') || /^[\d.]+$/.test(host) || isHostName(host)
    ? { scheme, host, port }
    : new Rejected(`${shown(host)} is not a host`, hint);
}

function serverName() {
  return scalar<string>({ type: 'string', minLength: 1, maxLength: 253 }, (value) =>
    typeof value === 'string' && isHostName(value)
      ? value.toLowerCase()
      : new Rejected(`${shown(value)} is not a host name`, 'write the name that the certificate has'),
  );
}

function variableName() {
  return z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_.-]*$/, 'not the name of an environment variable')
    .max(256);
}

/** It becomes a label of metrics and a part of a metric's name. */
export function triggerName() {
  return scalar<string>({ type: 'string', pattern: TRIGGER_NAME.source, maxLength: 63 }, (value) => {
    const plain = typeof value === 'number' ? String(value) : value;
    if (typeof plain !== 'string') return new Rejected(`expected a name, got ${shown(value)}`);
    if (plain.length > 63) return new Rejected('the name of a trigger has at most 63 characters');
    return TRIGGER_NAME.test(plain)
      ? plain
      : new Rejected(`${shown(value)} is not a name`, 'use a-z, 0-9, -, _ and . only, with a letter first');
  });
}

const TRIGGER_NAME = /^[a-zA-Z][-_a-zA-Z0-9.]*$/;

function cookieName() {
  return scalar<string>({ type: 'string', pattern: TOKEN.source, maxLength: 256 }, (value) =>
    typeof value === 'string' && value.length <= 256 && TOKEN.test(value)
      ? value
      : new Rejected(`${shown(value)} is not a cookie name`),
  );
}

function strategyName(strategies: readonly string[]) {
  // Of plugins' strategies an editor knows nothing.
  return scalar<string>({ anyOf: [{ enum: [...strategies] }, { type: 'string' }] }, (value) => {
    if (typeof value === 'string' && strategies.includes(value)) return value;
    const hint = typeof value === 'string' ? didYouMean(value, strategies) : undefined;
    return new Rejected(`${shown(value)} is not a strategy`, hint ?? `there are ${strategies.join(', ')}`);
  });
}

/** A key that says what it means by being there. */
function yes() {
  return scalar<true>({ const: true }, (value) =>
    value === true ? true : new Rejected(`expected true, got ${shown(value)}`),
  );
}

function requestPathAndQuery() {
  return scalar<string>({ type: 'string', pattern: '^/[^#\\s]*$', maxLength: 2048 }, (value) =>
    typeof value === 'string' && value.length <= 2048 && /^\/[\u0021\u0022\u0024-\u007e]*$/.test(value)
      ? value
      : new Rejected(`expected a path that starts with /, got ${shown(value)}`),
  );
}
