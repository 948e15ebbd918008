import type { z } from 'zod';
import { cronSchema } from './cron.schema.ts';
import { externalSchema } from './external.schema.ts';
import { httpSchema } from './http.schema.ts';
import { natsJetStreamSchema } from './nats-jetstream.schema.ts';
import { prometheusSchema } from './prometheus.schema.ts';
import { redisListSchema } from './redis-list.schema.ts';
import { redisStreamsSchema } from './redis-streams.schema.ts';

/** The options of each trigger by its name in the file: same keys as `triggers` in registry.ts. */
export const triggerSchemas: Readonly<Record<string, z.ZodType>> = {
  http: httpSchema,
  'redis-list': redisListSchema,
  'redis-streams': redisStreamsSchema,
  'nats-jetstream': natsJetStreamSchema,
  prometheus: prometheusSchema,
  cron: cronSchema,
  external: externalSchema,
};
