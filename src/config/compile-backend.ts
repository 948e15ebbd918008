import type { BackendConfig, BalanceConfig, EndpointTlsConfig, HashKey, WakeConfig } from '../model/config.ts';
import { authoritiesFile, pairFiles, type CertificateContext } from './certificate-files.ts';
import { compileMatch } from './compile-match.ts';
import { compileIdle, idleWithoutEffect } from './compile-idle.ts';
import { compileBreaker, compileEjection, compileHealth } from './compile-resilience.ts';
import { compileJobs } from './compile-jobs.ts';
import { compileSource, schemeOf } from './compile-source.ts';
import { compileFormula, compileTriggers, httpTarget } from './compile-triggers.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { BackendEntry } from './schema/backend.ts';
import type { PluginParts } from './schema/file.ts';

/** What compiling a backend takes and fills besides the entry itself. */
export interface BackendContext extends CertificateContext {
  folder: string;
  plugins: PluginParts | undefined;
  /** An object of a cluster, whose operator makes what scale.by asks for. Missing: a file. */
  inCluster?: boolean;
}

/** One entry of `backends:` in the shape of the model. What is inconsistent goes to `problems`; the result counts only when nothing did. */
export function compileBackend(name: string, entry: BackendEntry, context: BackendContext): BackendConfig | undefined {
  const { folder, files, problems } = context;
  const at: Path = ['backends', name];
  const source = compileSource(entry, at, folder, problems);
  if (source === undefined) return undefined;
  const tls = compileTls(entry, at, context);
  for (const warning of idleWithoutEffect(entry, source.driver, at)) context.warnings.push(warning);
  return {
    name,
    source,
    clients: entry.clients,
    tls: named(tls, source),
    proxyProtocol: entry.proxyProtocol,
    ejection: compileEjection(entry.ejection),
    breaker: compileBreaker(entry.breaker, [...at, 'breaker'], files, problems),
    scale: compileScale(entry, at, context.inCluster === true, problems),
    idle: compileIdle(entry.idle, [...at, 'idle'], problems),
    wake: compileWake(entry, [...at, 'wake'], problems),
    balance: compileBalance(entry, at, context.plugins, problems),
    endpoints: {
      maxConnections: entry.endpoints.maxConnections,
      maxRequests: entry.endpoints.maxRequests,
      protocol: compileProtocol(entry, tls, at, problems),
      idlePerEndpoint: entry.endpoints.idlePerEndpoint,
      connectTimeoutMs: entry.endpoints.connectTimeout,
      idleTimeoutMs: entry.endpoints.idleTimeout,
    },
    health: compileHealth(entry.health),
    triggers: compileTriggers(entry, at, { ...context, inCluster: context.inCluster === true }),
  };
}

/** Pods have addresses, which certificates rarely name: the name of their Service inside of the cluster is asked for. */
function named(tls: EndpointTlsConfig | null, source: BackendConfig['source']): EndpointTlsConfig | null {
  if (tls === null || tls.serverName !== null || source.driver !== 'kubernetes') return tls;
  const { service, namespace, target } = source.kubernetes;
  return { ...tls, serverName: service === null ? target.name : `${service}.${namespace}.svc` };
}

function compileProtocol(
  entry: BackendEntry,
  tls: EndpointTlsConfig | null,
  at: Path,
  problems: Problem[],
): BackendConfig['endpoints']['protocol'] {
  const scheme = schemeOf(entry);
  const given = entry.endpoints.protocol;
  const protocol = given ?? (scheme === 'tcp' ? 'tcp' : 'http1');
  const path = [...at, 'endpoints', 'protocol'];
  if (scheme === 'tcp' && protocol !== 'tcp') {
    problems.push(problem(path, `is ${protocol}, but the servers are tcp`, `write http://… servers, or protocol: tcp`));
  } else if (protocol === 'h2' && tls === null) {
    problems.push(problem(path, 'h2 needs tls', 'add tls: {}, or https servers; without TLS it is h2c'));
  } else if (protocol === 'h2c' && tls !== null) {
    problems.push(problem(path, 'h2c is HTTP/2 without TLS, but there is tls', 'write protocol: h2'));
  }
  if (entry.proxyProtocol !== 'off' && (protocol === 'h2' || protocol === 'h2c')) {
    const message = `has no place with endpoints.protocol ${protocol}, whose connections are shared by clients`;
    problems.push(problem([...at, 'proxyProtocol'], message, 'write protocol: http1, or remove it'));
  }
  return protocol;
}

function compileTls(entry: BackendEntry, at: Path, context: CertificateContext): EndpointTlsConfig | null {
  const { problems } = context;
  const scheme = schemeOf(entry);
  const { tls } = entry;
  if (tls === undefined) {
    return scheme === 'https'
      ? { caFile: null, serverName: null, certFile: null, keyFile: null, insecure: false }
      : null;
  }
  const path = [...at, 'tls'];
  if (scheme === 'http') problems.push(problem(path, 'has no effect on http:// servers', 'write https://…'));
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    problems.push(problem(path, `has ${tls.cert === undefined ? 'key and no cert' : 'cert and no key'}`, 'give both'));
  }
  if (tls.insecure && tls.ca !== undefined) {
    problems.push(problem([...path, 'insecure'], 'leaves ca without effect', 'remove one of them'));
  }
  const { ca, cert, key } = tls;
  const pair = cert === undefined || key === undefined ? null : pairFiles({ cert, key }, path, context);
  return {
    caFile: ca === undefined ? null : authoritiesFile(ca, [...path, 'ca'], context),
    serverName: tls.serverName ?? null,
    certFile: pair?.certFile ?? null,
    keyFile: pair?.keyFile ?? null,
    insecure: tls.insecure,
  };
}

/** Pods are scheduled, and images pulled, before a program starts. */
const WAKE_TIMEOUT_MS = { process: 60_000, kubernetes: 300_000 } as const;

function compileWake({ wake, kubernetes }: BackendEntry, at: Path, problems: Problem[]): WakeConfig {
  return {
    timeoutMs: wake.timeout ?? WAKE_TIMEOUT_MS[kubernetes === undefined ? 'process' : 'kubernetes'],
    maxHeld: wake.maxHeld,
    maxHeldBytes: wake.maxHeldBytes,
    with: [...new Set(wake.with)],
    page: wake.page,
    failFastAfterMs: wake.failFastAfter,
    before: wake.before ?? null,
    answers: wake.answers.map(({ match, status, headers, body }, index) => ({
      match: compileMatch(match, [...at, 'answers', index, 'match'], problems),
      status,
      headers,
      body: body ?? '',
    })),
    never: wake.never,
  };
}

function compileBalance(
  entry: BackendEntry,
  at: Path,
  plugins: PluginParts | undefined,
  problems: Problem[],
): BalanceConfig {
  const { strategy, sticky, slowStart, options } = entry.balance;
  const plugin = plugins?.strategies[strategy];
  if (plugin === undefined && options !== undefined) {
    problems.push(problem([...at, 'balance', 'options'], `${strategy} has no options`, 'remove it'));
  }
  return {
    strategy,
    hash: compileHash(entry, at, problems),
    sticky: sticky === undefined ? null : { cookie: sticky.cookie, ttlMs: sticky.ttl },
    slowStartMs: slowStart,
    ...(plugin === undefined ? {} : { options, plugin: plugin.version }),
  };
}

function compileScale(entry: BackendEntry, at: Path, inCluster: boolean, problems: Problem[]): BackendConfig['scale'] {
  const { scale } = entry;
  checkScaler(entry, [...at, 'scale', 'by'], inCluster, problems);
  const fixedPort = typeof entry.process?.port === 'number';
  let max = scale.max ?? 1;
  let why = scale.max === undefined ? ' (the default)' : '';
  if (fixedPort) {
    if (max > 1) {
      problems.push(
        problem(
          [...at, 'scale', 'max'],
          `is ${max}, but process.port is one fixed port`,
          'write port: auto to run more than one',
        ),
      );
    }
    max = 1;
    why = ' (process.port is fixed)';
  }
  if (scale.by === 'none') {
    max = 1;
    why = ' (by: none)';
  }
  if (scale.min > max)
    problems.push(
      problem([...at, 'scale', 'min'], `${scale.min} is more than max, ${max}${why}`, 'raise max or lower min'),
    );
  const { concurrency, rps, utilizationPercent } = scale.target;
  if (concurrency !== undefined && rps !== undefined) {
    problems.push(problem([...at, 'scale', 'target'], 'has both concurrency and rps', 'keep one of them'));
  }
  return {
    min: scale.min,
    max,
    by: scale.by,
    jobs: compileJobs(entry, at, problems),
    idleAfterMs: scale.idleAfter,
    target:
      httpTarget(entry, at, problems) ??
      (rps === undefined
        ? { metric: 'concurrency', value: concurrency ?? 100, utilizationPercent }
        : { metric: 'rps', value: rps, utilizationPercent }),
    windows: {
      stableMs: scale.windows.stable,
      panicPercent: scale.windows.panicPercent,
      panicThresholdPercent: scale.windows.panicThresholdPercent,
    },
    rates: { up: scale.rates.up, down: scale.rates.down },
    scaleDownDelayMs: scale.scaleDownDelay,
    formula: compileFormula(entry, at, problems),
    fallback: scale.fallback ?? null,
  };
}

/** An HPA or a ScaledObject is made by the operator of a cluster, for a target that it may scale. */
function checkScaler(
  { scale: { by }, kubernetes }: BackendEntry,
  at: Path,
  inCluster: boolean,
  problems: Problem[],
): void {
  if (by !== 'hpa' && by !== 'keda') return;
  if (!inCluster) {
    const hint = 'write by: dormouse, or make a Backend object in the cluster';
    problems.push(problem(at, `${by} needs a cluster: its operator makes the ${SCALER_KINDS[by]}`, hint));
  } else if (kubernetes === undefined) {
    problems.push(problem(at, `${by} scales a workload, but there is no kubernetes`, 'remove it'));
  } else if (kubernetes.autoscaler !== undefined) {
    const hint = 'remove kubernetes.autoscaler, or write by: none to go on with the one that it names';
    problems.push(problem(at, `${by} has no place beside kubernetes.autoscaler, which names another one`, hint));
  }
}

const SCALER_KINDS = { hpa: 'HorizontalPodAutoscaler', keda: 'ScaledObject' } as const;

function compileHash(entry: BackendEntry, at: Path, problems: Problem[]): HashKey | null {
  const { hash } = entry.balance;
  if (hash === undefined) return null;
  const given = Object.entries(hash).filter(([, value]) => value !== undefined);
  if (given.length !== 1) {
    problems.push(problem([...at, 'balance', 'hash'], 'needs exactly one of header, cookie, client and uri'));
  }
  if (hash.header !== undefined) return { by: 'header', name: hash.header };
  if (hash.cookie !== undefined) return { by: 'cookie', name: hash.cookie };
  return hash.client !== undefined ? { by: 'client' } : { by: 'uri' };
}
