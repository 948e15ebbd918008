import { z } from 'zod';
import { ApiKeys } from '../auth/api-keys.ts';
import type { ApiKeyOptions } from './api-key.ts';
import { identityHeader, places, realm } from './auth.schema.ts';
import { parseNameList } from '../auth/name-list.ts';
import { nameList } from './name-list.schema.ts';
import { named } from './named.schema.ts';

const listFile = named('path', (text) => new ApiKeys(parseNameList(text))) as unknown as z.ZodType<string>;

export const apiKeySchema = z
  .strictObject({
    from: places({ header: 'x-api-key' }),
    keys: nameList((list) => new ApiKeys(list)).optional(),
    file: listFile.optional(),
    identityHeader,
    realm,
    optional: z.boolean().prefault(false),
    forward: z.boolean().prefault(false),
  })
  .refine(({ keys, file }) => (keys === undefined) !== (file === undefined), 'needs exactly one of keys and file')
  .transform(({ keys, file, ...rest }): ApiKeyOptions => ({ ...rest, keys: keys ?? null, file: file ?? null }));
