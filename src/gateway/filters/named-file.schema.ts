import { z } from 'zod';
import { NamedFile } from '../../model/named-file.ts';

/** Options of filters that name a file: the filter gets its absolute path. The file is known to be there. */
export const filePathSchema = named('path') as unknown as z.ZodType<string>;

/** Options of filters that name a file: the filter gets what the file says, at most 1 MiB of UTF-8. */
export const fileTextSchema = named('text') as unknown as z.ZodType<string>;

function named(as: NamedFile['as']): z.ZodType<NamedFile> {
  return z
    .string()
    .min(1, 'the path of a file')
    .max(4096)
    .transform((written) => new NamedFile(written, as));
}
