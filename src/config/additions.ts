/**
 * What is added to a configuration file from elsewhere (the admin API's state): backends of other names and routes, checked and compiled like the file's. Variables of
 * the environment are not expanded in them, since whoever adds a backend may not be the one who may read the environment.
 */
import type { ConfigIssue, Path, Problem } from './config-error.ts';
import { dotted } from './config-error.ts';
import { expand } from './expand.ts';
import type { Mapping } from './plain-data.ts';

export interface Additions {
  /** Where they are kept: errors name it in the place of the file. */
  source: string;
  backends: Readonly<Record<string, unknown>>;
  /** Entries of `routes:`, each with the name of the backend that it came with. */
  routes: readonly { backend: string; route: unknown }[];
}

/** Room for routes of the file, so that paths of problems tell both apart. */
export const FIRST_ADDED_ROUTE = 1_000_000;

export interface Added {
  backends: Mapping;
  routes: { backend: string; route: unknown }[];
  problems: Problem[];
  /** Names that the file has too: there, the file counts. */
  shadowed: string[];
}

export function added({ backends, routes }: Additions, namesOfFile: ReadonlySet<string>): Added {
  const shadowed = Object.keys(backends).filter((name) => namesOfFile.has(name));
  const own = Object.fromEntries(Object.entries(backends).filter(([name]) => !namesOfFile.has(name)));
  const data = structuredClone(own);
  const kept = routes.filter(({ backend }) => Object.hasOwn(own, backend));
  const expansion = expand({ backends: data, routes: kept.map(({ route }) => structuredClone(route)) }, {});
  const { backends: made, routes: madeRoutes } = expansion.data as { backends: Mapping; routes: unknown[] };
  const problems = expansion.problems.map(({ path, message }) => ({
    path: path[0] === 'routes' ? ['routes', FIRST_ADDED_ROUTE + (path[1] as number), ...path.slice(2)] : path,
    message: message.startsWith('the environment variable') ? 'has a variable, which is not known here' : message,
    hint: 'write the value itself, and $$ for a dollar',
  }));
  return {
    backends: made,
    routes: madeRoutes.map((route, index) => ({ backend: kept[index]!.backend, route })),
    problems,
    shadowed,
  };
}

/** Whether what is wrong there is wrong with what was added. */
export function isAdded(path: Path, names: ReadonlySet<string>): boolean {
  if (path[0] === 'backends') return names.has(path[1] as string);
  return path[0] === 'routes' && typeof path[1] === 'number' && path[1] >= FIRST_ADDED_ROUTE;
}

/** They stand in no file of lines. */
export function addedIssue({ path, message, hint = '' }: Problem, additions: Added, source: string): ConfigIssue {
  const shownPath =
    path[0] === 'routes' && typeof path[1] === 'number'
      ? ['backends', additions.routes[path[1] - FIRST_ADDED_ROUTE]?.backend ?? '', 'route', ...path.slice(2)]
      : path;
  return { file: source, line: 0, column: 0, key: dotted(shownPath), message, hint };
}
