import { z } from 'zod';
import { parseNameList } from '../auth/name-list.ts';
import { userMap } from '../auth/user-list.ts';
import { identityHeader, realm } from './auth.schema.ts';
import type { BasicOptions } from './basic.ts';
import { nameList } from './name-list.schema.ts';
import { named } from './named.schema.ts';

const listFile = named('path', (text) => userMap(parseNameList(text))) as unknown as z.ZodType<string>;

export const basicSchema = z
  .strictObject({
    users: nameList(userMap).optional(),
    file: listFile.optional(),
    identityHeader,
    realm,
    optional: z.boolean().prefault(false),
    forward: z.boolean().prefault(false),
    maxEntries: z.int().min(2).max(1_000_000).prefault(1000),
  })
  .refine(({ users, file }) => (users === undefined) !== (file === undefined), 'needs exactly one of users and file')
  .transform(({ users, file, ...rest }): BasicOptions => ({ ...rest, users: users ?? null, file: file ?? null }));
