import { z } from 'zod';
import { duration } from '../../config/schema/scalars.ts';
import { authHeaderName } from './auth.schema.ts';
import type { ForwardAuthOptions } from './forward-auth.ts';
import { backendNameSchema } from './named.schema.ts';
import { webAddress } from './web-address.schema.ts';

export const forwardAuthSchema = z
  .strictObject({
    backend: backendNameSchema.optional(),
    path: z
      .string()
      .max(2048)
      .regex(/^\/[\x21-\x7e]*$/, 'a path that starts with /')
      .optional(),
    url: webAddress.optional(),
    requestHeaders: z.array(authHeaderName).max(100).prefault(['authorization', 'cookie']),
    responseHeaders: z.array(authHeaderName).max(100).prefault([]),
    identityHeader: authHeaderName.nullable().prefault('x-user'),
    setCookies: z.boolean().prefault(false),
    timeout: duration({ minMs: 1, maxMs: 600_000 }).prefault('30s'),
    cache: z
      .strictObject({
        for: duration({ minMs: 1, maxMs: 86_400_000 }),
        by: z.enum(['request', 'headers'], { error: 'request or headers' }).prefault('request'),
        maxEntries: z.int().min(2).max(1_000_000).prefault(10_000),
      })
      .nullable()
      .prefault(null),
  })
  .superRefine(({ backend, path, url }, context) => {
    if ((backend === undefined) === (url === undefined))
      context.addIssue({ code: 'custom', message: 'needs exactly one of backend and url' });
    if (path !== undefined && backend === undefined)
      context.addIssue({ code: 'custom', path: ['path'], message: 'stands beside backend only' });
  })
  .transform(
    ({ backend, path, url, timeout, cache, identityHeader, responseHeaders, ...rest }): ForwardAuthOptions => ({
      ...rest,
      backend: backend ?? null,
      url: url ?? null,
      path: path ?? '/',
      identityHeader,
      responseHeaders: [...new Set(identityHeader === null ? responseHeaders : [...responseHeaders, identityHeader])],
      timeoutMs: timeout,
      cache: cache === null ? null : { forMs: cache.for, by: cache.by, maxEntries: cache.maxEntries },
    }),
  );
