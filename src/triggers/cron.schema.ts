import { z } from 'zod';
import { cron, timezone } from '../config/schema/idle.ts';
import { number } from '../config/schema/scalars.ts';
import { refusing } from './credentials.schema.ts';
import type { CronOptions } from './cron.ts';

export const cronSchema = z
  .strictObject({
    timezone: timezone(),
    start: cron(),
    end: cron(),
    desiredReplicas: number({ min: 1, max: 1000 }),
  })
  .transform((given, context): CronOptions => {
    if (given.start === given.end)
      refusing(context)('end', 'is the same as start, so that it would never be between them', 'write a later moment');
    const { timezone: zone, start, end, desiredReplicas } = given;
    return { timezone: zone, start, end, desired: desiredReplicas };
  });
