/** What requestHeaders and responseHeaders share: names and values that can stand in a head and that the gateway doesn't write itself. */
import { z } from 'zod';
import type { HeaderChangeOptions } from './header-change.ts';
import { WIRE_HEADERS } from './wire-headers.ts';

/** `reserved`: further names that may not be used, in lower case, with the reason. */
export function headerChangeSchema(reserved: Readonly<Record<string, string>>): z.ZodType<HeaderChangeOptions> {
  const refused: Readonly<Record<string, string>> = { ...WIRE_HEADERS, ...reserved };
  const value = z
    .union([z.string(), z.number(), z.boolean()], { error: 'a header value is text' })
    .transform(String)
    .superRefine((text, context) => {
      if (/[\x00-\x08\x0a-\x1f\x7f]/.test(text)) {
        context.addIssue({ code: 'custom', message: 'a header value holds no line breaks and no control characters' });
      } else if (text !== text.trim()) {
        context.addIssue({ code: 'custom', message: 'a header value neither begins nor ends with a space' });
      }
    });
  return z
    .strictObject({
      set: z.record(z.string(), value).default({}),
      add: z
        .record(
          z.string(),
          z.preprocess((given) => (Array.isArray(given) ? given : [given]), z.array(value)),
        )
        .default({}),
      remove: z.array(z.string()).default([]),
    })
    .superRefine(({ set, add, remove }, context) => {
      const check = (text: string, path: (string | number)[]): void => {
        const problem = nameProblem(text, refused);
        if (problem !== null) context.addIssue({ code: 'custom', path, message: problem });
      };
      for (const text of Object.keys(set)) check(text, ['set', text]);
      for (const text of Object.keys(add)) check(text, ['add', text]);
      remove.forEach((text, i) => check(text, ['remove', i]));
      for (const [key, names] of Object.entries({ set: Object.keys(set), remove })) {
        const seen = new Set<string>();
        for (const text of names) {
          if (seen.has(text.toLowerCase()))
            context.addIssue({ code: 'custom', path: [key], message: `${text} is there twice` });
          seen.add(text.toLowerCase());
        }
      }
      const added = new Set(Object.keys(add).map((text) => text.toLowerCase()));
      const setNames = new Set(Object.keys(set).map((text) => text.toLowerCase()));
      for (const text of remove) {
        if (setNames.has(text.toLowerCase()) || added.has(text.toLowerCase())) {
          context.addIssue({
            code: 'custom',
            path: ['remove'],
            message: `${text} is also set or added: use set alone to replace it`,
          });
        }
      }
    });
}

function nameProblem(name: string, refused: Readonly<Record<string, string>>): string | null {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name))
    return `"${name}" is no header name: letters, digits and - are what names are made of`;
  const reason = Object.hasOwn(refused, name.toLowerCase()) ? refused[name.toLowerCase()] : undefined;
  return reason === undefined ? null : `${name} can't be changed here: it ${reason}`;
}
