import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { filter, issues, responseOf, runRequest } from './filters.fixture.ts';

const options = {
  origins: ['https://App.example.com:443', 'https://*.example.org', 'http://localhost:3000'],
  methods: ['GET', 'PUT'],
  headers: ['content-type', 'x-token'],
  exposed: ['x-total'],
  credentials: true,
  maxAge: '1h',
};

function preflight(given: object, origin: string) {
  const headers = [
    ['Origin', origin],
    ['Access-Control-Request-Method', 'PUT'],
    ['Access-Control-Request-Headers', 'x-token'],
  ] as const;
  return runRequest([filter('cors', given)], { method: 'OPTIONS', headers }).answer;
}

/** What a browser at `origin` gets of a response. */
function response(given: object, origin: string | null, headers: readonly (readonly [string, string])[] = []) {
  return responseOf([filter('cors', given)], {
    headers,
    request: { headers: origin === null ? [] : [['Origin', origin]] },
  }).lines;
}

const PREFLIGHT_VARY = 'Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers';

describe('cors: preflight', () => {
  test('is answered without the backend', () => {
    const answer = preflight(options, 'https://app.example.com');
    assert.equal(answer!.status, 204);
    assert.equal(answer!.body, '');
    assert.deepEqual(answer!.headers.split('\r\n'), [
      'Access-Control-Allow-Origin: https://app.example.com',
      'Access-Control-Allow-Credentials: true',
      'Access-Control-Allow-Methods: GET, PUT',
      'Access-Control-Allow-Headers: content-type, x-token',
      'Access-Control-Max-Age: 3600',
      PREFLIGHT_VARY,
      '',
    ]);
  });

  test('of another origin is answered 403 without permission', () => {
    const answer = preflight(options, 'https://evil.test');
    assert.equal(answer!.status, 403);
    assert.doesNotMatch(answer!.headers, /^access-control/im);
    assert.match(answer!.headers, /^Vary: Origin, /m);
  });

  test('an OPTIONS that is none goes to the backend', () => {
    assert.equal(runRequest([filter('cors', options)], { method: 'OPTIONS' }).answer, null);
    const own = { method: 'OPTIONS', headers: [['Origin', 'https://app.example.com']] } as const;
    assert.equal(runRequest([filter('cors', options)], own).answer, null);
  });
});

describe('cors: responses', () => {
  test('say who may read them, and what the backend said is replaced', () => {
    const lines = response(options, 'https://app.example.com', [
      ['Access-Control-Allow-Origin', '*'],
      ['access-control-allow-credentials', 'false'],
      ['Vary', 'Accept'],
      ['X-Total', '1'],
    ]);
    assert.deepEqual(lines, [
      'Vary: Accept',
      'X-Total: 1',
      'Vary: Origin',
      'Access-Control-Allow-Origin: https://app.example.com',
      'Access-Control-Allow-Credentials: true',
      'Access-Control-Expose-Headers: x-total',
    ]);
  });

  test('to others, and to requests without Origin, only vary', () => {
    assert.deepEqual(response(options, 'https://evil.test', [['Access-Control-Allow-Origin', '*']]), ['Vary: Origin']);
    assert.deepEqual(response(options, null), ['Vary: Origin']);
  });

  test('for everybody need no Vary', () => {
    assert.deepEqual(response({ origins: ['*'] }, 'https://any.test'), ['Access-Control-Allow-Origin: *']);
    assert.deepEqual(response({ origins: ['*'] }, null), ['Access-Control-Allow-Origin: *']);
    assert.match(preflight({ origins: ['*'] }, 'https://any.test')!.headers, /^Access-Control-Allow-Origin: \*\r\n/);
  });
});

describe('cors: origins', () => {
  for (const [origin, allowed] of [
    ['https://app.example.com', true],
    ['http://localhost:3000', true],
    ['https://a.example.org', true],
    ['https://a.b-c.example.org', true],
    ['https://app.example.com:8443', false],
    ['http://app.example.com', false],
    ['http://localhost', false],
    ['https://example.org', false],
    ['https://.example.org', false],
    ['https://evilexample.org', false],
    ['https://evil.test/.example.org', false],
    ['https://evil.test#.example.org', false],
    ['https://evil.test:80.example.org', false],
    ['https://user@evil.test\t.example.org', false],
    ['https://a.example.org.evil.test', false],
    ['null', false],
    ['*', false],
    ['', false],
  ] as const) {
    test(`${JSON.stringify(origin)}: ${allowed}`, () => {
      const lines = response(options, origin).filter((line) => line.startsWith('Access-Control-Allow-Origin'));
      assert.deepEqual(lines, allowed ? [`Access-Control-Allow-Origin: ${origin}`] : []);
    });
  }

  test('null has to be named', () => {
    assert.ok(response({ origins: ['null'] }, 'null').includes('Access-Control-Allow-Origin: null'));
  });
});

describe('cors: what the file may not say', () => {
  for (const [given, expected] of [
    [{}, /^origins: /],
    [{ origins: [] }, /^origins: which origins/],
    [{ origins: ['*'], credentials: true }, /^origins: with credentials/],
    [{ origins: ['https://a.test'], credentials: 'on', headers: ['*'] }, /^headers: with credentials/],
    [{ origins: ['*', 'https://a.test'] }, /^origins: "\*" stands for all/],
    [{ origins: ['a.test'] }, /^origins\.0: "a\.test" is not an origin/],
    [{ origins: ['https://a.test/'] }, /^origins\.0: .*is not an origin/],
    [{ origins: ['https://*'] }, /^origins\.0: .*is not an origin/],
    [{ origins: ['https://a.*.test'] }, /^origins\.0: .*is not an origin/],
    [{ origins: ['https://a.test:0'] }, /^origins\.0: .*is not an origin/],
    [{ origins: ['https://a.test'], methods: ['G T'] }, /^methods\.0: not a method/],
    [{ origins: ['https://a.test'], maxAge: '2d' }, /^maxAge: expected at most/],
    [{ origins: ['https://a.test'], origin: 'x' }, /Unrecognized key/],
  ] as const) {
    test(JSON.stringify(given), () => assert.match(issues('cors', given)[0] ?? '', expected));
  }
});
