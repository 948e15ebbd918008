import type { MatchConfig, ValueMatch } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { MatchEntry } from './schema/match.ts';

export const EVERYTHING: MatchConfig = { path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [] };

export function compileMatch(match: MatchEntry, at: Path, problems: Problem[]): MatchConfig {
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
