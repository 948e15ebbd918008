import { z } from 'zod';
import { Rejected, scalar, toggle } from '../../config/schema/scalars.ts';
import type { ErrorPage, ErrorPagesOptions } from './error-pages.ts';
import { MEDIA_TYPE_PATTERN } from './media-type.ts';
import { essence } from './media-type.ts';
import { fileTextSchema } from './named.schema.ts';

const MAX_PAGE_CHARACTERS = 1_048_576;

/** `404`, `5xx` or `500-503`. */
const status = scalar<{ from: number; to: number }>({ type: ['integer', 'string'] }, (value) => {
  const match = /^(?:([45])xx|([45]\d\d)(?:-([45]\d\d))?)$/i.exec(String(value));
  if (match === null)
    return new Rejected('expected a status of 400 to 599, a class or a range', 'write 404, 5xx or 500-503');
  if (match[1] !== undefined) return { from: Number(match[1]) * 100, to: Number(match[1]) * 100 + 99 };
  const from = Number(match[2]);
  const to = Number(match[3] ?? match[2]);
  return from <= to ? { from, to } : new Rejected('this range is empty', `write ${to}-${from}`);
});

const page = z
  .strictObject({
    status: z.preprocess((given) => (Array.isArray(given) ? given : [given]), z.array(status).min(1).max(100)),
    type: z
      .string()
      .max(256)
      .regex(/^[\x20-\x7e]+$/, 'a media type, e.g. text/html; charset=utf-8')
      .refine(
        (text) => MEDIA_TYPE_PATTERN.test(essence(text)) && !essence(text).includes('*'),
        'a media type, e.g. text/html; charset=utf-8',
      )
      .prefault('text/html; charset=utf-8'),
    body: z.string().max(MAX_PAGE_CHARACTERS).optional(),
    file: fileTextSchema.optional(),
  })
  .refine(
    ({ body, file }) => (body === undefined) !== (file === undefined),
    'exactly one of body and file',
  ) as unknown as z.ZodType<ErrorPage>;

export const errorPagesSchema: z.ZodType<ErrorPagesOptions> = z.strictObject({
  pages: z.array(page).min(1, 'at least one page').max(100),
  backend: toggle().prefault('off'),
});
