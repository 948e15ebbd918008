import { z } from 'zod';
import { duration, size } from '../../config/schema/scalars.ts';
import type { CompressOptions } from './compress.ts';
import { mediaType } from './validate.schema.ts';

const TYPES = [
  'text/*',
  'application/json',
  'application/*+json',
  'application/x-ndjson',
  'application/javascript',
  'application/xml',
  'application/*+xml',
  'application/wasm',
  'application/manifest+json',
  'application/vnd.ms-fontobject',
  'font/ttf',
  'font/otf',
  'image/svg+xml',
  'image/bmp',
  'image/x-icon',
];

const level = (most: number, otherwise: number) => {
  const message = `a level of 1 to ${most}`;
  return z.int(message).min(1, message).max(most, message).prefault(otherwise);
};

export const compressSchema: z.ZodType<CompressOptions> = z.strictObject({
  encodings: z
    .array(z.enum(['gzip', 'br', 'zstd']))
    .min(1)
    .refine((given) => new Set(given).size === given.length, 'one of them is there twice')
    .prefault(['zstd', 'br', 'gzip']),
  minSize: size({ min: 0, max: 2 ** 30 }).prefault('1kB'),
  types: z.array(mediaType).min(1).max(100).prefault(TYPES),
  levels: z.strictObject({ gzip: level(9, 5), br: level(11, 4), zstd: level(19, 3) }).prefault({}),
  flushAfter: duration({ maxMs: 60_000 }).prefault('50ms'),
  maxConcurrent: z.int().min(1).max(10_000).prefault(64),
});
