/** Rules of an HTTPRoute in the shape of the model. */
import type { MatchConfig, RuleConfig } from '../../model/config.ts';
import { durationMs } from './duration.ts';
import type { HttpRoute, HttpRouteMatch, HttpRouteRule } from './objects.ts';
import { compileRule, valueMatches, type CompiledRule, type RuleContext } from './rules.ts';
import type { TranslationSettings } from './translation.ts';

const KINDS: Readonly<Record<string, MatchConfig['path']['kind']>> = {
  Exact: 'exact',
  PathPrefix: 'prefix',
  RegularExpression: 'regex',
};

export function httpRules({ spec }: HttpRoute, context: RuleContext): CompiledRule[] {
  return (spec.rules ?? [{}]).map((rule) => httpRule(rule, context));
}

function httpRule(rule: HttpRouteRule, context: RuleContext): CompiledRule {
  const matches: MatchConfig[] = [];
  const written = rule.matches ?? [];
  for (const match of written.length === 0 ? [{}] : written) {
    const compiled = compileMatch(match, context.settings);
    if (typeof compiled === 'string') return { invalid: `matches: ${compiled}` };
    matches.push(compiled);
  }
  const timeouts = compileTimeouts(rule.timeouts, context.settings);
  if (typeof timeouts === 'string') return { invalid: timeouts };
  return compileRule(matches, rule, timeouts, 'http', context);
}

function compileMatch(
  { path = {}, headers, queryParams, method }: HttpRouteMatch,
  settings: TranslationSettings,
): MatchConfig | string {
  const { type = 'PathPrefix', value = '/' } = path;
  if (!Object.hasOwn(KINDS, type)) return `path.type ${type} is not supported`;
  const kind = KINDS[type]!;
  const problem = kind === 'regex' ? settings.checkPattern(value) : null;
  if (problem !== null) return `path: ${problem}`;
  const headerMatches = valueMatches(headers, (name) => name.toLowerCase(), settings);
  if (typeof headerMatches === 'string') return `headers: ${headerMatches}`;
  const query = valueMatches(queryParams, (name) => name, settings);
  if (typeof query === 'string') return `queryParams: ${query}`;
  return { path: { kind, value }, methods: method === undefined ? [] : [method], headers: headerMatches, query };
}

function compileTimeouts(
  { request, backendRequest }: NonNullable<HttpRouteRule['timeouts']> = {},
  { defaults }: TranslationSettings,
): RuleConfig['timeouts'] | string {
  const requestMs = request === undefined ? 0 : durationMs(request);
  const perTryMs = backendRequest === undefined ? 0 : durationMs(backendRequest);
  if (requestMs === null) return `timeouts.request: ${request} is not a duration; write e.g. 10s`;
  if (perTryMs === null) return `timeouts.backendRequest: ${backendRequest} is not a duration; write e.g. 10s`;
  return { ...defaults.rule.timeouts, requestMs, perTryMs };
}
