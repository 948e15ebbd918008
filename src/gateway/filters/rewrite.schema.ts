import { z } from 'zod';
import { hostSchema } from './host.schema.ts';
import { pathChangeSchema } from './path-change.schema.ts';
import { queryChangeSchema } from './query-change.schema.ts';
import type { RewriteOptions } from './rewrite.ts';

const hostAndPort = z.string().refine((text) => {
  const colon = text.endsWith(']') ? -1 : text.lastIndexOf(':');
  const port = Number(text.slice(colon + 1));
  return (
    hostSchema.safeParse(colon < 0 ? text : text.slice(0, colon)).success &&
    (colon < 0 || (Number.isInteger(port) && port >= 1 && port <= 65535))
  );
}, 'a host name or address, with or without a port, e.g. api.internal:8080');

export const rewriteSchema: z.ZodType<RewriteOptions> = z
  .strictObject({
    host: hostAndPort.optional(),
    path: pathChangeSchema.optional(),
    query: queryChangeSchema.optional(),
  })
  .refine(
    ({ host, path, query }) => host !== undefined || path !== undefined || query !== undefined,
    'nothing to rewrite: give host, path or query',
  );
