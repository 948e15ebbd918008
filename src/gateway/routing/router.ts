/**
 * Which rule a request belongs to: the Gateway API's matching and precedence, compiled so that the cost of a match does not grow with the
 * number of routes. It grows with the depth of the path, with the matches that share one path and differ in conditions only, and with
 * the expressions of a host that don't begin with a literal segment.
 *
 * Precedence (HTTPRoute of gateway.networking.k8s.io/v1), first difference decides:
 * 1. host: exact, then the longest wildcard, then routes without hosts. `*.example.com` stands for one or more labels, not for the domain itself.
 * 2. path: exact, then regular expression (the longer expression first; the Gateway API leaves its rank open, nginx and Envoy
 *    Gateway put it here too), then the longest prefix. Prefixes end at segments: /a has /a and /a/b, not /ab; a trailing slash is ignored.
 * 3. a condition on the method, 4. the number of header conditions, 5. of query conditions, 6. the order in the file.
 * A candidate whose conditions fail makes room for the next one, down to routes without hosts. Regular expressions match the whole text.
 *
 * Paths are compared in normal form (see path.ts).
 */
import type { RouteConfig } from '../../model/config.ts';
import type { RequestView } from '../request-view.ts';
import { Candidate } from './candidate.ts';
import { HostTable } from './host-table.ts';
import { normalPath } from './path.ts';
import { RuleTarget } from './rule-target.ts';

/** The longest host name of the DNS: longer ones match no wildcard, which bounds the labels that are tried. */
const MAX_HOST_LENGTH = 255;

class ListenerTable {
  readonly exact = new Map<string, HostTable>();
  /** By the part after `*.`. */
  readonly wildcards = new Map<string, HostTable>();
  any: HostTable | null = null;
}

export class Router {
  readonly #listeners = new Map<string, ListenerTable>();
  readonly #targets: RuleTarget[] = [];

  /** Throws DORMOUSE_ROUTE_PATTERN when an expression can't be compiled. */
  constructor(config: { routes: readonly RouteConfig[]; listeners: readonly { name: string }[] }) {
    const candidatesOfRoute = config.routes.map((route, index) => this.#candidatesOf(route, index));
    // Listeners with the same routes share one table: usually all of them.
    const tables = new Map<string, ListenerTable>();
    const forAll: number[] = [];
    const forOne = new Map<string, number[]>();
    config.routes.forEach((route, index) => {
      if (route.listeners.length === 0) forAll.push(index);
      for (const name of new Set(route.listeners)) {
        const own = forOne.get(name);
        if (own === undefined) forOne.set(name, [index]);
        else own.push(index);
      }
    });
    for (const { name } of config.listeners) {
      const own = forOne.get(name);
      const indexes = own === undefined ? forAll : [...own, ...forAll].sort((a, b) => a - b);
      const key = indexes.join();
      let table = tables.get(key);
      if (table === undefined) {
        table = tableOf(
          indexes.map((index) => ({ route: config.routes[index]!, candidates: candidatesOfRoute[index]! })),
        );
        tables.set(key, table);
      }
      this.#listeners.set(name, table);
    }
  }

  #candidatesOf(route: RouteConfig, routeIndex: number): Candidate[] {
    const candidates: Candidate[] = [];
    route.rules.forEach((rule, ruleIndex) => {
      for (const match of rule.matches) {
        const target = new RuleTarget(route, routeIndex, ruleIndex, match);
        this.#targets.push(target);
        candidates.push(new Candidate(target));
      }
    });
    return candidates;
  }

  /** All targets, in the order of the file. */
  rules(): readonly RuleTarget[] {
    return this.#targets;
  }

  /** The target of a request, or null: no route has it (404). */
  match(listener: string, view: RequestView): RuleTarget | null {
    const table = this.#listeners.get(listener);
    if (table === undefined) return null;
    const path = normalPath(view.path);
    if (path === null) return null;
    if (table.exact.size > 0 || table.wildcards.size > 0) {
      const target = matchHost(table, path, view);
      if (target !== null) return target;
    }
    return table.any === null ? null : table.any.find(path, view);
  }
}

function matchHost(table: ListenerTable, path: string, view: RequestView): RuleTarget | null {
  let host = view.hostname;
  // `example.com.` is the same name (RFC 1034 section 3.1).
  if (host.charCodeAt(host.length - 1) === 0x2e) host = host.slice(0, -1);
  const exact = table.exact.get(host);
  if (exact !== undefined) {
    const target = exact.find(path, view);
    if (target !== null) return target;
  }
  if (table.wildcards.size === 0 || host.length > MAX_HOST_LENGTH) return null;
  for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
    if (dot === 0) continue;
    const wildcard = table.wildcards.get(host.slice(dot + 1));
    if (wildcard === undefined) continue;
    const target = wildcard.find(path, view);
    if (target !== null) return target;
  }
  return null;
}

function tableOf(routes: readonly { route: RouteConfig; candidates: Candidate[] }[]): ListenerTable {
  const byHost = new Map<string, Candidate[]>();
  for (const { route, candidates } of routes) {
    for (const host of route.hosts.length === 0 ? ['*'] : new Set(route.hosts)) {
      const known = byHost.get(host);
      if (known === undefined) byHost.set(host, [...candidates]);
      else for (const candidate of candidates) known.push(candidate);
    }
  }
  const table = new ListenerTable();
  for (const [host, candidates] of byHost) {
    const hostTable = new HostTable(candidates);
    if (host === '*') table.any = hostTable;
    else if (host.startsWith('*.')) table.wildcards.set(host.slice(2), hostTable);
    else table.exact.set(host, hostTable);
  }
  return table;
}
