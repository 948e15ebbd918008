/** Filters of HTTPRoutes and GRPCRoutes as filters of ours. */
import type { FilterConfig } from '../../model/config.ts';
import { GROUP } from '../backend-object.ts';
import type { BackendReferences, Traffic } from './backend-references.ts';
import type { Problem } from './gateways.ts';
import type { HeaderModifier, PathModifier, RouteFilter } from './objects.ts';
import { missingText, type RouteFilters } from './route-filters.ts';
import type { TranslationSettings } from './translation.ts';

export interface FilterContext {
  route: { kind: string; namespace: string };
  traffic: Traffic;
  references: BackendReferences;
  routeFilters: Pick<RouteFilters, 'get'>;
  settings: TranslationSettings;
  /** Whether all matches of the rule are prefixes, one of which a path modifier can replace. */
  prefixOnly: boolean;
  /** Port of the Gateway's listener: where redirects lead that name none. */
  port: number;
}

export interface CompiledFilters {
  filters: FilterConfig[];
  /** One of them answers, so that the rule needs no backend. */
  answers: boolean;
  /** They are others on a listener with another port. */
  dependsOnPort: boolean;
  /** What can't be found. */
  unresolved: Problem[];
  /** Nothing may be sent on without one of them, which can't be found. */
  missing: boolean;
}

/** A sentence when the rule can't be used with these filters. */
export function compileFilters(filters: readonly RouteFilter[], context: FilterContext): CompiledFilters | string {
  const made: CompiledFilters = { filters: [], answers: false, dependsOnPort: false, unresolved: [], missing: false };
  for (const filter of filters) {
    const problem = addFilter(filter, context, made);
    if (problem !== null) return `filters: ${filter.type}: ${problem}`;
  }
  return made;
}

function addFilter(filter: RouteFilter, context: FilterContext, made: CompiledFilters): string | null {
  switch (filter.type) {
    case 'RequestHeaderModifier':
      return addChecked({ requestHeaders: headerChange(filter.requestHeaderModifier) }, context, made);
    case 'ResponseHeaderModifier':
      return addChecked({ responseHeaders: headerChange(filter.responseHeaderModifier) }, context, made);
    case 'RequestRedirect':
      return addRedirect(filter, context, made);
    case 'URLRewrite': {
      const { hostname, path } = filter.urlRewrite ?? {};
      const change = path === undefined ? {} : { path: pathChange(path, context) };
      if (typeof change.path === 'string') return change.path;
      if (hostname === undefined && path === undefined) return null;
      return addChecked(
        { rewrite: { ...(hostname === undefined ? {} : { host: hostname }), ...change } },
        context,
        made,
      );
    }
    case 'RequestMirror':
      return addMirror(filter, context, made);
    case 'CORS':
      return addCors(filter, context, made);
    case 'ExtensionRef':
      return addExtension(filter, context, made);
    default:
      return 'is not a filter that is supported';
  }
}

/** `entry`: as in dormouse.yaml; its own schema checks it. A sentence when it can't be used. */
function addChecked(entry: Record<string, unknown>, context: FilterContext, made: CompiledFilters): string | null {
  const { settings, route } = context;
  const metadata = { name: 'filter', namespace: route.namespace };
  const compiled = settings.compiler.routeFilter({ metadata, spec: entry });
  if ('problems' in compiled) {
    const { path, message, hint } = compiled.problems[0]!;
    return `${path.replace(/^spec\.?/, '')}: ${message}${hint === '' ? '' : `; ${hint}`}`;
  }
  made.filters.push(compiled.filter);
  made.answers ||= compiled.answers;
  return null;
}

function headerChange({ set = [], add = [], remove = [] }: HeaderModifier = {}): Record<string, unknown> {
  const record = (list: { name: string; value: string }[]): Record<string, string> =>
    Object.fromEntries(list.map(({ name, value }) => [name, value]));
  return { set: record(set), add: record(add), remove };
}

/** A sentence when it can't be used. */
function pathChange(
  { type, replaceFullPath, replacePrefixMatch }: PathModifier,
  { prefixOnly }: FilterContext,
): Record<string, string> | string {
  if (type === 'ReplaceFullPath' && replaceFullPath !== undefined) return { full: replaceFullPath };
  if (type !== 'ReplacePrefixMatch' || replacePrefixMatch === undefined) return `path.type ${type} is not supported`;
  return prefixOnly ? { prefix: replacePrefixMatch } : 'path.replacePrefixMatch needs matches of type PathPrefix alone';
}

function addRedirect(
  { requestRedirect = {} }: RouteFilter,
  context: FilterContext,
  made: CompiledFilters,
): string | null {
  const { scheme, hostname, path, port, statusCode } = requestRedirect;
  const change = path === undefined ? undefined : pathChange(path, context);
  if (typeof change === 'string') return change;
  // Without a scheme and a port it is the listener's port that clients are sent to.
  const target = port ?? (scheme === undefined ? context.port : undefined);
  if (port === undefined && scheme === undefined) made.dependsOnPort = true;
  const redirect = {
    ...(scheme === undefined ? {} : { scheme }),
    ...(hostname === undefined ? {} : { host: hostname }),
    ...(change === undefined ? {} : { path: change }),
    ...(target === undefined ? {} : { port: target }),
    status: statusCode ?? 302,
  };
  return addChecked({ redirect }, context, made);
}

function addMirror({ requestMirror }: RouteFilter, context: FilterContext, made: CompiledFilters): string | null {
  if (requestMirror === undefined) return 'has no requestMirror';
  const { backendRef, percent, fraction } = requestMirror;
  const resolved = context.references.resolve(backendRef, context.route, context.traffic);
  if ('problem' in resolved) {
    made.unresolved.push(resolved.problem);
    return null;
  }
  const share = percent ?? (fraction === undefined ? 100 : (fraction.numerator / (fraction.denominator ?? 100)) * 100);
  if (!(share <= 100)) return 'a share of more than the whole';
  if (share > 0) made.filters.push({ type: 'mirror', options: { backend: resolved.name, percent: share } });
  return null;
}

function addCors({ cors = {} }: RouteFilter, context: FilterContext, made: CompiledFilters): string | null {
  const { allowOrigins = [], allowCredentials = false, allowMethods, allowHeaders, exposeHeaders, maxAge = 5 } = cors;
  // Nobody is allowed: what CORS is without the headers.
  if (allowOrigins.length === 0) return null;
  return addChecked(
    {
      cors: {
        origins: allowOrigins,
        ...(allowMethods === undefined ? {} : { methods: allowMethods }),
        ...(allowHeaders === undefined ? {} : { headers: allowHeaders }),
        ...(exposeHeaders === undefined ? {} : { exposed: exposeHeaders }),
        credentials: allowCredentials,
        maxAge: `${maxAge}s`,
      },
    },
    context,
    made,
  );
}

/** A rule whose filter can't be had answers with an error: nobody else's rule may take its requests, since the filter may be the one that keeps people out. */
function addExtension({ extensionRef }: RouteFilter, context: FilterContext, made: CompiledFilters): string | null {
  if (extensionRef === undefined) return 'has no extensionRef';
  const { group, kind, name } = extensionRef;
  const missing = (reason: string, message: string): null => {
    made.unresolved.push({ reason, message: `filters: ${message}` });
    made.missing = true;
    return null;
  };
  if (group !== GROUP || kind !== 'RouteFilter') {
    return missing('InvalidKind', `${group}/${kind} ${name} is not known; RouteFilter of ${GROUP} is`);
  }
  const key = `${context.route.namespace}/${name}`;
  const filter = context.routeFilters.get(key);
  if (!filter.found) return missing('BackendNotFound', `there is no RouteFilter ${key}`);
  if ('invalid' in filter) return missing('InvalidFilter', `RouteFilter ${key}: ${filter.invalid}`);
  const { compiled } = filter;
  if (filter.missing.length > 0) {
    const message = `RouteFilter ${key}: ${missingText(filter.missing)}`;
    if (compiled.filter.type !== 'mirror') return missing('BackendNotFound', message);
    // A copy that can't be sent keeps nobody from the answer, as with RequestMirror.
    made.unresolved.push({ reason: 'BackendNotFound', message: `filters: ${message}` });
    return null;
  }
  made.filters.push(compiled.filter);
  made.answers ||= compiled.answers;
  return null;
}
