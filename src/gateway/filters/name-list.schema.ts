import { z } from 'zod';
import { isName, type NamedHash } from '../auth/name-list.ts';

/** Names with a hash each, in the configuration. `check` throws when the list can't be used, with a message that doesn't hold a hash. */
export function nameList(check: (list: readonly NamedHash[]) => unknown) {
  const name = z
    .string()
    .refine(isName, 'a name is printable ASCII without a colon, at most 128 characters and no space at its ends');
  return z
    .array(z.strictObject({ name, hash: z.string().max(1024) }))
    .min(1, 'is empty')
    .max(10_000)
    .superRefine((list, context) => {
      try {
        check(list);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
      }
    });
}
