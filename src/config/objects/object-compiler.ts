/** The custom resources' specs in the shape of the model. What is wrong with one is told as for the file, with the path in the spec. */
import type { BackendConfig, ClientRules, FilterConfig, RuleConfig } from '../../model/config.ts';
import { backendWarnings } from '../backend-warnings.ts';
import { compileBackend } from '../compile-backend.ts';
import { compileRetry, compileSse, compileTimeouts, compileWebSocket } from '../compile-route.ts';
import type { Path, Problem } from '../config-error.ts';
import { routePolicySchema } from '../crd/route-policy-schema.ts';
import { deepFreeze } from '../deep-freeze.ts';
import { explainIssues, problem } from '../explain.ts';
import { lookUpNamed, type BackendMention } from '../named-things.ts';
import { isMapping, type Mapping } from '../plain-data.ts';
import { fileSchema, type ConfigRegistry, type FileSchema } from '../schema/file.ts';
import { NoFiles } from './no-files.ts';
import { objectProblems, type ObjectProblem } from './problem.ts';

/** What is read of an object. */
export interface SpecObject {
  metadata: { name: string; namespace?: string };
  spec?: unknown;
}

export interface Refused {
  /** At least one, at most 20. */
  problems: ObjectProblem[];
}

export interface CompiledBackend {
  /** Its name is `NAMESPACE/NAME`; names in `wake.with` too. */
  backend: BackendConfig;
  /** Allowed, but probably not meant. */
  warnings: ObjectProblem[];
}

export interface CompiledFilter {
  filter: FilterConfig;
  /** Backends that it sends requests to, as `NAMESPACE/NAME`. */
  backends: string[];
  /** Whether it answers by itself, so that its rule needs no backend. */
  answers: boolean;
}

/** What a RoutePolicy says; null, or a key that is not there: nothing, so that it stays as the route has it. */
export interface RoutePolicyConfig {
  targets: { kind: 'HTTPRoute' | 'GRPCRoute'; name: string; sectionName: string | null }[];
  clients: ClientRules | null;
  timeouts: Partial<RuleConfig['timeouts']> | null;
  retry: Partial<RuleConfig['retry']> | null;
  webSocket: Partial<RuleConfig['webSocket']> | null;
  sse: Partial<RuleConfig['sse']> | null;
}

/** Make one and keep it: its schemas cost more than the compiling of many objects. */
export class ObjectCompiler {
  readonly #registry: ConfigRegistry;
  readonly #schema: FileSchema;
  readonly #policy = routePolicySchema();
  readonly #answering: ReadonlySet<string>;

  constructor(registry: ConfigRegistry) {
    this.#registry = registry;
    this.#schema = fileSchema(registry);
    const brought = Object.entries(registry.plugins?.filters ?? {});
    this.#answering = new Set([
      ...(registry.answeringFilters ?? ['redirect']),
      ...brought.filter(([, { answers }]) => answers === true).map(([name]) => name),
    ]);
  }

  /** Of a Backend. Never throws; the result is frozen. */
  backend(object: SpecObject): CompiledBackend | Refused {
    const { name } = object.metadata;
    const namespace = object.metadata.namespace ?? 'default';
    const base: Path = ['backends', name];
    const problems: Problem[] = [];
    const warnings: Problem[] = [];
    const spec = withoutNulls(object.spec);
    if (!isMapping(spec)) return refusedSpec(spec);
    this.#checkSource(spec, base, problems);
    if (isMapping(spec['kubernetes'])) {
      if (spec['kubernetes']['namespace'] !== undefined) {
        problems.push(problem([...base, 'kubernetes', 'namespace'], "is the object's own", 'remove it'));
      }
      spec['kubernetes'] = { ...spec['kubernetes'], namespace };
    }
    const parsed = this.#schema.backend.safeParse(spec);
    if (!parsed.success) {
      problems.push(...explainIssues(parsed.error.issues, base, spec, this.#schema.whole));
      return { problems: objectProblems(problems, base) };
    }
    const files = new NoFiles(problems);
    const backend = compileBackend(name, parsed.data, {
      folder: '/',
      files,
      plugins: this.#registry.plugins,
      inCluster: true,
      problems,
      warnings,
      // No certificate is read here.
      wallMs: 0,
    });
    const own = parsed.data.wake.with.indexOf(name);
    if (own >= 0) problems.push(problem([...base, 'wake', 'with', own], `${name} waits for itself`, 'remove it'));
    if (backend === undefined || problems.length > 0) return { problems: objectProblems(problems, base) };
    warnings.push(...backendWarnings(backend, spec, base));
    return {
      backend: deepFreeze({
        ...backend,
        name: `${namespace}/${name}`,
        wake: { ...backend.wake, with: backend.wake.with.map((other) => `${namespace}/${other}`) },
      }),
      warnings: objectProblems(warnings, base),
    };
  }

  /** Of a RouteFilter. Never throws; the result is frozen. */
  routeFilter(object: SpecObject): CompiledFilter | Refused {
    const base: Path = ['routes', 0, 'rules', 0, 'filters', 0];
    const { namespace = 'default' } = object.metadata;
    const spec = structuredClone(object.spec);
    if (!isMapping(spec)) return refusedSpec(spec);
    const parsed = this.#schema.filter.safeParse(spec);
    if (!parsed.success) {
      return { problems: objectProblems(explainIssues(parsed.error.issues, base, spec, this.#schema.whole), base) };
    }
    const problems: Problem[] = [];
    const mentions: BackendMention[] = [];
    const { type, options } = parsed.data;
    const looked = lookUpNamed(options, [...base, type], new NoFiles(problems), mentions, `${namespace}/`);
    if (problems.length > 0) return { problems: objectProblems(problems, base) };
    return deepFreeze({
      filter: { type, options: looked },
      backends: [...new Set(mentions.map((mention) => mention.name))],
      answers: this.#answering.has(type),
    });
  }

  /** Of a RoutePolicy. Never throws; the result is frozen. */
  routePolicy(object: SpecObject): { policy: RoutePolicyConfig } | Refused {
    const spec = withoutNulls(object.spec);
    if (!isMapping(spec)) return refusedSpec(spec);
    const parsed = this.#policy.safeParse(spec);
    if (!parsed.success)
      return { problems: objectProblems(explainIssues(parsed.error.issues, [], spec, this.#policy), []) };
    const { targetRefs, clients, timeouts, retry, webSocket, sse } = parsed.data;
    return deepFreeze({
      policy: {
        targets: targetRefs.map(({ kind, name, sectionName }) => ({ kind, name, sectionName: sectionName ?? null })),
        clients: clients ?? null,
        timeouts: timeouts === undefined ? null : written(compileTimeouts(timeouts), spec['timeouts']),
        retry: retry === undefined ? null : written(compileRetry({ ...retry, on: retry.conditions }), spec['retry']),
        webSocket: webSocket === undefined ? null : written(compileWebSocket(webSocket), spec['webSocket']),
        sse: sse === undefined ? null : written(compileSse(sse), spec['sse']),
      },
    });
  }

  #checkSource(spec: Mapping, base: Path, problems: Problem[]): void {
    if (spec['process'] !== undefined) {
      const hint = 'name a workload with kubernetes; processes are for dormouse up';
      problems.push(problem([...base, 'process'], 'has no place in a cluster', hint));
      delete spec['process'];
    } else if (spec['kubernetes'] === undefined && spec['servers'] === undefined) {
      const hint = 'add kubernetes: { target: { apiVersion: apps/v1, kind: Deployment, name: … }, service: … }';
      problems.push(problem(base, 'has neither kubernetes nor servers', hint));
    } else if (spec['kubernetes'] !== undefined && spec['servers'] !== undefined) {
      problems.push(problem(base, 'has both kubernetes and servers', 'keep one of them'));
    }
  }
}

/** Names of the model's keys are those of the specification, with the unit where it is a time. */
function written<T extends object>(section: T, spec: unknown): Partial<T> {
  const given = new Set(isMapping(spec) ? Object.keys(spec) : []);
  if (given.has('conditions')) given.add('on');
  return Object.fromEntries(Object.entries(section).filter(([key]) => given.has(key.replace(/Ms$/, '')))) as Partial<T>;
}

function refusedSpec(spec: unknown): Refused {
  const message = spec === undefined || spec === null ? 'is missing' : 'expected a mapping';
  return { problems: [{ path: 'spec', message, hint: 'kubectl explain shows its keys' }] };
}

/** A copy: nothing written means the default, as in the file. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isMapping(value)) return value;
  const copy: Mapping = {};
  for (const [key, entry] of Object.entries(value)) {
    if (entry !== null && entry !== undefined && key !== '__proto__') copy[key] = withoutNulls(entry);
  }
  return copy;
}
