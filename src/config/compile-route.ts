import type { MatchConfig, RouteConfig, RuleConfig, ValueMatch } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { RouteEntry, RuleEntry } from './schema/route.ts';

/** One entry of `routes:` in the shape of the model; `index` counts from 0. */
export function compileRoute(
  entry: RouteEntry,
  index: number,
  answeringFilters: readonly string[],
  problems: Problem[],
): RouteConfig {
  const at: Path = ['routes', index];
  let rules: RuleConfig[] = [];
  if (entry.rules === undefined) {
    if (entry.backend === undefined) problems.push(problem(at, 'has neither backend nor rules', 'add backend: NAME'));
    else rules = [forward(entry.backend)];
  } else {
    if (entry.backend !== undefined) {
      problems.push(
        problem([...at, 'backend'], 'has no place beside rules', 'move it into a rule: backends: [{ name: … }]'),
      );
    }
    rules = entry.rules.map((rule, position) =>
      compileRule(rule, [...at, 'rules', position], answeringFilters, problems),
    );
  }
  return {
    name: entry.name ?? String(index + 1),
    listeners: [...new Set(entry.listeners)],
    hosts: [...new Set(entry.hosts)],
    rules,
  };
}

/** The rule that sends everything to one backend. */
export function forward(backend: string): RuleConfig {
  return {
    matches: [{ path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [] }],
    filters: [],
    backends: [{ name: backend, weight: 1 }],
    retry: { attempts: 2 },
  };
}

function compileRule(rule: RuleEntry, at: Path, answeringFilters: readonly string[], problems: Problem[]): RuleConfig {
  if (rule.backends.length === 0 && !rule.filters.some((filter) => answeringFilters.includes(filter.type))) {
    problems.push(
      problem(
        at,
        'has no backends',
        `add backends: [{ name: … }], or a filter that answers (${answeringFilters.join(', ')})`,
      ),
    );
  }
  const seen = new Set<string>();
  for (const [index, backend] of rule.backends.entries()) {
    if (seen.has(backend.name))
      problems.push(problem([...at, 'backends', index], `${backend.name} is listed twice`, 'add the weights'));
    seen.add(backend.name);
  }
  const matches = rule.matches.map((match, index) => compileMatch(match, [...at, 'matches', index], problems));
  return {
    matches:
      matches.length > 0 ? matches : [{ path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [] }],
    filters: rule.filters,
    backends: rule.backends,
    retry: { attempts: rule.retry.attempts },
  };
}

function compileMatch(match: RuleEntry['matches'][number], at: Path, problems: Problem[]): MatchConfig {
  const kinds = (['exact', 'prefix', 'regex'] as const).filter((kind) => match.path[kind] !== undefined);
  const kind = kinds[0];
  if (kinds.length !== 1) problems.push(problem([...at, 'path'], 'needs exactly one of exact, prefix and regex'));
  const headers = Object.entries(match.headers).map(([name, value]): ValueMatch => ({
    name: name.toLowerCase(),
    ...value,
  }));
  const seen = new Set<string>();
  for (const { name } of headers) {
    if (seen.has(name))
      problems.push(problem([...at, 'headers'], `${name} is given twice in different case`, 'keep one of them'));
    seen.add(name);
  }
  return {
    path: kind === undefined ? { kind: 'prefix', value: '/' } : { kind, value: match.path[kind]! },
    methods: [...new Set(match.methods)],
    headers,
    query: Object.entries(match.query).map(([name, value]): ValueMatch => ({ name, ...value })),
  };
}
