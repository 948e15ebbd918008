import { z } from 'zod';
import { Rejected, TOKEN, regex, scalar, size } from '../../config/schema/scalars.ts';
import { compileJsonSchema } from './json-schema.ts';
import { MEDIA_TYPE_PATTERN } from './media-type.ts';
import { named } from './named.schema.ts';
import type { JsonOptions, RequiredValue, ValidateOptions } from './validate.ts';

const method = z
  .string()
  .max(64)
  .regex(TOKEN, 'not a method')
  .transform((text) => text.toUpperCase())
  .refine((text) => text !== 'CONNECT', 'CONNECT is never forwarded: remove it');

/** A media type or a pattern of them, lower case. */
export const mediaType = z
  .string()
  .max(256)
  .transform((text) => text.toLowerCase())
  .refine(
    (text) => MEDIA_TYPE_PATTERN.test(text),
    'a media type without parameters, e.g. application/json, text/* or application/*+json',
  );

/** `true`: it must be there; text: exactly this; or a regular expression for the whole value. */
const requiredValue = z.union(
  [
    z.literal(true).transform((): Omit<RequiredValue, 'name'> => ({ kind: 'present', value: '' })),
    z
      .string()
      .max(4096)
      .transform((value): Omit<RequiredValue, 'name'> => ({ kind: 'exact', value })),
    z
      .strictObject({ regex: regex() })
      .transform((given): Omit<RequiredValue, 'name'> => ({ kind: 'regex', value: given.regex })),
  ],
  { error: 'true when any value will do, the value as text, or { regex: … }' },
);

function required(name: z.ZodString) {
  return z.record(name, requiredValue).prefault({});
}

const refuse = (otherwise: 'refuse' | 'allow') => z.enum(['refuse', 'allow']).prefault(otherwise);

const path = z.strictObject({
  dotSegments: refuse('refuse'),
  encodedSlashes: refuse('refuse'),
  controls: refuse('refuse'),
  doubleEncoding: refuse('refuse'),
  invalidUtf8: refuse('refuse'),
  emptySegments: refuse('allow'),
  regex: regex().optional(),
});

const schemaMessage = (error: unknown): string => `not a JSON Schema: ${(error as Error).message}`;

const schema = scalar<object | boolean>({ type: ['object', 'boolean'] }, (value) => {
  if (typeof value !== 'boolean' && (typeof value !== 'object' || value === null || Array.isArray(value)))
    return new Rejected('a JSON Schema is a mapping', 'write it out, or name a file with file:');
  try {
    compileJsonSchema(value);
    return value;
  } catch (error) {
    return new Rejected(schemaMessage(error));
  }
});

/** The content of a file becomes the schema. */
function schemaOfFile(text: string): object | boolean {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== 'boolean' && (typeof value !== 'object' || value === null || Array.isArray(value)))
    throw new Error('is not a JSON Schema: it is neither an object nor true or false');
  try {
    compileJsonSchema(value);
  } catch (error) {
    throw new Error(`is ${schemaMessage(error)}`, { cause: error });
  }
  return value;
}

const json = z
  .strictObject({
    schema: schema.optional(),
    file: named('text', schemaOfFile).optional(),
    maxDepth: z.int().min(1).max(500).prefault(64),
    required: z.boolean().prefault(true),
    status: z.union([z.literal(400), z.literal(422)], { error: '400 or 422' }).prefault(422),
  })
  .refine(
    (given) => (given.schema === undefined) !== (given.file === undefined),
    'exactly one of schema and file',
  ) as z.ZodType<JsonOptions>;

const listed = (values: Record<string, Omit<RequiredValue, 'name'>>): RequiredValue[] =>
  Object.entries(values).map(([name, value]) => ({ name, ...value }));

export const validateSchema = z
  .strictObject({
    methods: z.array(method).max(100).prefault([]),
    contentTypes: z.array(mediaType).max(100).optional(),
    maxBody: size({ min: 1, max: 2 ** 40, zero: true }).prefault(0),
    headers: required(z.string().regex(TOKEN, 'not a header name').max(256)),
    query: required(z.string().min(1).max(1024)),
    path: path.optional(),
    underscores: z.enum(['drop', 'refuse', 'allow']).prefault('drop'),
    json: json.optional(),
  })
  .superRefine(({ maxBody, json: given }, context) => {
    // The whole body is kept while it is checked.
    if (given !== undefined && maxBody > MAX_JSON_BYTES)
      context.addIssue({
        code: 'custom',
        path: ['maxBody'],
        message: 'at most 64MiB beside json: the body is kept while it is checked',
      });
  })
  .transform((given): ValidateOptions => {
    const rules = given.path;
    const lower = Object.entries(given.headers).map(([name, value]) => [name.toLowerCase(), value]);
    return {
      methods: [...new Set(given.methods)],
      // Another type would pass by the schema.
      contentTypes: given.contentTypes ?? (given.json === undefined ? [] : ['application/json', 'application/*+json']),
      maxBody: given.maxBody,
      headers: listed(Object.fromEntries(lower)),
      query: listed(given.query),
      path:
        rules === undefined
          ? null
          : {
              dotSegments: rules.dotSegments === 'refuse',
              encodedSlashes: rules.encodedSlashes === 'refuse',
              controls: rules.controls === 'refuse',
              doubleEncoding: rules.doubleEncoding === 'refuse',
              invalidUtf8: rules.invalidUtf8 === 'refuse',
              emptySegments: rules.emptySegments === 'refuse',
              regex: rules.regex ?? null,
            },
      underscores: given.underscores,
      json: given.json ?? null,
    };
  });

const MAX_JSON_BYTES = 64 * 1024 * 1024;
