/** Text to the compiled, frozen configuration: read, expand, check, compile. */
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import type { BackendConfig, Config, ListenerConfig, PluginConfig, RouteConfig } from '../model/config.ts';
import { added, addedIssue, isAdded, FIRST_ADDED_ROUTE, type Added, type Additions } from './additions.ts';
import { compileAdmin } from './compile-admin.ts';
import { ConfigError, MAX_ISSUES, dotted, shown } from './config-error.ts';
import type { ConfigIssue, Path, Problem } from './config-error.ts';
import { compileListener } from './compile-listener.ts';
import { NamedFiles, realFiles } from './named-files.ts';
import type { FileAccess } from './named-files.ts';
import type { BackendMention } from './named-things.ts';
import { compileEvents } from './compile-events.ts';
import { compileBackend, type BackendContext } from './compile-backend.ts';
import { compileRoute, leadTo } from './compile-route.ts';
import { expand } from './expand.ts';
import type { Environment, Expanded, SoftValue } from './expand.ts';
import { hideExpanded } from './hide-expanded.ts';
import { explainIssues, problem } from './explain.ts';
import { backendWarnings } from './backend-warnings.ts';
import { deepFreeze } from './deep-freeze.ts';
import { AsWritten, isMapping } from './plain-data.ts';
import { placeProblems } from './places.ts';
import { readYaml } from './read-yaml.ts';
import {
  checkBackends,
  checkListeners,
  checkListening,
  checkMentions,
  checkProcessPorts,
  checkRoutes,
  listens,
} from './references.ts';
import { checkRawBackends, limitsBeforeIdentity, retriesWithoutEffect } from './protocol-rules.ts';
import type { Placed } from './references.ts';
import { fileSchema } from './schema/file.ts';
import type { ConfigRegistry, TopEntry } from './schema/file.ts';
import type { BackendEntry } from './schema/backend.ts';
import type { ListenerEntry } from './schema/listener.ts';
import type { RouteEntry } from './schema/route.ts';
import { nameFault } from './schema/scalars.ts';

export interface ParseOptions {
  /** Path of the file, absolute or as the user gave it: relative paths in it start at its folder, and errors name it so. */
  file: string;
  /** For `${NAME}`. */
  env: Environment;
  registry: ConfigRegistry;
  /** What `plugins:` names, found and loaded: `registry.plugins` is what they bring. */
  plugins?: readonly PluginConfig[];
  /** The default of `workers`; when left out, the number of cores that this process may run on. */
  cores?: number;
  /** Where files that it names are looked for; the file system when left out. */
  files?: FileAccess;
  /** Now, for certificates that are out of force; the wall clock when left out. */
  wallMs?: number;
  /** What is allowed but probably not meant. */
  onWarning?: (issue: ConfigIssue) => void;
  /** The text is a part of a configuration. */
  part?: Part;
  /** What is added to the file from elsewhere. */
  additions?: Additions | null;
}

export interface Part {
  /** What the text may have, as `security` or `telemetry.traces`; nothing of it must be there. */
  keys: readonly string[];
  /** Stands for all other keys of the top. */
  given: Readonly<Record<string, unknown>>;
}

const SMALLEST = 'the smallest file is: backends: { app: { process: { command: [node, server.js] } } }';

/** Throws ConfigError, with all that is wrong (up to 20 issues), and nothing else. */
export function parseConfig(text: string, options: ParseOptions): Config {
  let expanded: readonly Expanded[] = [];
  let extra: Added | null = null;
  const addedNames = new Set<string>();
  const place = (problems: Problem[]): { issues: ConfigIssue[]; more: number } => {
    const own = problems.filter(({ path }) => !isAdded(path, addedNames));
    const { issues, more } = placeProblems(own, text, options.file);
    for (const issue of issues) hideExpanded(issue, expanded);
    if (extra === null || own.length === problems.length) return { issues, more };
    const others = problems.filter(({ path }) => isAdded(path, addedNames));
    const room = others.slice(0, Math.max(1, MAX_ISSUES - issues.length));
    for (const found of room) issues.push(addedIssue(found, extra, options.additions!.source));
    return { issues, more: more + others.length - room.length };
  };
  const fail = (problems: Problem[]): never => {
    const { issues, more } = place(problems);
    throw new ConfigError('DORMOUSE_CONFIG_INVALID', issues, { more });
  };
  const reading = readYaml(text);
  if ('problems' in reading) return fail(reading.problems);
  const { part } = options;
  const read = reading.data ?? (part === undefined ? undefined : {});
  if (read === undefined) return fail([problem([], 'the file is empty', SMALLEST)]);
  if (!isMapping(read)) return fail([notAMapping(read)]);
  if (part !== undefined) {
    const others = keysOutside(read, part.keys);
    if (others.length > 0) return fail(others);
    Object.assign(read, structuredClone(part.given));
  }

  const expansion = expand(read, options.env);
  const { data, soft, problems } = expansion;
  expanded = expansion.expanded;
  const expansionProblems = problems.length;
  const notExpanded = new Set(problems.map(({ path }) => dotted(path)));
  const warnings: Problem[] = [];
  if (options.additions != null) {
    const { backends } = data as { backends?: unknown };
    extra = added(options.additions, new Set(isMapping(backends) ? Object.keys(backends) : []));
    for (const name of Object.keys(extra.backends)) addedNames.add(name);
    problems.push(...extra.problems);
    for (const name of extra.shadowed)
      warnings.push({
        path: ['backends', name],
        message: 'a backend of this name was made over the admin API too, and is left out',
        hint: `rename this one, or delete the other: dormouse rm ${name}`,
        atKey: true,
      });
  }
  const config = new Compilation(data as Record<string, unknown>, soft, options, problems, warnings, extra).run();
  if (config === undefined || problems.length > 0) {
    // What is missing from the environment makes a bad value too; the first says enough.
    return fail(problems.filter(({ path }, index) => index < expansionProblems || !notExpanded.has(dotted(path))));
  }
  if (options.onWarning !== undefined && warnings.length > 0) {
    for (const issue of place(warnings).issues) options.onWarning(issue);
  }
  return deepFreeze(config);
}

/** Keys of the top, and of sections that `keys` names only parts of, that are not among them. */
function keysOutside(data: Record<string, unknown>, keys: readonly string[]): Problem[] {
  const next = `what can be set here is ${keys.join(', ')}`;
  return Object.entries(data).flatMap(([key, value]) => {
    if (keys.includes(key)) return [];
    if (!keys.some((known) => known.startsWith(`${key}.`))) return [problem([key], 'is not set here', next)];
    if (!isMapping(value)) return [];
    return Object.keys(value)
      .filter((inner) => !keys.includes(`${key}.${inner}`))
      .map((inner) => problem([key, inner], 'is not set here', next));
  });
}

class Compilation {
  readonly #data: Record<string, unknown>;
  readonly #soft: readonly SoftValue[];
  readonly #options: ParseOptions;
  readonly #problems: Problem[];
  readonly #warnings: Problem[];
  readonly #schema: ReturnType<typeof fileSchema>;
  readonly #folder: string;
  readonly #files: NamedFiles;
  readonly #backendContext: BackendContext;
  readonly #mentions: BackendMention[] = [];
  readonly #added: Added | null;

  constructor(
    data: Record<string, unknown>,
    soft: readonly SoftValue[],
    options: ParseOptions,
    problems: Problem[],
    warnings: Problem[],
    extra: Added | null,
  ) {
    this.#added = extra;
    this.#data = data;
    this.#soft = soft;
    this.#options = options;
    this.#problems = problems;
    this.#warnings = warnings;
    this.#schema = fileSchema(options.registry);
    this.#folder = dirname(resolve(options.file));
    this.#files = new NamedFiles(this.#folder, options.files ?? realFiles, problems);
    this.#backendContext = {
      folder: this.#folder,
      files: this.#files,
      plugins: options.registry.plugins,
      problems,
      warnings,
      wallMs: options.wallMs ?? Date.now(),
    };
  }

  run(): Config | undefined {
    const { listeners: listenerList, backends: backendMap, routes: routeList } = this.#data;
    // Taken out, not copied around: what is soft is changed in place.
    for (const key of ['listeners', 'backends', 'routes']) delete this.#data[key];
    const top = this.#parse<TopEntry>(this.#schema.top, this.#data, []);
    const listeners = this.#listeners(listenerList);
    const { backends, names } = this.#backends(backendMap);
    const routes = this.#routes(routeList, backends, names, listeners);
    const { admin } = top ?? { admin: null };
    // Whoever switches the admin API on may make them over it.
    const comeLater = this.#data['admin'] !== undefined && admin !== null;
    if (names.size === 0 && routeList === undefined && this.#problems.length === 0 && !comeLater) {
      this.#problems.push(problem([], 'there are no backends', SMALLEST));
    }
    if (this.#added !== null) this.#addMore(this.#added, backends, names, routes);
    this.#add(checkListeners(listeners, top?.observe?.address ?? null));
    this.#add(checkProcessPorts(backends, listeners, top?.observe?.address ?? null));
    this.#add(checkBackends(backends, names));
    // When a listener could not be compiled its name is not known, and routes that name it would only repeat the complaint.
    const listenersKnown = !this.#problems.some(({ path }) => path[0] === 'listeners');
    const protocols = new Map(listeners.map(({ entry }) => [entry.name, entry.protocol]));
    this.#add(checkRoutes(routes, names, listenersKnown ? protocols : null));
    this.#add(checkMentions(this.#mentions, backends, names));
    this.#add(checkRawBackends(listeners, routes, backends, names));
    this.#add(checkListening(listeners, routes, this.#mentions, backends));
    for (const warning of retriesWithoutEffect(routes)) this.#warnings.push(warning);
    for (const warning of limitsBeforeIdentity(routes, (top?.plugins.length ?? 0) > 0)) this.#warnings.push(warning);
    const compiledAdmin = compileAdmin(
      admin,
      { listeners, observe: top?.observe?.address ?? null, backends },
      this.#backendContext,
    );
    if (top === undefined || this.#problems.length > 0) return undefined;
    return {
      workers: top.workers ?? Math.max(1, Math.floor(this.#options.cores ?? availableParallelism())),
      stateDir: resolve(this.#folder, top.stateDir),
      shutdown: { delayMs: top.shutdown.delay, drainMs: top.shutdown.drain },
      listeners: listeners.map(({ entry }) => entry),
      backends,
      routes: routes.map(({ entry }) => entry),
      plugins: [...(this.#options.plugins ?? [])],
      security: top.security,
      observe: top.observe,
      admin: compiledAdmin,
      events: compileEvents(top.events, this.#backendContext),
      telemetry: {
        accessLog: { ...top.telemetry.accessLog, file: this.#logFile(top.telemetry.accessLog.file) },
        log: top.telemetry.log,
        traces: top.telemetry.traces ?? null,
        serverTiming: top.telemetry.serverTiming,
        metricsSinks: top.telemetry.metricsSinks.map(({ type, options, interval }) => ({
          type,
          options,
          intervalMs: interval,
        })),
      },
      reportIntervalMs: reportInterval(backends),
    };
  }

  /** Backends and routes that are not the file's. */
  #addMore(more: Added, backends: BackendConfig[], names: Set<string>, routes: Placed<RouteConfig>[]): void {
    const made = this.#backends(more.backends);
    backends.push(...made.backends);
    for (const name of made.names) names.add(name);
    for (const [index, { route }] of more.routes.entries()) {
      const found = this.#route(route, FIRST_ADDED_ROUTE + index, this.#answeringFilters());
      if (found !== undefined) routes.push(found);
    }
  }

  #listeners(list: unknown): Placed<ListenerConfig>[] {
    if (list === undefined) {
      const entry = this.#schema.listener.parse({ address: '127.0.0.1:8080' });
      return [{ entry: compileListener(entry, 'web', ['listeners'], this.#backendContext), index: -1 }];
    }
    if (!this.#isList(list, 'listeners')) return [];
    if (list.length === 0)
      this.#problems.push(problem(['listeners'], 'is empty', 'remove it for the default, 127.0.0.1:8080'));
    const listeners: Placed<ListenerConfig>[] = [];
    for (const [index, value] of list.entries()) {
      const at = ['listeners', index];
      const entry = this.#parse<ListenerEntry>(this.#schema.listener, value, at);
      if (entry === undefined) continue;
      const name = list.length === 1 ? 'web' : String(index + 1);
      listeners.push({ entry: compileListener(entry, name, at, this.#backendContext), index });
    }
    return listeners;
  }

  #backends(map: unknown): { backends: Config['backends']; names: Set<string> } {
    const backends: Config['backends'] = [];
    const names = new Set<string>();
    if (map === undefined) return { backends, names };
    if (!isMapping(map)) {
      this.#problems.push(
        problem(['backends'], 'expected a mapping of names', 'write backends: { app: { process: … } }'),
      );
      return { backends, names };
    }
    for (const [name, value] of Object.entries(map)) {
      const path = ['backends', name];
      names.add(name);
      const fault = nameFault(name);
      if (fault !== undefined) this.#problems.push(problem(path, fault.message, fault.hint));
      if (isMapping(value)) this.#checkSource(value, path);
      const entry = this.#parse<BackendEntry>(this.#schema.backend, value, path);
      const backend = entry === undefined ? undefined : compileBackend(name, entry, this.#backendContext);
      if (backend === undefined) continue;
      backends.push(backend);
      if (isMapping(value)) this.#warnings.push(...backendWarnings(backend, value, path));
    }
    return { backends, names };
  }

  #checkSource(value: Record<string, unknown>, path: Path): void {
    const given = ['process', 'kubernetes', 'servers'].filter((key) => value[key] !== undefined);
    if (given.length === 1) return;
    this.#problems.push(
      given.length === 0
        ? problem(
            path,
            'has none of process, kubernetes and servers',
            'add process: { command: [ … ] }, or servers: [URL]',
          )
        : problem(path, `has ${listed(given)}`, 'keep one of them'),
    );
  }

  #routes(
    list: unknown,
    backends: readonly BackendConfig[],
    names: ReadonlySet<string>,
    listeners: readonly Placed<ListenerConfig>[],
  ): Placed<RouteConfig>[] {
    if (list === undefined) {
      // Workers that listen nowhere are nothing that a route could lead to.
      const silent = new Set(backends.filter((backend) => !listens(backend)).map(({ name }) => name));
      const reachable = [...names].filter((name) => !silent.has(name));
      const [name] = reachable;
      if (name !== undefined && reachable.length === 1) {
        if (backends.find((backend) => backend.name === name)?.endpoints.protocol === 'tcp') {
          const passing = listeners.filter(({ entry }) => entry.protocol === 'tls').map(({ entry }) => entry.name);
          return passing.length === 0 ? [] : [{ entry: { ...leadTo(name), listeners: passing }, index: -1 }];
        }
        return [{ entry: leadTo(name), index: -1 }];
      }
      if (reachable.length > 1 && !listeners.some(({ entry }) => entry.backend !== null)) {
        this.#warnings.push(
          problem(
            [],
            `no routes lead to the ${reachable.length} backends, so nothing reaches them`,
            'add routes: [{ hosts: [ … ], backend: … }]',
          ),
        );
      }
      return [];
    }
    if (!this.#isList(list, 'routes')) return [];
    const answeringFilters = this.#answeringFilters();
    const routes: Placed<RouteConfig>[] = [];
    for (const [index, value] of list.entries()) {
      const found = this.#route(value, index, answeringFilters);
      if (found !== undefined) routes.push(found);
    }
    return routes;
  }

  #answeringFilters(): string[] {
    const { registry } = this.#options;
    const brought = Object.entries(registry.plugins?.filters ?? {});
    return [
      ...(registry.answeringFilters ?? ['redirect']),
      ...brought.filter(([, { answers }]) => answers === true).map(([name]) => name),
    ];
  }

  #route(value: unknown, index: number, answeringFilters: readonly string[]): Placed<RouteConfig> | undefined {
    const entry = this.#parse<RouteEntry>(this.#schema.route, value, ['routes', index]);
    if (entry === undefined) return undefined;
    const route = compileRoute(entry, index, {
      answeringFilters,
      files: this.#files,
      mentions: this.#mentions,
      problems: this.#problems,
    });
    return { entry: route, index, shortForm: entry.rules === undefined };
  }

  #isList(value: unknown, key: string): value is unknown[] {
    if (Array.isArray(value)) return true;
    this.#problems.push(problem([key], 'expected a list', 'start each entry with -'));
    return false;
  }

  /** The entry, or undefined and problems. What an expansion made a number is tried as text where the schema wants text. */
  #parse<T>(schema: z.ZodType<T>, value: unknown, base: Path): T | undefined {
    const first = schema.safeParse(value);
    if (first.success) return first.data;
    let issues = first.error.issues;
    const doubtful = this.#soft.filter(
      ({ path }) =>
        startsWith(path, base) && issues.some((issue) => startsWith(path, [...base, ...(issue.path as Path)])),
    );
    if (doubtful.length > 0) {
      for (const { holder, key, text } of doubtful) (holder as Record<string | number, unknown>)[key] = text;
      const second = schema.safeParse(value);
      if (second.success) return second.data;
      if (second.error.issues.length <= issues.length) issues = second.error.issues;
    }
    this.#add(explainIssues(issues, base, value, this.#schema.whole));
    return undefined;
  }

  /** Not by spreading: a hostile file may have more problems than a call takes arguments. */
  #add(problems: readonly Problem[]): void {
    for (const found of problems) this.#problems.push(found);
  }

  #logFile(file: string): string {
    return file === 'stdout' || file === 'stderr' ? file : resolve(this.#folder, file);
  }
}

function notAMapping(data: unknown): Problem {
  const given = Array.isArray(data) ? 'a list' : `one value, ${shown(data instanceof AsWritten ? data.source : data)}`;
  return { path: [], message: `the document is ${given}, not a mapping of keys`, hint: SMALLEST, offset: 0 };
}

function listed(keys: readonly string[]): string {
  return keys.length === 2 ? `both ${keys.join(' and ')}` : `${keys.slice(0, -1).join(', ')} and ${keys.at(-1)!}`;
}

/** Often enough that a backend with a short idleAfter is seen to be idle in time: a quarter of it, 50 to 1000 ms. */
function reportInterval(backends: Config['backends']): number {
  let interval = 1000;
  for (const backend of backends) {
    if (backend.source.driver !== 'static')
      interval = Math.min(interval, Math.max(50, Math.floor(backend.scale.idleAfterMs / 4)));
  }
  return interval;
}

function startsWith(path: Path, start: Path): boolean {
  return start.length <= path.length && start.every((part, index) => part === path[index]);
}
