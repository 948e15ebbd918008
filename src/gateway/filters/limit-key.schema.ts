import { z } from 'zod';
import { headerName } from '../../config/schema/scalars.ts';
import type { LimitKeyOptions } from './limit-key.ts';

const word = z.enum(['client', 'route', 'identity']).transform((by): LimitKeyOptions => ({ by }));
const named = z
  .strictObject({ header: headerName().optional(), claim: z.string().min(1).max(256).optional() })
  .refine(({ header, claim }) => (header === undefined) !== (claim === undefined), 'one of header and claim')
  .transform(({ header, claim }): LimitKeyOptions =>
    header === undefined ? { by: 'claim', name: claim! } : { by: 'header', name: header },
  );

/** `client`, `route`, `identity`, `{ header: … }` or `{ claim: … }`. */
export function limitKeySchema(otherwise: 'client' | 'route') {
  return z
    .union([word, named], { error: 'client, route, identity, { header: … } or { claim: … }' })
    .prefault(otherwise);
}

export const missingKeySchema = z.enum(['client', 'shared', 'allow']).prefault('client');

/** Part of a name that this limit has in other processes. */
export const limitNameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][-A-Za-z0-9_.]{0,63}$/,
    'letters, digits, - _ and . only, at most 64, with a letter or digit first',
  );
