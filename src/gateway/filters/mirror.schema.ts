import { z } from 'zod';
import { percent } from '../../config/schema/scalars.ts';
import type { MirrorTarget } from './filter.ts';
import { backendNameSchema } from './named.schema.ts';

export const mirrorSchema: z.ZodType<MirrorTarget> = z.strictObject({
  backend: backendNameSchema,
  percent: percent({ min: 0.001, max: 100 }).prefault(100),
});
