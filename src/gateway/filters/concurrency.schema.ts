import { z } from 'zod';
import { duration, number } from '../../config/schema/scalars.ts';
import type { ConcurrencyOptions } from './concurrency.ts';
import { limitKeySchema, limitNameSchema, missingKeySchema } from './limit-key.schema.ts';

export const concurrencySchema = z
  .strictObject({
    max: number({ min: 1, max: 1_000_000 }),
    per: limitKeySchema('route'),
    missing: missingKeySchema,
    name: limitNameSchema.optional(),
    status: z.union([z.literal(503), z.literal(429)], { error: '503 or 429' }).prefault(503),
    retryAfter: duration({ minMs: 1000, maxMs: 86_400_000 }).prefault('1s'),
  })
  .transform(({ retryAfter, name, ...rest }): ConcurrencyOptions => ({
    ...rest,
    name: name ?? null,
    retryAfterSeconds: Math.ceil(retryAfter / 1000),
  }));
