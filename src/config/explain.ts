/** zod's issues in the words of this program. */
import type { z } from 'zod';
import type { Path, Problem } from './config-error.ts';
import { MAX_ISSUES, shown } from './config-error.ts';
import { hintForUnknownKey, keysAt } from './known-keys.ts';

type Issue = z.core.$ZodIssue;

const ZODS_OWN_WORDS = /^(?:Invalid |Too (?:small|big)|Unrecognized )/;

/** `base` is where the parsed entry stands in the file, `data` the entry itself. */
export function explainIssues(issues: readonly Issue[], base: Path, data: unknown, whole: z.ZodType): Problem[] {
  return issues.flatMap((issue) => explain(issue, base, data, whole));
}

function explain(issue: Issue, base: Path, data: unknown, whole: z.ZodType): Problem[] {
  return reworded(issue, base, data, whole).map((found) =>
    found.message === 'is missing' && found.hint === undefined ? { ...found, hint: hintForMissing(found.path) } : found,
  );
}

function hintForMissing(path: Path): string {
  const key = path.at(-1);
  return typeof key === 'string' ? `add ${key}: …` : 'write a value';
}

function reworded(issue: Issue, base: Path, data: unknown, whole: z.ZodType): Problem[] {
  const inner = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
  const path = [...base, ...inner];
  const given = valueAt(data, inner);
  // A schema that says it in its own words (filters do) knows better than the cases below.
  if (given !== undefined && !ZODS_OWN_WORDS.test(issue.message)) {
    return [
      problem(
        path,
        issue.message,
        issue.code === 'custom' ? (issue.params as { hint?: string } | undefined)?.hint : `got ${shown(given)}`,
      ),
    ];
  }
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key, index) => ({
        // Looking for the nearest key costs time: not for more issues than are shown.
        ...problem([...path, key], 'unknown key', index < MAX_ISSUES ? hintForUnknownKey(whole, path, key) : undefined),
        atKey: true,
      }));
    case 'invalid_type':
      if (given === undefined) return [problem(path, 'is missing', undefined)];
      return [
        problem(
          path,
          `expected ${nameOfType(issue.expected)}, got ${shown(given)}`,
          hintForType(issue.expected, given, () => keysAt(whole, path)),
        ),
      ];
    case 'invalid_value': {
      const wanted = issue.values.map((value) => (typeof value === 'string' ? value : String(value)));
      if (given === undefined) return [problem(path, 'is missing', `expected ${wanted.join(' or ')}`)];
      return [problem(path, `expected ${wanted.join(' or ')}, got ${shown(given)}`, undefined)];
    }
    case 'too_small':
      return [
        problem(
          path,
          `expected ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}${unitOf(issue.origin, issue.minimum)}`,
          undefined,
        ),
      ];
    case 'too_big':
      return [
        problem(
          path,
          `expected ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}${unitOf(issue.origin, issue.maximum)}`,
          undefined,
        ),
      ];
    case 'invalid_union':
      return explainUnion(issue, base, inner, data, whole);
    case 'invalid_key':
    case 'invalid_element':
      return issue.issues.map((cause) => problem(path, cause.message, undefined));
    case 'custom':
      return [problem(path, issue.message, (issue.params as { hint?: string } | undefined)?.hint)];
    default:
      return [problem(path, issue.message, undefined)];
  }
}

/** The branch that came furthest: a mapping's own problems rather than "not text". */
function explainUnion(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  base: Path,
  inner: (string | number)[],
  data: unknown,
  whole: z.ZodType,
): Problem[] {
  const branches = issue.errors as Issue[][];
  const given = valueAt(data, inner);
  const mapping = typeof given === 'object' && given !== null && !Array.isArray(given);
  const wrongKind = (branch: Issue[]): boolean =>
    branch.some((cause) => cause.path.length === 0 && cause.code === 'invalid_type');
  const fitting = branches.filter((branch) =>
    mapping ? branch.some((cause) => cause.path.length > 0 || cause.code === 'unrecognized_keys') : !wrongKind(branch),
  );
  const best = fitting[0] ?? branches.find((branch) => !wrongKind(branch)) ?? branches[0];
  if (best === undefined) return [problem([...base, ...inner], issue.message, undefined)];
  return best.flatMap((cause) => explain({ ...cause, path: [...inner, ...cause.path] }, base, data, whole));
}

export function problem(path: Path, message: string, hint?: string): Problem {
  return hint === undefined ? { path, message } : { path, message, hint };
}

function valueAt(data: unknown, path: Path): unknown {
  let value = data;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

function nameOfType(type: string): string {
  switch (type) {
    case 'object':
    case 'record':
      return 'a mapping';
    case 'array':
      return 'a list';
    case 'string':
      return 'text';
    case 'int':
      return 'a whole number';
    case 'boolean':
      return 'true or false';
    default:
      return `a ${type}`;
  }
}

const MOST_KEYS_TOLD = 16;

function hintForType(expected: string, given: unknown, keys: () => string[]): string | undefined {
  if (expected === 'array') return typeof given === 'object' ? 'write a list: - item' : 'write a list: [item]';
  if (expected === 'string' && (typeof given === 'number' || typeof given === 'boolean')) return 'put it in quotes';
  if (expected === 'object') {
    const known = keys();
    const [first] = known;
    if (first === undefined || known.length > MOST_KEYS_TOLD) return undefined;
    return known.length === 1 ? `write { ${first}: … }` : `write { KEY: … }; there are ${known.join(', ')}`;
  }
  return undefined;
}

function unitOf(origin: string, count: number | bigint): string {
  if (origin === 'array') return Number(count) === 1 ? ' entry' : ' entries';
  if (origin === 'string') return Number(count) === 1 ? ' character' : ' characters';
  return '';
}
