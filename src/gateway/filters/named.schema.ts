/** For options of filters that name something outside of the filter. The configuration looks whether it is there, so that `check` says where not. */
import { z } from 'zod';
import { NamedBackend } from '../../model/named-backend.ts';
import { NamedFile } from '../../model/named-file.ts';

/** Names a file: the filter gets what the file says, at most 1 MiB of UTF-8. It is read again with each reload. */
export const fileTextSchema = named('text') as unknown as z.ZodType<string>;

/** Names a backend of the file that requests can be sent to: the filter gets the name. */
export const backendNameSchema = z
  .string()
  .regex(/^[a-z0-9][-a-z0-9.]{0,252}$/, 'the name of a backend')
  .transform((name) => new NamedBackend(name)) as unknown as z.ZodType<string>;

/** `read`: what becomes of the text; it says what is wrong by throwing (NamedFile). */
export function named(as: NamedFile['as'], read: NamedFile['read'] = null): z.ZodType<NamedFile> {
  return z
    .string()
    .min(1, 'the path of a file')
    .max(4096)
    .transform((written) => new NamedFile(written, as, read));
}
