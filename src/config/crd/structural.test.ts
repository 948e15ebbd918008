import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { duration, number, oneOf, section, size, text, toggle } from '../schema/scalars.ts';
import { meanings } from './describe.ts';
import { exactlyOne } from './exactly-one.ts';
import { structural, type Places, type Schema } from './structural.ts';

const NOTHING: Places = { leftOut: new Set(), required: new Map(), rules: new Map(), describe: () => undefined };

function converted(schema: z.ZodType, places: Partial<Places> = {}): Schema {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema;
  return structural(json, 'top', { ...NOTHING, ...places });
}

test('each kind of value has one type and a bound', () => {
  const { properties } = converted(
    section({
      count: number({ min: 1, max: 5 }),
      share: number({ min: 0, max: 1, whole: false, above: true }),
      words: z.array(text({ max: 10 })).max(3),
      free: z.array(z.string()),
      one: oneOf(['a', 'b']),
      page: toggle(),
      off: oneOf(['off', 'on']),
      bytes: size({ min: 1, max: 2 }),
      status: z.union([z.literal(301), z.literal(302)]),
      whole: z.int(),
      map: z.record(z.string(), z.boolean()),
    }),
  ) as { properties: Record<string, Schema> };
  assert.deepEqual(properties, {
    count: { type: 'integer', minimum: 1, maximum: 5 },
    share: { type: 'number', minimum: 0, exclusiveMinimum: true, maximum: 1 },
    words: { type: 'array', maxItems: 3, items: { type: 'string', minLength: 1, maxLength: 10 } },
    free: { type: 'array', maxItems: 100, items: { type: 'string', maxLength: 4096 } },
    one: { type: 'string', enum: ['a', 'b'] },
    page: { type: 'boolean' },
    off: { type: 'string', enum: ['off', 'on'] },
    bytes: { 'x-kubernetes-int-or-string': true, pattern: '^[0-9]+(\\.[0-9]+)?([kKMGT]i?)?B?$', minimum: 0 },
    status: { type: 'integer', enum: [301, 302] },
    whole: { type: 'integer' },
    map: { type: 'object', maxProperties: 100, additionalProperties: { type: 'boolean' } },
  });
});

test('bounds of a duration become rules', () => {
  const { 'x-kubernetes-validations': rules } = converted(duration({ minMs: 1000, maxMs: 60_000 }));
  assert.deepEqual(rules, [
    { rule: "self.contains('d') || duration(self) >= duration('1s')", message: 'expected at least 1s' },
    { rule: "self.contains('d') || duration(self) <= duration('1m')", message: 'expected at most 1m' },
  ]);
  assert.equal(converted(duration())['x-kubernetes-validations'], undefined);
});

test('of a short and a long form the long one is there', () => {
  const value = section({ exact: text().optional(), regex: text().optional() });
  assert.equal(converted(z.union([text(), value]))['type'], 'object');
  assert.equal(converted(z.union([text(), z.array(text()), z.null()]))['type'], 'array');
  assert.equal(converted(z.union([text(), z.array(text()), z.null()]))['nullable'], true);
  const word = z.union([z.enum(['client', 'route']), section({ header: text() })]);
  assert.deepEqual(converted(word), { 'x-kubernetes-preserve-unknown-fields': true });
});

test('patterns that the API server does not know are left out', () => {
  assert.deepEqual(converted(z.string().regex(/^(?=.{1,9}$)a/)), { type: 'string', maxLength: 4096 });
  assert.equal(converted(z.string().regex(/^\/[a-z]*$/))['pattern'], '^/[a-z]*$');
});

test('places: left out, required, rules, descriptions with the default', () => {
  const schema = section({
    file: text().optional(),
    body: text().optional(),
    times: number({ min: 0, max: 9 }).prefault(2),
  });
  const rule = exactlyOne(['body', 'times']);
  assert.deepEqual(
    converted(schema, {
      leftOut: new Set(['top.file']),
      required: new Map([['top', ['body']]]),
      rules: new Map([['top', [rule]]]),
      describe: (place) => (place === 'top.times' ? 'how often' : undefined),
    }),
    {
      type: 'object',
      required: ['body'],
      properties: {
        body: { type: 'string', minLength: 1, maxLength: 4096 },
        times: { description: 'how often. Default: 2', type: 'integer', minimum: 0, maximum: 9 },
      },
      'x-kubernetes-validations': [
        { rule: 'has(self.body) != has(self.times)', message: 'needs exactly one of body and times' },
      ],
    },
  );
  assert.throws(() => converted(schema, { leftOut: new Set(['top.fiel']) }), /there is no top\.fiel in the schema/);
});

test('what has no structural form is an error of whoever adds it', () => {
  assert.throws(() => structural({ type: ['array', 'string'] }, 'top', NOTHING), /top: array or string/);
});

test('meanings are read from the tables of the page, without marks', () => {
  const page =
    '| key | default | meaning |\n| --- | --- | --- |\n| `a.b` | `1` | the `b` of [a](a.md) |\n| `a.c` | `2` | |\n';
  assert.deepEqual([...meanings(page)], [['a.b', 'the b of a']]);
});
