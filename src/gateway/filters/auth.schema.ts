/** What the options of the filters that authenticate have in common. */
import { z } from 'zod';
import { TOKEN } from '../../config/schema/scalars.ts';
import type { CredentialPlace } from '../auth/credentials.ts';
import { WIRE_HEADERS } from './wire-headers.ts';

/** Lower case; a header that a filter may read and the gateway doesn't write itself. */
export const authHeaderName = z
  .string()
  .max(256)
  .regex(TOKEN, 'not a header name')
  .transform((name) => name.toLowerCase())
  .superRefine((name, context) => {
    if (Object.hasOwn(WIRE_HEADERS, name))
      context.addIssue({ code: 'custom', message: `${name} can't be used here: it ${WIRE_HEADERS[name]}` });
  });

/** In quotes in a challenge. */
export const realm = z
  .string()
  .max(128)
  .regex(/^[ !#-[\]-~]+$/, 'a realm is printable ASCII without quotes and backslashes')
  .prefault('dormouse');

const place = z
  .strictObject({
    header: authHeaderName.optional(),
    scheme: z.string().max(64).regex(TOKEN, 'a word such as Bearer').optional(),
    cookie: z.string().max(256).regex(TOKEN, 'not the name of a cookie').optional(),
    query: z.string().min(1, 'the name of a parameter').max(256).optional(),
  })
  .transform(({ header, scheme, cookie, query }, context): CredentialPlace => {
    const given = [header, cookie, query].filter((value) => value !== undefined).length;
    if (given !== 1 || (scheme !== undefined && header === undefined)) {
      const message =
        given === 1 ? 'scheme stands beside header only' : 'needs exactly one of header, cookie and query';
      context.issues.push({ code: 'custom', message, path: [], input: header });
      return z.NEVER;
    }
    if (header !== undefined) return { header, scheme: scheme ?? (header === 'authorization' ? 'Bearer' : null) };
    return cookie !== undefined ? { cookie } : { query: query! };
  });

/** Where a credential stands. */
export function places(standard: z.input<typeof place>) {
  return z.array(place).min(1, 'name at least one place').max(8).prefault([standard]);
}

/** The header that tells the backend who it is. */
export const identityHeader = authHeaderName.nullable().prefault('x-user');
