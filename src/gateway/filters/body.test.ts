import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { filter, issues, responseOf, runBody, runRequest, transformed, type ResponseParts } from './filters.fixture.ts';
import { compileJsonEdit, jsonPath } from './json-edit.ts';

const JSON_TYPE = { headers: [['Content-Type', 'application/json; charset=utf-8']] } as const;

async function sent(request: object, text: string | Buffer, parts = JSON_TYPE as object) {
  return runBody([filter('body', { request })], parts, text);
}

describe('body: of requests', () => {
  for (const [name, change, text, expected] of [
    ['set replaces', { set: { '/a': 1 } }, '{"a": 0, "b": 2}', '{"a":1,"b": 2}'],
    ['set adds', { set: { '/a': 'x' } }, '{ "b" : [ ] }', '{"b" : [ ],"a":"x"}'],
    ['set into nothing', { set: { 'a.b.c': null } }, '{}', '{"a":{"b":{"c":null}}}'],
    ['set below', { set: { '/a/b': { x: [1] } } }, '{"a":{"c":1}}', '{"a":{"c":1,"b":{"x":[1]}}}'],
    ['remove', { remove: ['/a', 'b.c'] }, '{"a":1,"b":{"c":2,"d":3},"e":"}"}', '{"b":{"d":3},"e":"}"}'],
    ['remove the last', { remove: ['a'] }, '{ "a" : {"x":[{}]} }', '{}'],
    ['remove what is not there changes nothing', { remove: ['a', 'b.c'] }, ' {"b" : 1 } ', ' {"b" : 1 } '],
    ['a list', { set: { '/l/1': 'x' }, remove: ['/l/0'] }, '{"l":[1, 2, 3]}', '{"l":["x",3]}'],
    ['behind a list', { set: { '/l/-': 4 } }, '{"l":[]}', '{"l":[4]}'],
    ['beyond a list', { set: { '/l/7': 4 } }, '{"l":[1]}', '{"l":[1]}'],
    ['a list at the top', { set: { '/0/a': 1 } }, '[{"a":0},{"a":0}]', '[{"a":1},{"a":0}]'],
    ['a value in the way stays', { set: { '/a/b': 1 } }, '{"a":"text"}', '{"a":"text"}'],
    ['no object at all', { set: { '/a': 1 } }, '"text"', '"text"'],
    [
      'large numbers and spellings stay',
      { set: { a: 1 } },
      '{"n":12345678901234567890.10e+2,"s":"\\u00e9\\/","a":0}',
      '{"n":12345678901234567890.10e+2,"s":"\\u00e9\\/","a":1}',
    ],
    ['other spellings of the name', { remove: ['/password'] }, '{"p\\u0061ssword":1,"password":2,"x":3}', '{"x":3}'],
    ['a name that stands twice', { set: { '/a': 1 } }, '{"a":2,"b":0,"a":3}', '{"a":1,"b":0}'],
    ['escapes of pointers', { remove: ['/a~1b', '/m~0n'] }, '{"a/b":1,"m~n":2,"c":3}', '{"c":3}'],
    ['texts with braces and quotes', { remove: ['/b'] }, '{"a":"\\"}]{,","b":"\\\\","c":1}', '{"a":"\\"}]{,","c":1}'],
  ] as const) {
    test(name, async () => assert.equal((await sent(change, text)).body, expected));
  }

  test('names of prototypes are names like others', async () => {
    const change = { set: { '/__proto__/polluted': true, '/constructor': 1 }, remove: ['/toString'] };
    assert.equal((await sent(change, '{}')).body, '{"__proto__":{"polluted":true},"constructor":1}');
    assert.equal(
      (await sent(change, '{"__proto__":{"a":1},"toString":2}')).body,
      '{"__proto__":{"a":1,"polluted":true},"constructor":1}',
    );
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });

  test('other types are left alone, JSON that is none is refused', async () => {
    const change = { set: { a: 1 } };
    assert.equal((await sent(change, 'x', { headers: [['Content-Type', 'text/plain']] })).body, 'x');
    assert.equal((await sent(change, '{"a":0}', {})).body, '{"a":0}');
    assert.equal(
      (await sent(change, '{"a":0}', { headers: [['Content-Type', 'application/merge-patch+json']] })).body,
      '{"a":1}',
    );
    const two = { headers: [['Content-Type', 'text/plain'], ...JSON_TYPE.headers] };
    assert.equal((await sent(change, '{"a":0}', two)).body, '{"a":1}');
    for (const text of ['{', '{"a":1,}', "{'a':1}", 'NaN', Buffer.from([0x22, 0xff, 0x22])]) {
      const { answer } = await sent(change, text);
      assert.equal(answer!.status, 400);
      assert.match(answer!.body, /"code":"json-invalid"/);
    }
    const coded = { headers: [...JSON_TYPE.headers, ['Content-Encoding', 'br']] };
    assert.equal((await sent(change, 'xx', coded)).answer!.status, 415);
    assert.equal((await sent(change, '')).body, '');
  });

  test('deep and long texts need neither stack nor time', async () => {
    const deep = `{"x":${'['.repeat(200_000)}${']'.repeat(200_000)},"a":0}`;
    const before = performance.now();
    assert.equal((await sent({ set: { a: 1 }, remove: ['/x/0'] }, deep)).body, '{"x":[],"a":1}');
    const wide = `{${Array.from({ length: 60_000 }, (_, i) => `"k${i}":${i}`).join(',')}}`;
    assert.match((await sent({ set: { a: 1 } }, wide)).body!, /"k59999":59999,"a":1\}$/);
    assert.ok(performance.now() - before < 2000);
  });

  test('does what parsing, changing and writing would do (property)', () => {
    const name = fc.constantFrom('a', 'b', 'c', '0', '1', 'x/y', '~', 'é"\\');
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)),
        fc.dictionary(name, tie('tree'), { maxKeys: 5, noNullPrototype: true }),
        fc.array(tie('tree'), { maxLength: 3 }),
      ),
    }));
    const space = fc.constantFrom(undefined, 1, '\t');
    fc.assert(
      fc.property(
        tree,
        fc.array(name, { minLength: 1, maxLength: 3 }),
        fc.option(fc.jsonValue()),
        space,
        (value, path, set, indent) => {
          const text = JSON.stringify(value, null, indent);
          const made = compileJsonEdit([{ path, json: set === null ? null : JSON.stringify(set) }])(text);
          assert.deepEqual(JSON.parse(made ?? text), changed(value, path, set));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** The same on values, for comparison. */
function changed(value: unknown, [name, ...rest]: string[], set: unknown): unknown {
  const copy = JSON.parse(JSON.stringify(value)) as Record<string, unknown> | unknown[];
  if (typeof copy !== 'object' || copy === null || name === undefined) return copy;
  const make = (names: string[]): unknown => (names.length === 0 ? set : { [names[0]!]: make(names.slice(1)) });
  if (Array.isArray(copy)) {
    const index = /^(?:0|[1-9]\d*)$/.test(name) ? Number(name) : -1;
    if (index < 0 || index >= copy.length) return copy;
    if (rest.length > 0) copy[index] = changed(copy[index], rest, set);
    else if (set === null) copy.splice(index, 1);
    else copy[index] = set;
    return JSON.parse(JSON.stringify(copy));
  }
  if (!Object.hasOwn(copy, name)) {
    if (set !== null) copy[name] = make(rest);
  } else if (rest.length > 0) copy[name] = changed(copy[name], rest, set);
  else if (set === null) delete copy[name];
  else copy[name] = set;
  return JSON.parse(JSON.stringify(copy));
}

describe('body: of responses', () => {
  const config = (more: object = {}) => [filter('body', { response: { set: { a: 1 }, remove: ['secret'], ...more } })];
  const response = (parts: ResponseParts, more: object = {}) =>
    responseOf(config(more), { headers: JSON_TYPE.headers, ...parts });

  test('is changed as a whole, whatever parts it comes in', async () => {
    const { transforms, lines } = response({
      headers: [...JSON_TYPE.headers, ['ETag', '"v1"'], ['Content-Digest', 'x'], ['X', 'y']],
    });
    assert.deepEqual(lines, ['Content-Type: application/json; charset=utf-8', 'X: y', 'ETag: W/"v1"']);
    const text = '{"secret":"é€","b":2}';
    for (const size of [1, 5, 100]) {
      const bytes = Buffer.from(text);
      const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      const transform = response({}).transforms[0]!;
      assert.equal((await transformed(transform, parts)).toString(), '{"b":2,"a":1}');
    }
    assert.equal(transforms.length, 1);
    assert.equal((await transformed(response({}).transforms[0]!, [])).length, 0);
  });

  test('the backend is asked for what can be read', () => {
    assert.deepEqual(
      runRequest(config(), {
        headers: [
          ['Accept-Encoding', 'gzip'],
          ['A', 'b'],
        ],
      }).lines,
      ['A: b'],
    );
  });

  test('other types, own answers and empty ones are left alone', () => {
    assert.equal(response({ headers: [['Content-Type', 'text/html']] }).transforms.length, 0);
    assert.equal(response({ own: true }).transforms.length, 0);
    assert.equal(response({ status: 204 }).transforms.length, 0);
    assert.equal(response({ bodyBytes: 0 }).transforms.length, 0);
    // The length that HEAD would tell isn't the one of GET.
    assert.equal(response({ request: { method: 'HEAD' }, bodyBytes: 0 }).transforms.length, 1);
  });

  test('what can not be read is refused or passes, as configured', async () => {
    for (const parts of [
      { headers: [...JSON_TYPE.headers, ['Content-Encoding', 'gzip']] },
      { status: 206 },
      { bodyBytes: 2_000_000 },
    ] as const) {
      const refused = response(parts);
      assert.equal(refused.status, 502);
      assert.match(refused.replacement!.body, /"code":"body-unreadable"/);
      const passed = response(parts, { unreadable: 'pass' });
      assert.equal(passed.replacement, null);
      assert.equal(passed.transforms.length, 0);
    }
    for (const parts of [['{"a":'], ['x'.repeat(600_000), 'x'.repeat(600_000)]]) {
      await assert.rejects(transformed(response({}).transforms[0]!, parts), /the JSON of a response is/);
      assert.equal(
        String(await transformed(response({}, { unreadable: 'pass' }).transforms[0]!, parts)),
        parts.join(''),
      );
    }
  });

  test('a 304 names the validator that the client has', () => {
    const etag = [['ETag', '"v1"']] as const;
    const asked = (held: string) =>
      responseOf(config(), { status: 304, headers: etag, request: { headers: [['If-None-Match', held]] } }).lines;
    assert.deepEqual(asked('W/"v1"'), ['ETag: W/"v1"']);
    assert.deepEqual(asked('"v1"'), ['ETag: "v1"']);
  });
});

test('body: what the file may not say', () => {
  for (const [given, expected] of [
    [{}, /nothing to change: give request or response/],
    [{ request: {} }, /^request: nothing to change/],
    [{ request: { set: { '': 1 } } }, /^request\.set\.: "" names no field/],
    [{ request: { set: { 'a..b': 1 } } }, /^request\.set\.a\.\.b: "a\.\.b" names no field/],
    [{ request: { remove: ['/a~2'] } }, /^request\.remove\.0: "\/a~2" names no field/],
    [{ request: { remove: ['/a/-'] } }, /^request\.remove\.0: "-" is behind/],
    [{ request: { set: { '/a': 1, 'a.b': 2 } } }, /^request\.set\.a\.b: lies within/],
    [{ request: { set: { '/a/b': 1 }, remove: ['a'] } }, /^request\.set\.\/a\/b: lies within/],
    [{ request: { set: { '/a': 1 }, remove: ['a'] } }, /^request\.remove\.0: lies within/],
    [{ request: { remove: [`/${'a/'.repeat(40)}`] } }, /^request\.remove\.0: is deeper/],
    [{ response: { remove: ['a'], maxBody: '1GiB' } }, /^response\.maxBody: expected a size/],
    [{ response: { remove: ['a'], unreadable: 'drop' } }, /^response\.unreadable: /],
    [{ response: { remove: ['a'], other: 1 } }, /^response: Unrecognized key/],
  ] as const)
    assert.match(issues('body', given)[0] ?? '', expected, JSON.stringify(given));
  assert.deepEqual(issues('body', { request: { set: { '/ab': 1, '/a': 2, '/a b/c': 3 } } }), []);
  assert.deepEqual(jsonPath('/'), ['']);
});
