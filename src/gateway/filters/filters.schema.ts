import type { z } from 'zod';
import { redirectSchema } from './redirect.schema.ts';
import { requestHeadersSchema } from './request-headers.schema.ts';
import { responseHeadersSchema } from './response-headers.schema.ts';
import { rewriteSchema } from './rewrite.schema.ts';

/** The options of each filter by its name in the file: same keys as `filters` in registry.ts. */
export const filterSchemas: Readonly<Record<string, z.ZodType>> = {
  requestHeaders: requestHeadersSchema,
  responseHeaders: responseHeadersSchema,
  rewrite: rewriteSchema,
  redirect: redirectSchema,
};
