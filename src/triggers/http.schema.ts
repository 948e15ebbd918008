import { z } from 'zod';
import { number, percent } from '../config/schema/scalars.ts';
import { refusing } from './credentials.schema.ts';
import type { HttpOptions } from './http.ts';

export const httpSchema = z
  .strictObject({
    concurrency: number({ min: 0, max: 1_000_000, whole: false, above: true }).optional(),
    rps: number({ min: 0, max: 10_000_000, whole: false, above: true }).optional(),
    utilizationPercent: percent({ min: 1, max: 100 }).prefault(70),
  })
  .transform(({ concurrency, rps, utilizationPercent }, context): HttpOptions => {
    if (concurrency !== undefined && rps !== undefined)
      refusing(context)('rps', 'has no place beside concurrency', 'keep one of them');
    return rps === undefined
      ? { metric: 'concurrency', value: concurrency ?? 100, utilizationPercent }
      : { metric: 'rps', value: rps, utilizationPercent };
  });
