import { resolve } from 'node:path';
import type { BackendConfig, HashKey, ProcessConfig } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { BackendEntry } from './schema/backend.ts';

/** One entry of `backends:` in the shape of the model. What is inconsistent goes to `problems`; the result counts only when nothing did. */
export function compileBackend(
  name: string,
  entry: BackendEntry,
  folder: string,
  problems: Problem[],
): BackendConfig | undefined {
  const at: Path = ['backends', name];
  const source = compileSource(entry, at, folder, problems);
  if (source === undefined) return undefined;
  const wake = entry.wake;
  return {
    name,
    source,
    scale: compileScale(entry, at, problems),
    idle: { webSockets: entry.idle.webSockets },
    wake: {
      timeoutMs: wake.timeout,
      maxHeld: wake.maxHeld,
      maxHeldBytes: wake.maxHeldBytes,
      with: [...new Set(wake.with)],
      page: wake.page,
    },
    balance: { strategy: entry.balance.strategy, hash: compileHash(entry, at, problems) },
    endpoints: {
      maxConnections: entry.endpoints.maxConnections,
      idlePerEndpoint: entry.endpoints.idlePerEndpoint,
      connectTimeoutMs: entry.endpoints.connectTimeout,
      idleTimeoutMs: entry.endpoints.idleTimeout,
    },
    health:
      entry.health === undefined
        ? null
        : {
            path: entry.health.http ?? null,
            intervalMs: entry.health.interval,
            timeoutMs: entry.health.timeout,
            status: entry.health.status,
            rise: entry.health.rise,
            fall: entry.health.fall,
          },
  };
}

function compileSource(
  entry: BackendEntry,
  at: Path,
  folder: string,
  problems: Problem[],
): BackendConfig['source'] | undefined {
  if (entry.process !== undefined) {
    return { driver: 'process', process: compileProcess(entry.process, [...at, 'process'], folder, problems) };
  }
  if (entry.servers === undefined) return undefined;
  const servers = entry.servers.map((server) =>
    'url' in server
      ? { host: server.url.host, port: server.url.port, weight: server.weight }
      : { host: server.host, port: server.port, weight: 1 },
  );
  const seen = new Set<string>();
  for (const [index, server] of servers.entries()) {
    const key = `${server.host} ${server.port}`;
    if (seen.has(key))
      problems.push(
        problem([...at, 'servers', index], 'the same server is listed twice', 'give one entry more weight instead'),
      );
    seen.add(key);
  }
  return { driver: 'static', servers };
}

function compileProcess(
  entry: NonNullable<BackendEntry['process']>,
  at: Path,
  folder: string,
  problems: Problem[],
): ProcessConfig {
  if (entry.command[0] === '') problems.push(problem([...at, 'command', 0], 'is empty', 'name the program to run'));
  const { ready, crash } = entry;
  if (ready.http !== undefined && ready.tcp === true) {
    problems.push(problem([...at, 'ready'], 'has both http and tcp', 'keep one of them'));
  }
  if (ready.status !== undefined && ready.http === undefined) {
    problems.push(problem([...at, 'ready', 'status'], 'has no meaning without http', 'add http: /path, or remove it'));
  }
  if (crash.backoff > crash.maxBackoff) {
    problems.push(
      problem([...at, 'crash', 'backoff'], `is longer than maxBackoff (${crash.maxBackoff}ms)`, 'raise maxBackoff'),
    );
  }
  return {
    command: entry.command,
    cwd: resolve(folder, entry.cwd),
    env: entry.env,
    user: entry.user ?? null,
    port: entry.port,
    socket: entry.socket,
    ready:
      ready.http === undefined
        ? { kind: 'tcp' }
        : { kind: 'http', path: ready.http, status: ready.status ?? { from: 200, to: 399 } },
    startTimeoutMs: entry.startTimeout,
    stopGraceMs: entry.stopGrace,
    sleep: entry.sleep,
    crash: { backoffMs: crash.backoff, maxBackoffMs: crash.maxBackoff },
    logs: { lines: entry.logs.lines },
  };
}

function compileScale(entry: BackendEntry, at: Path, problems: Problem[]): BackendConfig['scale'] {
  const { scale } = entry;
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
    idleAfterMs: scale.idleAfter,
    target:
      rps === undefined
        ? { metric: 'concurrency', value: concurrency ?? 100, utilizationPercent }
        : { metric: 'rps', value: rps, utilizationPercent },
    windows: {
      stableMs: scale.windows.stable,
      panicPercent: scale.windows.panicPercent,
      panicThresholdPercent: scale.windows.panicThresholdPercent,
    },
    rates: { up: scale.rates.up, down: scale.rates.down },
    scaleDownDelayMs: scale.scaleDownDelay,
  };
}

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
