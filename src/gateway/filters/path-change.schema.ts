import { z } from 'zod';
import { replacementProblem, type PathChangeOptions } from './path-change.ts';

const pathText = (form: RegExp): z.ZodString =>
  z
    .string()
    .regex(form, 'a path begins with / and holds no spaces; other characters are percent-encoded')
    .regex(/^[^?#]*$/, 'a path only, without ? and #: the query stays as it was sent');

const keys = ['prefix', 'full', 'stripPrefix', 'addPrefix', 'regex', 'replacement'] as const;

/** One of { prefix }, { full }, { stripPrefix, addPrefix } (either alone too), { regex, replacement }. */
export const pathChangeSchema: z.ZodType<PathChangeOptions> = z
  .strictObject({
    // Empty: the prefix is taken away.
    prefix: pathText(/^(?:\/[\x21-\x7e]*)?$/).optional(),
    full: pathText(/^\/[\x21-\x7e]*$/).optional(),
    stripPrefix: pathText(/^\/[\x21-\x7e]*$/).optional(),
    addPrefix: pathText(/^\/[\x21-\x7e]*$/).optional(),
    regex: z.string().min(1).optional(),
    replacement: pathText(/^[\x21-\x7e]*$/).optional(),
  })
  .transform((given, context): PathChangeOptions => {
    const { prefix, full, regex, replacement } = given;
    const present = keys.filter((key) => given[key] !== undefined).join(' ');
    if (present === 'prefix') return { prefix: prefix! };
    if (present === 'full') return { full: full! };
    if (/^(?:stripPrefix|addPrefix|stripPrefix addPrefix)$/.test(present))
      return { stripPrefix: given.stripPrefix ?? '/', addPrefix: given.addPrefix ?? '' };
    if (present === 'regex replacement') {
      const problem = replacementProblem(regex!, replacement!);
      if (problem === null) return { regex: regex!, replacement: replacement! };
      context.addIssue({ code: 'custom', message: problem });
    } else {
      context.addIssue({
        code: 'custom',
        message: 'exactly one of prefix, full, stripPrefix and addPrefix, or regex with replacement',
      });
    }
    return z.NEVER;
  });
