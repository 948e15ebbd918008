import { Pattern } from '../routing/pattern.ts';
import type { RequestEdit } from './edits.ts';
import type { Answer } from './filter.ts';
import { problemAnswer } from './problem-answer.ts';

/** What a path may not hold; true: it is refused. */
export interface PathRules {
  /** `.` and `..` as segments, encoded (`%2e`) too. */
  dotSegments: boolean;
  /** `%2F`, `%5C` and `\`, which some servers read as separators. */
  encodedSlashes: boolean;
  /** `%00` to `%1F` and `%7F`. */
  controls: boolean;
  /** `%25` before two hexadecimal digits: it becomes something else when it is decoded a second time. */
  doubleEncoding: boolean;
  /** Percent-encoded bytes that are not UTF-8, overlong forms (`%C0%AF`) too. */
  invalidUtf8: boolean;
  /** `//`. */
  emptySegments: boolean;
  /** What the whole path has to look like; null: anything. */
  regex: string | null;
}

const EXPRESSIONS: Readonly<
  Record<Exclude<keyof PathRules, 'invalidUtf8' | 'regex'>, { found: RegExp; what: string }>
> = {
  dotSegments: { found: /(?:^|\/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:$|\/|\\|%2f|%5c|;)/i, what: 'dot segments' },
  encodedSlashes: { found: /%2f|%5c|\\/i, what: 'encoded slashes' },
  controls: { found: /%(?:[01][0-9a-f]|7f)/i, what: 'control characters' },
  doubleEncoding: { found: /%25[0-9a-f]{2}/i, what: 'doubly encoded characters' },
  emptySegments: { found: /\/\//, what: 'empty segments' },
};

/** Looks at the path as the client sent it, before any rewrite. `place`: of the filter, for messages. */
export function compilePathRules(rules: PathRules, place: string): (edit: RequestEdit) => Answer | null {
  const refused = (Object.keys(EXPRESSIONS) as (keyof typeof EXPRESSIONS)[])
    .filter((name) => rules[name])
    .map((name) => EXPRESSIONS[name]);
  const pattern = rules.regex === null ? null : new Pattern(rules.regex, `${place}.path.regex`);
  return ({ view: { path } }) => {
    const encoded = path.includes('%');
    for (const { found, what } of refused) if (found.test(path)) return refusal(what);
    if (encoded && rules.invalidUtf8 && !isUtf8(path)) return refusal('bytes that are not UTF-8');
    return pattern === null || pattern.matches(path) ? null : refusal('a form that is not allowed');
  };
}

function refusal(what: string): Answer {
  return problemAnswer(400, 'path-refused', `The path has ${what}.`);
}

function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
