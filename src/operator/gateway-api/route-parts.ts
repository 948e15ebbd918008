/** One route on the way through the translation: what it attaches to, its rules, and the status that follows. */
import { isDeepStrictEqual } from 'node:util';
import type { ClientRules, RouteConfig, RuleConfig } from '../../model/config.ts';
import type { Attachment, AttachedParent } from './attachment.ts';
import { condition } from './conditions.ts';
import type { Problem } from './gateways.ts';
import type { EvaluatedListener } from './listener.ts';
import type { Route } from './objects.ts';
import type { CompiledRule } from './rules.ts';
import type { NewParentStatus } from './translation.ts';

/** How a route is called in logs and metrics. */
export function routeName({ kind, metadata }: Route): string {
  return `${kind.toLowerCase()}/${metadata.namespace}/${metadata.name}`;
}

/** `rules`: as compiled. What is invalid is left out; a route with nothing else is not accepted. */
export function parentStatuses(
  route: Route,
  parents: readonly AttachedParent[],
  rules: readonly CompiledRule[],
  controllerName: string,
): NewParentStatus[] {
  const dropped: string[] = [];
  const unresolved: Problem[] = [];
  rules.forEach((rule, index) => {
    if ('invalid' in rule) dropped.push(`rules[${index}]: ${rule.invalid}`);
    else
      unresolved.push(
        ...rule.unresolved.map(({ reason, message }) => ({ reason, message: `rules[${index}]: ${message}` })),
      );
  });
  const invalid = dropped.length > 0 && dropped.length === rules.length;
  const { generation } = route.metadata;
  return parents.map(({ parentRef, refused }) => {
    const not = refused ?? (invalid ? { reason: 'UnsupportedValue', message: dropped.join('; ') } : null);
    const conditions = [
      not === null
        ? condition('Accepted', true, 'Accepted', 'The route is in force', generation)
        : condition('Accepted', false, not.reason, not.message, generation),
      unresolved.length === 0
        ? condition('ResolvedRefs', true, 'ResolvedRefs', 'Everything that it refers to is there', generation)
        : condition(
            'ResolvedRefs',
            false,
            unresolved[0]!.reason,
            [...new Set(unresolved.map(({ message }) => message))].join('; '),
            generation,
          ),
    ];
    if (not === null && dropped.length > 0) {
      const message = `Dropped Rule(s) ${dropped.join('; ')}`;
      conditions.push(condition('PartiallyInvalid', true, 'UnsupportedValue', message, generation));
    }
    return { parentRef, controllerName, conditions };
  });
}

/** The listeners that a route is accepted on, each once with the hosts of all parentRefs that led to it. */
export function acceptedOn(parents: readonly AttachedParent[]): Attachment[] {
  const byListener = new Map<EvaluatedListener, Set<string>>();
  for (const { refused, attachments } of parents) {
    if (refused !== null) continue;
    for (const { listener, hosts } of attachments) {
      const known = byListener.get(listener);
      if (known === undefined) byListener.set(listener, new Set(hosts));
      else for (const host of hosts) known.add(host);
    }
  }
  return [...byListener].map(([listener, hosts]) => ({ listener, hosts: [...hosts] }));
}

/** By listener of the configuration: the hosts and the port of those that are served. */
export function hostsByTarget(attachments: readonly Attachment[]): Map<string, { hosts: Set<string>; port: number }> {
  const targets = new Map<string, { hosts: Set<string>; port: number }>();
  for (const { listener, hosts } of attachments) {
    if (!listener.serves || hosts.length === 0) continue;
    const known = targets.get(listener.target);
    if (known === undefined) targets.set(listener.target, { hosts: new Set(hosts), port: listener.spec.port });
    else for (const host of hosts) known.hosts.add(host);
  }
  return targets;
}

/** Rules that stand beside each other and let the same clients through: a route of the configuration has one set of them. */
interface Run {
  clients: ClientRules;
  rules: RuleConfig[];
}

/** In their order, without those that are invalid. */
export function inForce(compiled: readonly CompiledRule[]): Run[] {
  const runs: Run[] = [];
  for (const one of compiled) {
    if (!('rule' in one)) continue;
    const { rule, clients = { allow: [], deny: [] } } = one;
    const last = runs.at(-1);
    if (last !== undefined && isDeepStrictEqual(last.clients, clients)) last.rules.push(rule);
    else runs.push({ clients, rules: [rule] });
  }
  return runs;
}

/** One route of the configuration (or one for each run of its rules) for all listeners on which it has the same hosts; `rulesFor(port)`: its rules on a Gateway's port. */
export function routeConfigs(
  route: Route,
  attachments: readonly Attachment[],
  rulesFor: (port: number) => { runs: readonly Run[]; dependsOnPort: boolean },
): RouteConfig[] {
  const configs = new Map<string, RouteConfig[]>();
  for (const [target, { hosts, port }] of hostsByTarget(attachments)) {
    const names = hostList(hosts);
    const { runs, dependsOnPort } = rulesFor(port);
    const key = `${dependsOnPort ? port : ''} ${names.join(' ')}`;
    const known = configs.get(key);
    if (known !== undefined) for (const config of known) config.listeners.push(target);
    else {
      configs.set(
        key,
        runs.map(({ clients, rules }) => ({
          name: routeName(route),
          listeners: [target],
          hosts: names,
          clients,
          rules,
        })),
      );
    }
  }
  return [...configs.values()].flat();
}

/** In the form of the model: sorted; none for all; `*` for all where there are others too. */
export function hostList(hosts: ReadonlySet<string>): string[] {
  if (hosts.size === 1 && hosts.has('')) return [];
  return [...hosts].map((host) => (host === '' ? '*' : host)).sort();
}
