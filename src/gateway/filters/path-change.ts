/** How rewrite and redirect change a path (Gateway API: HTTPPathModifier, and a regular expression beside it). */
import { RE2JS } from 're2js';
import { DormouseError } from '../../model/errors.ts';
import { normalPath, normalRulePath } from '../routing/path.ts';
import type { FilterContext } from './filter.ts';

export type PathChangeOptions =
  /** Put in the place of the prefix that the route matched. */
  | { prefix: string }
  /** Put in the place of the whole path; the query stays. */
  | { full: string }
  /** Taken from the front where the path begins with it (whole segments), then put in front; whatever the route matched. Either may be ''. */
  | { stripPrefix: string; addPrefix: string }
  /** Each place that the expression matches is replaced; `$1` and `$<name>` stand for groups. */
  | { regex: string; replacement: string };

/** From the path as received (raw, without query) to the new one. */
export type PathChange = (path: string) => string;

/** Throws DORMOUSE_FILTER_PATH when `prefix` is used behind a match that isn't a prefix, or when the expression is wrong. */
export function compilePathChange(options: PathChangeOptions, filter: string, context: FilterContext): PathChange {
  if ('full' in options) return () => options.full;
  if ('prefix' in options) {
    if (context.match.path.kind !== 'prefix') {
      throw new DormouseError(
        'DORMOUSE_FILTER_PATH',
        `routes.${context.route}.rules[${context.ruleIndex}]: ${filter}.path.prefix replaces the prefix that was matched, but this rule matches ` +
          `path.${context.match.path.kind}; use path.full, or match by prefix`,
        { userFault: true },
      );
    }
    return replacePrefix(
      withoutTrailingSlash(normalRulePath(context.match.path.value)),
      withoutTrailingSlash(options.prefix),
    );
  }
  if ('stripPrefix' in options) {
    const strip = withoutTrailingSlash(normalRulePath(options.stripPrefix));
    const added = withoutTrailingSlash(options.addPrefix);
    return (path) =>
      inOriginForm(added + (isBelow(path, strip) ? rest(path, strip) : added === '' ? path : undotted(path)));
  }
  const problem = replacementProblem(options.regex, options.replacement);
  if (problem !== null) {
    throw new DormouseError(
      'DORMOUSE_FILTER_PATH',
      `routes.${context.route}.rules[${context.ruleIndex}]: ${filter}.path: ${problem}`,
      { userFault: true },
    );
  }
  const expression = RE2JS.compile(options.regex);
  return (path) => inOriginForm(expression.matcher(normalPath(path) ?? path).replaceAll(options.replacement));
}

/** What is wrong with an expression and its replacement, as a sentence; null: nothing. For the schema as well. */
export function replacementProblem(regex: string, replacement: string): string | null {
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(regex);
  } catch (error) {
    return `"${regex}" is not a regular expression of RE2's syntax (${(error as Error).message}); write it without look-around and back-references`;
  }
  const names = Object.keys(expression.namedGroups());
  for (const [text, number, name] of replacement.matchAll(/\$(?:(\d)|<([^>]*)>)/g)) {
    if (number === undefined ? names.includes(name!) : number !== '0' && Number(number) <= expression.groupCount())
      continue;
    return `the replacement "${replacement}" has ${text}, a group that "${regex}" doesn't have; $1 is the first one, $<name> a named one`;
  }
  return null;
}

function replacePrefix(prefix: string, replacement: string): PathChange {
  return (path) => inOriginForm(replacement + rest(path, prefix));
}

function isBelow(path: string, prefix: string): boolean {
  return startsWithSegments(path, prefix) || startsWithSegments(normalPath(path) ?? '/', prefix);
}

/** Without segments that would climb out of a prefix that is put in front. */
function undotted(path: string): string {
  return /\/\.|%2e/i.test(path) ? (normalPath(path) ?? '/') : path;
}

/**
 * What follows the prefix, as received. A path that matched by its normal form only (encoded, or with dot segments that could climb
 * out of the new prefix) is cut in that form.
 */
function rest(path: string, prefix: string): string {
  if (startsWithSegments(path, prefix) && !/\/\.|%2e/i.test(path)) return path.slice(prefix.length);
  const normal = normalPath(path) ?? '/';
  return startsWithSegments(normal, prefix) ? normal.slice(prefix.length) : normal;
}

function startsWithSegments(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
}

function withoutTrailingSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}

/** One slash in front: `//host/x` would be read as an authority by some servers. */
function inOriginForm(path: string): string {
  return path.startsWith('/') && !path.startsWith('//') ? path : '/' + path.replace(/^\/+/, '');
}
