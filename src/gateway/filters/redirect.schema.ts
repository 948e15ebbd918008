import { z } from 'zod';
import { hostSchema, portSchema } from './host.schema.ts';
import { pathChangeSchema } from './path-change.schema.ts';
import type { RedirectOptions } from './redirect.ts';

export const redirectSchema: z.ZodType<RedirectOptions> = z
  .strictObject({
    scheme: z.enum(['http', 'https']).optional(),
    host: hostSchema.optional(),
    port: portSchema.optional(),
    path: pathChangeSchema.optional(),
    status: z
      .union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)], {
        error: 'one of 301, 302, 303, 307, 308',
      })
      .default(302),
  })
  .refine(
    ({ scheme, host, port, path }) =>
      scheme !== undefined || host !== undefined || port !== undefined || path !== undefined,
    'this would lead to itself: give scheme, host, port or path',
  );
