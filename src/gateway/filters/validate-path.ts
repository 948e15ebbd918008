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
}

const EXPRESSIONS: Readonly<Record<Exclude<keyof PathRules, 'invalidUtf8'>, { found: RegExp; what: string }>> = {
  dotSegments: { found: /(?:^|\/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:$|\/|\\|%2f|%5c|;)/i, what: 'dot segments' },
  encodedSlashes: { found: /%2f|%5c|\\/i, what: 'encoded slashes' },
  controls: { found: /%(?:[01][0-9a-f]|7f)/i, what: 'control characters' },
  doubleEncoding: { found: /%25[0-9a-f]{2}/i, what: 'doubly encoded characters' },
  emptySegments: { found: /\/\//, what: 'empty segments' },
};

/** Looks at the path as the client sent it, before any rewrite. */
export function compilePathRules(rules: PathRules): (edit: RequestEdit) => Answer | null {
  const refused = (Object.keys(EXPRESSIONS) as (keyof typeof EXPRESSIONS)[])
    .filter((name) => rules[name])
    .map((name) => EXPRESSIONS[name]);
  return ({ view: { path } }) => {
    const encoded = path.includes('%');
    for (const { found, what } of refused) if (found.test(path)) return refusal(what);
    return encoded && rules.invalidUtf8 && !isUtf8(path) ? refusal('bytes that are not UTF-8') : null;
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
