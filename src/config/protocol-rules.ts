/** Which listeners, routes and backends go together: HTTP with HTTP, raw bytes with raw bytes. */
import type { BackendConfig, ListenerConfig, RouteConfig, RuleConfig } from '../model/config.ts';
import { isDeepStrictEqual } from 'node:util';
import { EVERYTHING } from './compile-match.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import { unknownName } from './references.ts';
import type { Placed } from './references.ts';

export function checkRawBackends(
  listeners: readonly Placed<ListenerConfig>[],
  routes: readonly Placed<RouteConfig>[],
  backends: readonly BackendConfig[],
  names: ReadonlySet<string>,
): Problem[] {
  const problems: Problem[] = [];
  const byName = new Map(backends.map((backend) => [backend.name, backend]));
  const protocols = new Map(listeners.map(({ entry }) => [entry.name, entry.protocol]));
  for (const { entry, index } of listeners) {
    if (entry.protocol !== 'tcp' || entry.backend === null) continue;
    const path = ['listeners', index, 'backend'];
    if (!names.has(entry.backend)) problems.push(unknownName(path, entry.backend, 'backend', names));
    else problems.push(...mustBeRaw(byName.get(entry.backend), path, 'a tcp listener'));
  }
  for (const route of routes) {
    const { entry, index } = route;
    if (index < 0) continue;
    const kinds = new Set(entry.listeners.map((name) => protocols.get(name)));
    for (const [position, name] of entry.listeners.entries()) {
      if (protocols.get(name) !== 'tcp') continue;
      const hint = 'remove it here';
      const path = ['routes', index, 'listeners', position];
      problems.push(problem(path, `${name} is a tcp listener, whose connections all go to its backend`, hint));
    }
    if (kinds.has('tls') && (kinds.has('http') || kinds.has('https'))) {
      const message = 'names listeners that pass TLS through and others that speak HTTP';
      problems.push(problem(['routes', index, 'listeners'], message, 'make two routes of it'));
    } else if (kinds.has('tls')) {
      problems.push(...checkPassThrough(route, byName));
    } else {
      problems.push(...checkHttpRoute(route, byName));
    }
  }
  return problems;
}

/** Nothing of a request can be seen in what is passed through: only the name that the client asks for. */
function checkPassThrough(route: Placed<RouteConfig>, byName: ReadonlyMap<string, BackendConfig>): Problem[] {
  const problems: Problem[] = [];
  for (const [ruleIndex, rule] of route.entry.rules.entries()) {
    const at: Path = ['routes', route.index, 'rules', ruleIndex];
    const why = 'cannot be seen in TLS that is passed through';
    if (!isDeepStrictEqual(rule.matches, [EVERYTHING]))
      problems.push(problem([...at, 'matches'], `paths, methods and headers ${why}`, 'remove it: hosts decide'));
    if (rule.filters.length > 0)
      problems.push(problem([...at, 'filters'], `requests ${why}`, 'use a listener with protocol: https'));
    for (const [path, backend] of backendsOf(route, rule, ruleIndex, byName))
      problems.push(...mustBeRaw(backend, path, 'TLS that is passed through'));
  }
  return problems;
}

function checkHttpRoute(route: Placed<RouteConfig>, byName: ReadonlyMap<string, BackendConfig>): Problem[] {
  const problems: Problem[] = [];
  for (const [ruleIndex, rule] of route.entry.rules.entries()) {
    for (const [path, backend] of backendsOf(route, rule, ruleIndex, byName)) {
      if (backend?.endpoints.protocol !== 'tcp') continue;
      const hint = 'a listener with protocol tcp or tls leads to it';
      problems.push(problem(path, `${backend.name} speaks raw TCP, and this route has HTTP requests`, hint));
    }
  }
  return problems;
}

/** Each backend of a rule with the place of its name. */
function backendsOf(
  { index, shortForm }: Placed<RouteConfig>,
  rule: RuleConfig,
  ruleIndex: number,
  byName: ReadonlyMap<string, BackendConfig>,
): [Path, BackendConfig | undefined][] {
  return rule.backends.map(({ name }, position) => {
    const path: Path = shortForm
      ? ['routes', index, 'backend']
      : ['routes', index, 'rules', ruleIndex, 'backends', position, 'name'];
    return [path, byName.get(name)];
  });
}

function mustBeRaw(backend: BackendConfig | undefined, path: Path, what: string): Problem[] {
  if (backend === undefined || backend.endpoints.protocol === 'tcp') return [];
  const hint =
    backend.source.driver === 'static'
      ? `write its servers as tcp://host:port`
      : `give ${backend.name} endpoints: { protocol: tcp }`;
  return [problem(path, `${what} needs a backend that takes raw TCP, and ${backend.name} does not`, hint)];
}

/** Filters that find out who a client is. */
const NAMING: ReadonlySet<string> = new Set(['jwt', 'apiKey', 'basic', 'forwardAuth']);
/** Filters that may count by it. */
const COUNTING: ReadonlySet<string> = new Set(['rateLimit', 'concurrency']);

/** A limit by who the client is, before anything has found that out, would count by address (or what `missing` says). Plugins' filters may name clients too. */
export function limitsBeforeIdentity(routes: readonly Placed<RouteConfig>[], plugins: boolean): Problem[] {
  if (plugins) return [];
  return routes.flatMap(({ entry, index }) =>
    entry.rules.flatMap(({ filters }, ruleIndex) => {
      const named = filters.findIndex(({ type }) => NAMING.has(type));
      return filters.flatMap(({ type, options }, at): Problem[] => {
        if (!COUNTING.has(type) || (named >= 0 && named < at)) return [];
        const by = (options as { key?: { by?: string } }).key?.by;
        if (by !== 'identity' && by !== 'claim') return [];
        const message = `no filter before this one tells the ${by} of a client`;
        return [
          problem(
            ['routes', index, 'rules', ruleIndex, 'filters', at, type, 'key'],
            message,
            'put jwt, apiKey, basic or forwardAuth before it',
          ),
        ];
      });
    }),
  );
}

/** Allowed, but probably not meant. */
export function retriesWithoutEffect(routes: readonly Placed<RouteConfig>[]): Problem[] {
  const warnings: Problem[] = [];
  for (const { entry, index } of routes) {
    for (const [ruleIndex, { retry, timeouts }] of entry.rules.entries()) {
      const at = ['routes', index, 'rules', ruleIndex];
      if (retry.on.includes('timeout') && timeouts.perTryMs === 0) {
        warnings.push(problem([...at, 'retry', 'on'], 'timeout never happens', 'set timeouts.perTry'));
      }
      if (timeouts.perTryMs > 0 && timeouts.requestMs > 0 && timeouts.perTryMs >= timeouts.requestMs) {
        const message = 'is not shorter than request, so that no time is left for another try';
        warnings.push(problem([...at, 'timeouts', 'perTry'], message, 'shorten it'));
      }
    }
  }
  return warnings;
}
