import type { z } from 'zod';
import { apiKeySchema } from './api-key.schema.ts';
import { basicSchema } from './basic.schema.ts';
import { bodySchema } from './body.schema.ts';
import { compressSchema } from './compress.schema.ts';
import { concurrencySchema } from './concurrency.schema.ts';
import { corsSchema } from './cors.schema.ts';
import { mirrorSchema } from './mirror.schema.ts';
import { errorPagesSchema } from './error-pages.schema.ts';
import { forwardAuthSchema } from './forward-auth.schema.ts';
import { jwtSchema } from './jwt.schema.ts';
import { rateLimitSchema } from './rate-limit.schema.ts';
import { redirectSchema } from './redirect.schema.ts';
import { requestHeadersSchema } from './request-headers.schema.ts';
import { responseHeadersSchema } from './response-headers.schema.ts';
import { rewriteSchema } from './rewrite.schema.ts';
import { validateSchema } from './validate.schema.ts';

/** The options of each filter by its name in the file: same keys as `filters` in registry.ts. */
export const filterSchemas: Readonly<Record<string, z.ZodType>> = {
  requestHeaders: requestHeadersSchema,
  responseHeaders: responseHeadersSchema,
  rewrite: rewriteSchema,
  redirect: redirectSchema,
  jwt: jwtSchema,
  apiKey: apiKeySchema,
  basic: basicSchema,
  forwardAuth: forwardAuthSchema,
  rateLimit: rateLimitSchema,
  concurrency: concurrencySchema,
  validate: validateSchema,
  body: bodySchema,
  compress: compressSchema,
  errorPages: errorPagesSchema,
  mirror: mirrorSchema,
  cors: corsSchema,
};
