/** Rules of a GRPCRoute in the shape of the model: methods are paths. */
import type { MatchConfig } from '../../model/config.ts';
import type { GrpcRoute, GrpcRouteRule } from './objects.ts';
import { compileRule, valueMatches, type CompiledRule, type RuleContext } from './rules.ts';
import type { TranslationSettings } from './translation.ts';

type GrpcMatch = NonNullable<GrpcRouteRule['matches']>[number];

export function grpcRules({ spec }: GrpcRoute, context: RuleContext): CompiledRule[] {
  return (spec.rules ?? [{}]).map((rule) => {
    const matches: MatchConfig[] = [];
    const written = rule.matches ?? [];
    for (const match of written.length === 0 ? [{}] : written) {
      const compiled = compileMatch(match, context.settings);
      if (typeof compiled === 'string') return { invalid: `matches: ${compiled}` };
      matches.push(compiled);
    }
    return compileRule(matches, rule, context.settings.defaults.rule.timeouts, 'grpc', context);
  });
}

function compileMatch({ method, headers }: GrpcMatch, settings: TranslationSettings): MatchConfig | string {
  const path = pathOf(method ?? {});
  if (typeof path === 'string') return path;
  const problem = path.kind === 'regex' ? settings.checkPattern(path.value) : null;
  if (problem !== null) return `method: ${problem}`;
  const headerMatches = valueMatches(headers, (name) => name.toLowerCase(), settings);
  if (typeof headerMatches === 'string') return `headers: ${headerMatches}`;
  return { path, methods: [], headers: headerMatches, query: [] };
}

/** A call's path is /service/method. */
function pathOf({
  type = 'Exact',
  service = '',
  method = '',
}: NonNullable<GrpcMatch['method']>): MatchConfig['path'] | string {
  if (service === '' && method === '') return { kind: 'prefix', value: '/' };
  switch (type) {
    case 'Exact':
      if (service === '') return { kind: 'regex', value: `/[^/]+/${quoted(method)}` };
      return method === ''
        ? { kind: 'prefix', value: `/${service}` }
        : { kind: 'exact', value: `/${service}/${method}` };
    case 'RegularExpression':
      return { kind: 'regex', value: `/${group(service)}/${group(method)}` };
    default:
      return `method.type ${type} is not supported`;
  }
}

function group(expression: string): string {
  return expression === '' ? '[^/]+' : `(?:${expression})`;
}

function quoted(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}
