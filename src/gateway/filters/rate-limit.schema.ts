import { z } from 'zod';
import { Rejected, duration, number, scalar } from '../../config/schema/scalars.ts';
import { TOP_TERMS } from '../../model/token-bucket.ts';
import { limitKeySchema, limitNameSchema, missingKeySchema } from './limit-key.schema.ts';
import type { RateLimitOptions } from './rate-limit.ts';

const tokens = { min: 1, max: TOP_TERMS.limit };

/** Its value is never shown: it may hold a password. */
const redisUrl = scalar<string>({ type: 'string' }, (value) => {
  const hint = 'write redis://host:6379/0, or rediss:// for TLS; keep a password in a variable: ${REDIS_URL}';
  if (typeof value !== 'string' || !URL.canParse(value) || value.length > 2048)
    return new Rejected('is not the address of a Redis', hint);
  const { protocol, hostname, pathname } = new URL(value);
  if (protocol !== 'redis:' && protocol !== 'rediss:') return new Rejected('is not the address of a Redis', hint);
  if (hostname === '') return new Rejected('names no host', hint);
  return /^(?:\/\d{0,5})?$/.test(pathname) ? value : new Rejected('its path is not the number of a database', hint);
});

const redis = z.strictObject({
  url: redisUrl,
  failure: z.enum(['open', 'closed']).prefault('open'),
  timeout: duration({ minMs: 1, maxMs: 10_000 }).prefault('100ms'),
  prefix: z
    .string()
    .regex(/^[-A-Za-z0-9_.:{}]{1,64}$/, 'letters, digits and - _ . : { } only, at most 64')
    .prefault('dormouse'),
});

export const rateLimitSchema = z
  .strictObject({
    limit: number(tokens),
    window: duration({ minMs: 1, maxMs: TOP_TERMS.windowMs }).prefault('60s'),
    burst: number(tokens).optional(),
    key: limitKeySchema('client'),
    missing: missingKeySchema,
    maxKeys: number({ min: 1, max: 1_000_000 }).prefault(10_000),
    name: limitNameSchema.optional(),
    redis: redis.nullable().prefault(null),
    headers: z.enum(['both', 'standard', 'legacy', 'off']).prefault('both'),
    status: z.union([z.literal(429), z.literal(503)], { error: '429 or 503' }).prefault(429),
  })
  .transform((given): RateLimitOptions => ({
    limit: given.limit,
    windowMs: given.window,
    burst: given.burst ?? given.limit,
    key: given.key,
    missing: given.missing,
    maxKeys: given.maxKeys,
    name: given.name ?? null,
    redis:
      given.redis === null
        ? null
        : {
            url: given.redis.url,
            failure: given.redis.failure,
            timeoutMs: given.redis.timeout,
            prefix: given.redis.prefix,
          },
    fields: given.headers,
    status: given.status,
  }));
