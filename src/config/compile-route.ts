import type { RouteConfig, RuleConfig } from '../model/config.ts';
import { EVERYTHING, compileMatch } from './compile-match.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { NamedFiles } from './named-files.ts';
import { lookUpNamed, type BackendMention } from './named-things.ts';
import type { RouteEntry, RuleEntry } from './schema/route.ts';

/** What compiling a route takes and fills besides the entry itself. */
export interface RouteContext {
  /** Filters that answer by themselves, so that their rule needs no backend. */
  answeringFilters: readonly string[];
  files: NamedFiles;
  /** Filled: backends that filters name. */
  mentions: BackendMention[];
  problems: Problem[];
}

/** One entry of `routes:` in the shape of the model; `index` counts from 0. */
export function compileRoute(entry: RouteEntry, index: number, context: RouteContext): RouteConfig {
  const { problems } = context;
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
    rules = entry.rules.map((rule, position) => compileRule(rule, [...at, 'rules', position], context));
  }
  return {
    name: entry.name ?? String(index + 1),
    listeners: [...new Set(entry.listeners)],
    hosts: [...new Set(entry.hosts)],
    clients: entry.clients,
    rules,
  };
}

/** The route that a file without routes has. */
export function leadTo(backend: string): RouteConfig {
  return { name: backend, listeners: [], hosts: [], clients: { allow: [], deny: [] }, rules: [forward(backend)] };
}

/** The rule that sends everything to one backend. */
function forward(backend: string): RuleConfig {
  return {
    matches: [EVERYTHING],
    filters: [],
    backends: [{ name: backend, weight: 1 }],
    timeouts: { requestMs: 0, perTryMs: 0, idleMs: 0 },
    retry: { attempts: 2, on: ['connect'], backoffMs: 25, budgetPercent: 20 },
    webSocket: { idleMs: 0, pingMs: 30_000 },
    sse: { heartbeatMs: 15_000, retryMs: 3000 },
  };
}

function compileRule(rule: RuleEntry, at: Path, context: RouteContext): RuleConfig {
  const { answeringFilters, problems } = context;
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
    matches: matches.length > 0 ? matches : [EVERYTHING],
    filters: rule.filters.map(({ type, options }, index) => ({
      type,
      options: lookUpNamed(options, [...at, 'filters', index, type], context.files, context.mentions),
    })),
    backends: rule.backends,
    timeouts: compileTimeouts(rule.timeouts),
    retry: compileRetry(rule.retry),
    webSocket: compileWebSocket(rule.webSocket),
    sse: compileSse(rule.sse),
  };
}

export function compileTimeouts({ request, perTry, idle }: RuleEntry['timeouts']): RuleConfig['timeouts'] {
  return { requestMs: request, perTryMs: perTry, idleMs: idle };
}

export function compileRetry({ attempts, on, backoff, budgetPercent }: RuleEntry['retry']): RuleConfig['retry'] {
  return { attempts, on: [...new Set(on)], backoffMs: backoff, budgetPercent };
}

export function compileWebSocket({ idle, ping }: RuleEntry['webSocket']): RuleConfig['webSocket'] {
  return { idleMs: idle, pingMs: ping };
}

export function compileSse({ heartbeat, retry }: RuleEntry['sse']): RuleConfig['sse'] {
  return { heartbeatMs: heartbeat, retryMs: retry };
}
