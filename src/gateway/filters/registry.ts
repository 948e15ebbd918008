import { apiKey } from './api-key.ts';
import { basic } from './basic.ts';
import { body } from './body.ts';
import { compress } from './compress.ts';
import { concurrency } from './concurrency.ts';
import { cors } from './cors.ts';
import { mirror } from './mirror.ts';
import { errorPages } from './error-pages.ts';
import type { FilterRegistry } from './filter.ts';
import { forwardAuth } from './forward-auth.ts';
import { jwt } from './jwt.ts';
import { rateLimit } from './rate-limit.ts';
import { redirect } from './redirect.ts';
import { requestHeaders } from './request-headers.ts';
import { responseHeaders } from './response-headers.ts';
import { rewrite } from './rewrite.ts';
import { validate } from './validate.ts';

/** The filters by their names in the file. Another one is a file, its schema, and a line here and in filters.schema.ts. */
export const filters: FilterRegistry = {
  requestHeaders,
  responseHeaders,
  rewrite,
  redirect,
  rateLimit,
  concurrency,
  validate,
  body,
  compress,
  errorPages,
  mirror,
  cors,
  jwt,
  apiKey,
  basic,
  forwardAuth,
};
