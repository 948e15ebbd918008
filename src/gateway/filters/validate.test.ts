import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ViewParts } from '../request-view.fixture.ts';
import { filter, issues, runBody, runRequest } from './filters.fixture.ts';

/** Status and code of the refusal; null when the request passes. */
function refused(options: object, parts: ViewParts): [status: number, code: string] | null {
  const { answer } = runRequest([filter('validate', options)], parts);
  if (answer === null) return null;
  assert.match(answer.headers, /^Content-Type: application\/problem\+json\r\n/m);
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  assert.deepEqual(
    [problem['type'], problem['status'], typeof problem['title'], typeof problem['detail']],
    ['about:blank', answer.status, 'string', 'string'],
  );
  return [answer.status, String(problem['code'])];
}

describe('validate: methods', () => {
  test('others are answered 405 with what is allowed', () => {
    const options = { methods: ['get', 'POST'] };
    for (const method of ['GET', 'HEAD', 'POST']) assert.equal(refused(options, { method }), null);
    for (const method of ['DELETE', 'get', 'OPTIONS'])
      assert.deepEqual(refused(options, { method }), [405, 'method-refused']);
    const { answer } = runRequest([filter('validate', options)], { method: 'PUT' });
    assert.match(answer!.headers, /^Allow: GET, POST, HEAD\r\n/);
  });
});

describe('validate: the path', () => {
  const strict = { path: {} };
  for (const [target, code] of [
    ['/a/b', null],
    ['/a/b?x=../%2e%00', null],
    ['/a.b/..c/.well-known/a..', null],
    ['/caf%C3%A9/%E2%82%AC', null],
    ['/100%25', null],
    ['//a', null],
    ['/a/../b', 'dot segments'],
    ['/a/..', 'dot segments'],
    ['/./a', 'dot segments'],
    ['/a/%2e%2E/b', 'dot segments'],
    ['/a/.%2e', 'dot segments'],
    ['/a/..;x=1/b', 'dot segments'],
    ['/a%2fb', 'encoded slashes'],
    ['/a%5Cb', 'encoded slashes'],
    ['/a%00', 'control characters'],
    ['/a%0d%0aSet-Cookie:x', 'control characters'],
    ['/a%7f', 'control characters'],
    ['/a/%252e%252e/b', 'doubly encoded characters'],
    ['/%c0%afetc', 'bytes that are not UTF-8'],
    ['/%ff', 'bytes that are not UTF-8'],
  ] as const) {
    test(`${target}: ${code ?? 'passes'}`, () => {
      const { answer } = runRequest([filter('validate', strict)], { target });
      if (code === null) assert.equal(answer, null);
      else {
        assert.equal(answer!.status, 400);
        assert.equal((JSON.parse(answer!.body) as { detail: string }).detail, `The path has ${code}.`);
      }
    });
  }

  test('each rule can be changed, and without the section none is looked at', () => {
    assert.deepEqual(refused({ path: { emptySegments: 'refuse' } }, { target: '//a' }), [400, 'path-refused']);
    assert.equal(refused({ path: { encodedSlashes: 'allow' } }, { target: '/a%2Fb' }), null);
    assert.equal(refused({}, { target: '/a/../%00' }), null);
  });

  test('has to look as the expression says, from its first to its last character', () => {
    const options = { path: { regex: '/api/users/[1-9][0-9]{0,8}' } };
    for (const target of ['/api/users/123', '/api/users/1?x=y'])
      assert.equal(refused(options, { target }), null, target);
    for (const target of ['/api/users/abc', '/api/users/0', '/api/users/123/', '/v1/api/users/1', '/api/users/%31'])
      assert.deepEqual(refused(options, { target }), [400, 'path-refused'], target);
    assert.match(issues('validate', { path: { regex: '(?=x)' } })[0]!, /regex/);
  });

  test('looks at what the client sent, whatever a rewrite before it made of it', () => {
    const configs = [filter('rewrite', { path: { full: '/fine' } }), filter('validate', strict)];
    assert.equal(runRequest(configs, { target: '/a/../b' }).answer!.status, 400);
  });

  test('a long path takes linear time', () => {
    const target = '/' + '.%2e'.repeat(200_000);
    const before = performance.now();
    assert.equal(refused(strict, { target }), null);
    assert.ok(performance.now() - before < 1000);
  });
});

describe('validate: headers', () => {
  const options = { headers: { 'X-Tenant': true, 'x-version': { regex: 'v[0-9]+' }, 'x-mode': 'é' } };
  const good = [
    ['x-tenant', 'blue'],
    ['X-Version', 'v12'],
    ['x-mode', Buffer.from('é').toString('latin1')],
  ] as const;

  test('must be there and fit', () => {
    assert.equal(refused(options, { headers: good }), null);
    assert.deepEqual(refused(options, { headers: good.slice(1) }), [400, 'header-missing']);
    assert.deepEqual(refused(options, { headers: [['x-tenant', ''], ...good.slice(1)] }), [400, 'header-missing']);
    assert.deepEqual(refused(options, { headers: [good[0], ['x-version', 'v1x'], good[2]] }), [400, 'header-refused']);
  });

  test('a second line does not hide behind a good one', () => {
    assert.deepEqual(refused(options, { headers: [...good, ['x-version', '../etc']] }), [400, 'header-refused']);
  });

  test('with an underscore are dropped, refused or allowed', () => {
    const headers = [
      ['X_Tenant', 'red'],
      ['x-tenant', 'blue_green'],
      ['_', '1'],
    ] as const;
    assert.deepEqual(runRequest([filter('validate', {})], { headers }).lines, ['x-tenant: blue_green']);
    assert.deepEqual(refused({ underscores: 'refuse' }, { headers }), [400, 'header-refused']);
    assert.equal(refused({ underscores: 'refuse' }, { headers: [['a', 'b_c']] }), null);
    assert.equal(runRequest([filter('validate', { underscores: 'allow' })], { headers }).lines.length, 3);
  });
});

describe('validate: query', () => {
  const options = { query: { page: { regex: '[0-9]+' }, 'sort by': true } };
  test('parameters must be there and fit, each of them', () => {
    assert.equal(refused(options, { target: '/?page=1&sort+by=x' }), null);
    assert.equal(refused(options, { target: '/?pa%67e=1&sort%20by=x&page=%32' }), null);
    assert.deepEqual(refused(options, { target: '/?page=1' }), [400, 'parameter-missing']);
    assert.deepEqual(refused(options, { target: '/?page=1&sort+by=' }), [400, 'parameter-refused']);
    assert.deepEqual(refused(options, { target: '/?page=1&sort+by=x&page=1%20or%201=1' }), [400, 'parameter-refused']);
  });
});

describe('validate: bodies', () => {
  const options = { contentTypes: ['Application/JSON', 'text/*', 'application/*+json'] };
  const withType = (type: string, more: [string, string][] = [['content-length', '1']]): ViewParts => ({
    method: 'POST',
    headers: [['content-type', type], ...more],
  });

  test('of other types are answered 415 with what would be accepted', () => {
    for (const type of ['application/json', 'APPLICATION/JSON; charset=utf-8', 'text/x', 'application/hal+json'])
      assert.equal(refused(options, withType(type)), null);
    for (const type of ['application/jsonx', 'application/xml', 'text', '', 'x; application/json'])
      assert.deepEqual(refused(options, withType(type)), [415, 'content-type-refused'], type);
    const { answer } = runRequest([filter('validate', options)], withType('a/b'));
    assert.match(answer!.headers, /^Accept: application\/json, text\/\*, application\/\*\+json\r\n/);
  });

  test('a request without a body needs no type, one of unknown length does', () => {
    assert.equal(refused(options, {}), null);
    assert.equal(refused(options, { method: 'POST', headers: [['content-length', '0']] }), null);
    assert.deepEqual(refused(options, { headers: [['transfer-encoding', 'chunked']] }), [415, 'content-type-refused']);
    assert.deepEqual(
      refused(
        options,
        withType('text/a', [
          ['content-type', 'a/b'],
          ['content-length', '1'],
        ]),
      ),
      [400, 'header-refused'],
    );
  });

  test('that are declared too large are answered 413, others are counted', () => {
    const run = (headers: [string, string][]) =>
      runRequest([filter('validate', { maxBody: '1kB' })], { method: 'POST', headers });
    assert.equal(run([['content-length', '1000']]).answer, null);
    assert.equal(run([['content-length', '1001']]).answer!.status, 413);
    assert.equal(run([['transfer-encoding', 'chunked']]).maxBodyBytes, 1000);
  });
});

describe('validate: a JSON body', () => {
  const schema = {
    type: 'object',
    required: ['name'],
    properties: {
      name: { type: 'string', pattern: '^[a-z]+$', maxLength: 10 },
      age: { type: 'integer', minimum: 0 },
      mail: { type: 'string', format: 'email' },
      tags: { type: 'array', uniqueItems: true },
    },
    additionalProperties: false,
  };
  const options = { json: { schema } };
  const json = { headers: [['content-type', 'application/json']] } as const;
  const answerTo = async (body: string | Buffer, given: object = options, parts: ViewParts = json) => {
    const { answer } = await runBody([filter('validate', given)], parts, body);
    return answer === null
      ? null
      : { status: answer.status, ...(JSON.parse(answer.body) as { code: string; detail: string; errors?: unknown }) };
  };

  test('that fits passes byte for byte', async () => {
    const text = ' {"name":"ann", "age": 1e2, "tags":[1,"1",[1],{"a":1}]}';
    assert.deepEqual(await runBody([filter('validate', options)], json, text), { answer: null, body: text });
  });

  test('that does not fit is answered 422 with where and why', async () => {
    const answer = await answerTo('{"name":"A/b","age":-1,"tags":[1,1],"a~/é b":1}');
    assert.deepEqual(
      [answer!.status, answer!.code, answer!.detail],
      [422, 'schema', 'The request body does not fit the schema.'],
    );
    assert.deepEqual(answer!.errors, [
      { pointer: '#/a~0~1%C3%A9%20b', detail: 'is not a known property' },
      { pointer: '#/name', detail: 'must match pattern "^[a-z]+$"' },
      { pointer: '#/age', detail: 'must be >= 0' },
      { pointer: '#/tags', detail: 'must NOT have duplicate items' },
    ]);
    assert.deepEqual((await answerTo('[]'))!.errors, [{ pointer: '#', detail: 'must be object' }]);
    assert.equal((await answerTo('{}', { json: { schema, status: 400 } }))!.status, 400);
  });

  test('names are told, values are not', async () => {
    const answer = await runBody([filter('validate', options)], json, '{"name":"SECRET","mail":"HIDDEN"}');
    assert.doesNotMatch(answer.answer!.body, /SECRET|HIDDEN/);
  });

  test('that is no JSON is answered 400', async () => {
    for (const [body, detail] of [
      ['{"name":', 'is not JSON'],
      ['{"name" 1}', 'is not JSON (at character 8)'],
      ["{'name':1}", 'is not JSON (at character 1)'],
      ['\ufeff{"name":"a"}', 'is not JSON'],
      [Buffer.from([0x22, 0xff, 0x22]), 'is not UTF-8'],
      [Buffer.from('"é"', 'utf16le'), 'is not UTF-8'],
      ['{"name":"a","name":"b"}', 'has an object with a name that stands there twice'],
      ['{"name":"a","n\\u0061me":1}', 'has an object with a name that stands there twice'],
      [`{"name":${'['.repeat(64)}${']'.repeat(64)}}`, 'is nested deeper than 64 levels'],
      ['['.repeat(1_000_000), 'is nested deeper than 64 levels'],
    ] as const) {
      const answer = await answerTo(body);
      assert.equal(answer!.status, 400);
      assert.ok(
        answer!.detail.startsWith(`The request body ${detail}`),
        `${answer!.detail} for ${String(body).slice(0, 50)}`,
      );
    }
  });

  test('the same name in different objects, and texts that look like structure, are no duplicates', async () => {
    const anything = { json: { schema: true } };
    for (const body of [
      '[{"a":1},{"a":1}]',
      '{"a":{"a":["a","a"]},"b":"{\\"a\\":"}',
      '{"":{"":""}}',
      '"\\\\"',
      '{"a":"b","c":"b"}',
    ])
      assert.equal(await answerTo(body, anything), null, body);
  });

  test('may not come as another type, encoded, or not at all', async () => {
    assert.equal((await answerTo('{}', options, { headers: [['content-type', 'text/plain']] }))!.status, 415);
    assert.equal((await answerTo('{}', options, {}))!.status, 415);
    const encoded = { headers: [...json.headers, ['Content-Encoding', 'gzip']] } as const;
    assert.equal((await answerTo('{}', options, encoded))!.code, 'content-encoding-refused');
    assert.equal((await answerTo('', options))!.code, 'body-missing');
    assert.deepEqual(refused(options, { method: 'POST' }), [400, 'body-missing']);
    assert.equal(refused({ json: { schema, required: false } }, { method: 'POST' }), null);
    assert.equal(refused(options, { method: 'GET' }), null);
  });

  test('of a chosen other type passes by the schema only when that type is listed', async () => {
    const both = { contentTypes: ['application/json', 'text/plain'], json: { schema } };
    assert.equal(await answerTo('anything', both, { headers: [['content-type', 'text/plain']] }), null);
    assert.equal((await answerTo('anything', both))!.status, 400);
  });

  test('patterns, formats and unique items take linear time', async () => {
    const slow = {
      json: {
        schema: {
          properties: {
            a: { pattern: '^(a+)+$' },
            b: { format: 'email' },
            c: { type: 'array', uniqueItems: true },
            d: { format: 'hostname' },
            e: { format: 'date-time' },
          },
        },
      },
    };
    const texts = [
      JSON.stringify({ a: 'a'.repeat(500_000) + '!' }),
      JSON.stringify({ b: `${'a.'.repeat(250_000)}@` }),
      JSON.stringify({ d: 'a-'.repeat(400_000) }),
      JSON.stringify({ e: '9'.repeat(800_000) }),
      JSON.stringify({ c: Array.from({ length: 30_000 }, (_, i) => ({ i, a: [i] })) }),
    ];
    for (const text of texts) {
      const before = performance.now();
      await answerTo(text, slow);
      const tookMs = performance.now() - before;
      assert.ok(tookMs < 3000, `${text.slice(0, 20)} took ${tookMs} ms`);
    }
  });

  test('recursive schemas and prototypes of JavaScript are safe', async () => {
    const tree = {
      json: {
        maxDepth: 500,
        schema: { $ref: '#/$defs/node', $defs: { node: { type: 'array', items: { $ref: '#/$defs/node' } } } },
      },
    };
    assert.equal(await answerTo('['.repeat(500) + ']'.repeat(500), tree), null);
    const needs = { json: { schema: { type: 'object', required: ['constructor', 'toString'] } } };
    assert.equal((await answerTo('{}', needs))!.status, 422);
    assert.equal((await answerTo('{"__proto__":{"name":"ann"}}'))!.status, 422);
    assert.equal(({} as { name?: string }).name, undefined);
  });

  test('a large document with many faults is told the first', async () => {
    const many = { json: { schema: { type: 'array', items: { type: 'string' } } } };
    assert.equal(((await answerTo(JSON.stringify(Array(100).fill(1)), many))!.errors as unknown[]).length, 20);
    assert.equal(((await answerTo(JSON.stringify(Array(100_000).fill(1)), many))!.errors as unknown[]).length, 1);
  });

  test('drafts: 2020-12 unless the schema says another', async () => {
    const tuple = { type: 'array', prefixItems: [{ type: 'string' }] };
    assert.equal((await answerTo('[1]', { json: { schema: tuple } }))!.status, 422);
    const old = { $schema: 'http://json-schema.org/draft-07/schema#', type: 'array', items: [{ type: 'string' }] };
    assert.equal((await answerTo('[1]', { json: { schema: old } }))!.status, 422);
    const older = { $schema: 'https://json-schema.org/draft/2019-09/schema', type: 'string' };
    assert.equal((await answerTo('1', { json: { schema: older } }))!.status, 422);
  });
});

describe('validate: what the file may not say', () => {
  for (const [options, expected] of [
    [{ methods: ['G ET'] }, /^methods\.0: not a method/],
    [{ methods: ['CONNECT'] }, /^methods\.0: CONNECT is never forwarded/],
    [{ contentTypes: ['json'] }, /^contentTypes\.0: a media type/],
    [{ contentTypes: ['text/html; charset=x'] }, /^contentTypes\.0: a media type/],
    [{ maxBody: 'much' }, /^maxBody: .*not a size/],
    [{ headers: { 'a b': true } }, /^headers\.a b: /],
    [{ headers: { a: { regex: '(?=x)' } } }, /^headers\.a: true when any value/],
    [{ path: { dotSegment: 'refuse' } }, /^path: Unrecognized key/],
    [{ underscores: 'keep' }, /^underscores: /],
    [{ json: {} }, /^json: exactly one of schema and file/],
    [{ json: { schema: {}, file: 'x.json' } }, /^json: exactly one of schema and file/],
    [{ json: { schema: [] } }, /^json\.schema: a JSON Schema is a mapping/],
    [{ json: { schema: { type: 'strin' } } }, /^json\.schema: not a JSON Schema: .*type/],
    [{ json: { schema: { typ: 'string' } } }, /^json\.schema: not a JSON Schema: .*unknown keyword: "typ"/],
    [{ json: { schema: { pattern: '(?=a)b' } } }, /^json\.schema: .*"\(\?=a\)b" can't be matched in linear time/],
    [{ json: { schema: { $ref: 'https://example.com/x' } } }, /^json\.schema: .*can't resolve reference/],
    [
      { json: { schema: { $schema: 'http://json-schema.org/draft-04/schema#' } } },
      /^json\.schema: .*\$schema is none of/,
    ],
    [{ json: { schema: { $async: true } } }, /^json\.schema: .*\$async/],
    [{ json: { schema: { format: 'e-mail' } } }, /^json\.schema: .*unknown format "e-mail"/],
    [{ json: { schema: {}, maxDepth: 1000 } }, /^json\.maxDepth: /],
    [{ json: { schema: {} }, maxBody: '1GiB' }, /^maxBody: at most 64MiB/],
  ] as const) {
    test(JSON.stringify(options), () => assert.match(issues('validate', options)[0] ?? '', expected));
  }
});
