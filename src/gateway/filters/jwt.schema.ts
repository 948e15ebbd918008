import { z } from 'zod';
import { TOKEN, duration } from '../../config/schema/scalars.ts';
import { ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS, parseKeySet } from '../auth/signing-keys.ts';
import { authHeaderName, places, realm } from './auth.schema.ts';
import type { JwtOptions } from './jwt.ts';
import { backendNameSchema, named } from './named.schema.ts';
import { webAddress } from './web-address.schema.ts';

const text = z.string().min(1, 'is empty').max(1024);

/** One, several, or null for any: that nobody checks it has to be written down. */
const oneOrMore = z
  .union([text.transform((one) => [one]), z.array(text).min(1, 'is empty').max(100), z.null()], {
    error: 'text, a list of texts, or null when any will do',
  })
  .pipe(z.array(z.string()).nullable());

/** Whether shared secrets in it count is known to the filter only. */
const keySetFile = named('path', (text) => parseKeySet(text, true)) as unknown as z.ZodType<string>;

const jwks = z
  .strictObject({
    url: webAddress.optional(),
    file: keySetFile.optional(),
    backend: backendNameSchema.optional(),
    path: z
      .string()
      .max(2048)
      .regex(/^\/[\x21-\x7e]*$/, 'a path that starts with /')
      .optional(),
    refresh: duration({ minMs: 1000 }).prefault('10m'),
    timeout: duration({ minMs: 1, maxMs: 300_000 }).prefault('10s'),
  })
  .transform(({ url, file, backend, path, refresh, timeout }, context): JwtOptions['jwks'] => {
    const times = { refreshMs: refresh, timeoutMs: timeout };
    const given = [url, file, backend].filter((value) => value !== undefined).length;
    if (given === 1) {
      if (path !== undefined && backend === undefined)
        context.addIssue({ code: 'custom', path: ['path'], message: 'stands beside backend only' });
      if (url !== undefined) return { url, ...times };
      if (file !== undefined) return { file, ...times };
      if (path !== undefined) return { backend: backend!, path, ...times };
    }
    const message =
      given === 1
        ? 'needs path beside backend, e.g. /.well-known/jwks.json'
        : 'needs exactly one of url, file and backend';
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });

const scope = z
  .string()
  .max(256)
  .regex(/^[!#-[\]-~]+$/, 'a scope is printable ASCII without spaces, quotes and backslashes');
const plain = z.union([z.string().max(1024), z.number(), z.boolean()], { error: 'text, a number, true or false' });
const algorithm = z.enum([...ASYMMETRIC_ALGORITHMS, ...SYMMETRIC_ALGORITHMS], {
  error: `one of ${[...ASYMMETRIC_ALGORITHMS, ...SYMMETRIC_ALGORITHMS].join(', ')}`,
});

export const jwtSchema = z
  .strictObject({
    from: places({ header: 'authorization', scheme: 'Bearer' }),
    issuer: oneOrMore,
    audience: oneOrMore,
    jwks,
    algorithms: z
      .array(algorithm)
      .min(1, 'is empty')
      .prefault([...ASYMMETRIC_ALGORITHMS]),
    clockSkew: duration({ maxMs: 600_000 }).prefault('30s'),
    type: z
      .string()
      .max(256)
      .regex(/^[\x21-\x7e]+$/, 'e.g. at+jwt')
      .nullable()
      .prefault(null),
    requireExpiry: z.boolean().prefault(true),
    require: z
      .strictObject({
        scopes: z.array(scope).max(100).prefault([]),
        claims: z
          .record(
            text,
            z.union([plain.transform((one) => [one]), z.array(plain).min(1, 'is empty').max(1000)], {
              error: 'a value or a list of values',
            }),
          )
          .prefault({}),
      })
      .prefault({}),
    headers: z.record(z.string(), text).prefault({}),
    identity: text.prefault('sub'),
    realm,
    optional: z.boolean().prefault(false),
    forward: z.boolean().prefault(true),
    maxEntries: z.int().min(2).max(1_000_000).prefault(10_000),
  })
  .superRefine(({ algorithms, jwks: source, headers }, context) => {
    const symmetric = algorithms.filter((name) => name.startsWith('HS'));
    if (symmetric.length > 0 && !('file' in source)) {
      const message = `${symmetric[0]} has one secret for signing and verifying, which only jwks.file may hold`;
      context.addIssue({ code: 'custom', path: ['algorithms'], message });
    }
    if (symmetric.length > 0 && symmetric.length < algorithms.length) {
      const message = 'HS algorithms do not stand beside others: a public key must never serve as a secret';
      context.addIssue({ code: 'custom', path: ['algorithms'], message });
    }
    for (const name of Object.keys(headers)) {
      const [issue] = authHeaderName.safeParse(name).error?.issues ?? [];
      if (issue !== undefined) context.addIssue({ code: 'custom', path: ['headers', name], message: issue.message });
      else if (!TOKEN.test(name))
        context.addIssue({ code: 'custom', path: ['headers', name], message: 'not a header name' });
    }
  })
  .transform(({ clockSkew, headers, ...rest }): JwtOptions => ({
    ...rest,
    clockSkewMs: clockSkew,
    headers: Object.fromEntries(Object.entries(headers).map(([name, claim]) => [name.toLowerCase(), claim])),
  }));
