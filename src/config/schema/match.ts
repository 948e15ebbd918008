import { z } from 'zod';
import type { ValueMatch } from '../../model/config.ts';
import { shown } from '../config-error.ts';
import { Rejected, TOKEN, regex, requestPath, scalar, section, text } from './scalars.ts';

/** What a request must have: of a rule, or of an answer that wakes nobody. */
export function matchSection() {
  return section({
    path: section({
      exact: requestPath().optional(),
      prefix: requestPath().optional(),
      regex: regex().optional(),
    }).prefault({ prefix: '/' }),
    methods: z.array(method()).max(100).prefault([]),
    headers: z.record(z.string().regex(TOKEN, 'not a header name').max(256), valueMatch()).prefault({}),
    query: z.record(z.string().min(1, 'expected a name').max(1024), valueMatch()).prefault({}),
  });
}

export type MatchEntry = z.output<ReturnType<typeof matchSection>>;

/** `value`, `{ exact: value }` or `{ regex: pattern }`. */
export function valueMatch() {
  return z.union([
    text({ empty: true }).transform((exact): Omit<ValueMatch, 'name'> => ({ kind: 'exact', value: exact })),
    longValueMatch(),
  ]);
}

/** `{ exact: value }` or `{ regex: pattern }`. */
export function longValueMatch() {
  return section({ exact: text({ empty: true }).optional(), regex: regex().optional() }).transform(
    (match, context): Omit<ValueMatch, 'name'> => {
      if (match.exact !== undefined && match.regex === undefined) return { kind: 'exact', value: match.exact };
      if (match.regex !== undefined && match.exact === undefined) return { kind: 'regex', value: match.regex };
      context.issues.push({
        code: 'custom',
        message: 'needs exactly one of exact and regex',
        path: [],
        input: match,
      });
      return z.NEVER;
    },
  );
}

function method() {
  return scalar<string>({ type: 'string', pattern: TOKEN.source, maxLength: 64 }, (value) => {
    if (typeof value !== 'string' || value.length > 64 || !TOKEN.test(value))
      return new Rejected(`${shown(value)} is not a method`);
    const upper = value.toUpperCase();
    return upper === 'CONNECT' ? new Rejected('CONNECT is never forwarded', 'remove it') : upper;
  });
}
