import { resolve } from 'node:path';
import type { BackendConfig, KubernetesConfig, ProcessConfig } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { BackendEntry, ServerUrl } from './schema/backend.ts';

/** Who runs a backend: `process:`, `kubernetes:` or `servers:`. Undefined when none is there. */
export function compileSource(
  entry: BackendEntry,
  at: Path,
  folder: string,
  problems: Problem[],
): BackendConfig['source'] | undefined {
  if (entry.process !== undefined) {
    return { driver: 'process', process: compileProcess(entry.process, [...at, 'process'], folder, problems) };
  }
  if (entry.kubernetes !== undefined) {
    const triggered = entry.triggers.length > 0;
    return {
      driver: 'kubernetes',
      kubernetes: compileKubernetes(entry.kubernetes, [...at, 'kubernetes'], triggered, problems),
    };
  }
  if (entry.servers === undefined) return undefined;
  const path = [...at, 'servers'];
  const servers = entry.servers.map((server) => ('url' in server ? server : { url: server, weight: 1, backup: false }));
  const seen = new Set<string>();
  const scheme = schemeOf(entry);
  for (const [index, { url }] of servers.entries()) {
    const key = `${url.host} ${url.port}`;
    if (seen.has(key))
      problems.push(problem([...path, index], 'the same server is listed twice', 'give one entry more weight instead'));
    seen.add(key);
    if (url.scheme !== scheme) {
      problems.push(
        problem([...path, index], `is ${url.scheme}, but the first server is ${scheme}`, 'make two backends of them'),
      );
    }
  }
  if (servers.every(({ backup }) => backup)) {
    const hint = 'a backup gets requests while no other server is ready: leave one without backup';
    problems.push(problem(path, 'has backups only', hint));
  }
  return {
    driver: 'static',
    servers: servers.map(({ url, weight, backup }) => ({ host: url.host, port: url.port, weight, backup })),
  };
}

/** What the URLs of the servers say; undefined for processes. */
export function schemeOf(entry: BackendEntry): ServerUrl['scheme'] | undefined {
  const first = entry.servers?.[0];
  if (first === undefined) return undefined;
  return 'url' in first ? first.url.scheme : first.scheme;
}

function compileKubernetes(
  entry: NonNullable<BackendEntry['kubernetes']>,
  at: Path,
  triggered: boolean,
  problems: Problem[],
): KubernetesConfig {
  const { namespace, target, service, port, autoscaler, ready } = entry;
  if (service === undefined && port === undefined && !triggered) {
    const hint = 'name the Service that clients use: service: NAME; workers without one need triggers';
    problems.push(problem(at, 'has neither service nor port', hint));
  } else if (service !== undefined && port !== undefined) {
    problems.push(problem([...at, 'port'], 'has no place beside service, whose ports count', 'keep one of them'));
  }
  return { namespace, target, service: service ?? null, port: port ?? 0, autoscaler: autoscaler ?? null, ready };
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
  if (entry.port === 'none') {
    if (entry.sleep === 'freeze') {
      const message =
        'has no place with port: none: a worker that waits for a message would be given one while it is frozen';
      problems.push(problem([...at, 'sleep'], message, 'write sleep: stop'));
    }
    const without = {
      'ready.http': ready.http,
      'ready.tcp': ready.tcp,
      socket: entry.socket === 'inherited' || undefined,
    };
    for (const [key, value] of Object.entries(without)) {
      if (value === undefined) continue;
      const hint = 'remove it, or write port: auto';
      problems.push(problem([...at, ...key.split('.')], 'has no meaning with port: none', hint));
    }
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
      entry.port === 'none'
        ? { kind: 'started' }
        : ready.http === undefined
          ? { kind: 'tcp' }
          : { kind: 'http', path: ready.http, status: ready.status ?? { from: 200, to: 399 } },
    startTimeoutMs: entry.startTimeout,
    stopGraceMs: entry.stopGrace,
    sleep: entry.sleep,
    crash: { backoffMs: crash.backoff, maxBackoffMs: crash.maxBackoff },
    logs: { lines: entry.logs.lines },
  };
}
