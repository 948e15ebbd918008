import type { MatchConfig, RouteConfig } from '../../model/config.ts';
import { defaultRule } from '../../model/config.fixture.ts';

/** `{ prefix: '/a' }`, `{ exact: '/a' }` or `{ regex: '/a.*' }`, with conditions as in the file. */
export interface ShortMatch {
  prefix?: string;
  exact?: string;
  regex?: string;
  methods?: string[];
  headers?: Record<string, string | { regex: string }>;
  query?: Record<string, string | { regex: string }>;
}

export function matchConfig(short: ShortMatch): MatchConfig {
  const path: MatchConfig['path'] =
    short.exact !== undefined
      ? { kind: 'exact', value: short.exact }
      : short.regex !== undefined
        ? { kind: 'regex', value: short.regex }
        : { kind: 'prefix', value: short.prefix ?? '/' };
  const values = (given: ShortMatch['headers']): MatchConfig['headers'] =>
    Object.entries(given ?? {}).map(([name, value]) =>
      typeof value === 'string' ? { name, kind: 'exact', value } : { name, kind: 'regex', value: value.regex },
    );
  return { path, methods: short.methods ?? [], headers: values(short.headers), query: values(short.query) };
}

/** A route with one rule, whose matches are any of these. */
export function route(name: string, hosts: string[], matches: ShortMatch[], listeners: string[] = []): RouteConfig {
  return {
    name,
    listeners,
    hosts,
    clients: { allow: [], deny: [] },
    rules: [defaultRule(name, { matches: matches.map(matchConfig) })],
  };
}
