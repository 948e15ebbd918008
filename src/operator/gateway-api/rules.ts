/** What rules of HTTPRoutes and GRPCRoutes have in common: filters, and backends by weight. */
import type { ClientRules, MatchConfig, RuleConfig, ValueMatch } from '../../model/config.ts';
import type { Traffic } from './backend-references.ts';
import { compileFilters, type CompiledFilters, type FilterContext } from './filters.ts';
import type { Problem } from './gateways.ts';
import type { FilteredBackendReference, RouteFilter, ValueMatcher } from './objects.ts';
import type { TranslationSettings } from './translation.ts';

/** A rule of a route; `invalid`: why it is left out, as a sentence. */
export type CompiledRule =
  | {
      rule: RuleConfig;
      /** Whose requests are let through; none: everybody's. */
      clients?: ClientRules;
      dependsOnPort: boolean;
      unresolved: Problem[];
    }
  | { invalid: string };

export type RuleContext = Omit<FilterContext, 'prefixOnly' | 'traffic'>;

/** `references` in filters and backendRefs that can't be resolved are told, and answered with an error for their share. */
export function compileRule(
  matches: MatchConfig[],
  { filters = [], backendRefs = [] }: { filters?: RouteFilter[]; backendRefs?: FilteredBackendReference[] },
  timeouts: RuleConfig['timeouts'],
  traffic: Exclude<Traffic, 'raw'>,
  context: RuleContext,
): CompiledRule {
  const prefixOnly = matches.every(({ path }) => path.kind === 'prefix');
  const made = compileFilters(filters, { ...context, traffic, prefixOnly });
  if (typeof made === 'string') return { invalid: made };
  const { references, route, settings } = context;
  const weights = new Map<string, number>();
  for (const reference of backendRefs) {
    const problem = addBackendFilters(reference, backendRefs.length, made, { ...context, traffic, prefixOnly });
    if (problem !== null) return { invalid: problem };
    const resolved = references.resolve(reference, route, traffic);
    if ('problem' in resolved) made.unresolved.push(resolved.problem);
    const name = 'problem' in resolved ? references.standIn(traffic) : resolved.name;
    weights.set(name, (weights.get(name) ?? 0) + (reference.weight ?? 1));
  }
  const rule: RuleConfig = {
    ...settings.defaults.rule,
    matches,
    filters: made.filters,
    backends: [...weights].map(([name, weight]) => ({ name, weight })),
    timeouts: { ...settings.defaults.rule.timeouts, ...timeouts },
  };
  // Without the filter nothing may go on: it may be the one that keeps people out.
  if (made.missing) {
    rule.filters = [];
    rule.backends = [{ name: references.standIn(traffic), weight: 1 }];
  }
  // Nothing to lead to: 500, or UNAVAILABLE, which the stand-in answers in the form of the route's kind.
  else if (!made.answers && rule.backends.every(({ weight }) => weight === 0)) {
    rule.backends = [{ name: references.standIn(traffic), weight: 1 }];
  }
  return { rule, dependsOnPort: made.dependsOnPort, unresolved: made.unresolved };
}

/** Filters of a backendRef are those of the rule where it has no other. A sentence when they can't be had. */
function addBackendFilters(
  { name, filters = [] }: FilteredBackendReference,
  count: number,
  made: CompiledFilters,
  context: FilterContext,
): string | null {
  if (filters.length === 0) return null;
  if (count > 1) {
    return `backendRefs: ${name}: filters of a single one of several backends are not supported; put them into the rule, or into a rule of its own`;
  }
  const own = compileFilters(filters, context);
  if (typeof own === 'string') return `backendRefs: ${name}: ${own}`;
  made.filters.push(...own.filters);
  made.unresolved.push(...own.unresolved);
  made.answers ||= own.answers;
  made.dependsOnPort ||= own.dependsOnPort;
  made.missing ||= own.missing;
  return null;
}

/** The first of equal names counts, as the specification says. A sentence when an expression can't be used. */
export function valueMatches(
  matchers: readonly ValueMatcher[] | undefined,
  nameOf: (name: string) => string,
  settings: TranslationSettings,
): ValueMatch[] | string {
  const matches = new Map<string, ValueMatch>();
  for (const { type = 'Exact', name: written, value } of matchers ?? []) {
    const name = nameOf(written);
    if (matches.has(name)) continue;
    if (type !== 'Exact' && type !== 'RegularExpression') return `${written}: type ${type} is not supported`;
    const problem = type === 'Exact' ? null : settings.checkPattern(value);
    if (problem !== null) return `${written}: ${problem}`;
    matches.set(name, { name, kind: type === 'Exact' ? 'exact' : 'regex', value });
  }
  return [...matches.values()];
}
