import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DormouseError } from '../../model/errors.ts';
import { filter, filterContext, issues, runRequest } from './filters.fixture.ts';

function prefixed(matched: string, replacement: string, target: string): string | null {
  return runRequest(
    [filter('rewrite', { path: { prefix: replacement } })],
    { target },
    filterContext({ kind: 'prefix', value: matched }),
  ).target;
}

describe('rewrite of a prefix', () => {
  // The table of HTTPPathModifier in the Gateway API's reference.
  for (const [target, matched, replacement, expected] of [
    ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
    ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
    ['/foo', '/foo', '/xyz', '/xyz'],
    ['/foo/', '/foo', '/xyz', '/xyz/'],
    ['/foo/bar', '/foo', '', '/bar'],
    ['/foo/', '/foo', '', '/'],
    ['/foo', '/foo', '', '/'],
    ['/foo/', '/foo', '/', '/'],
    ['/foo', '/foo', '/', '/'],
    // Beyond the table.
    ['/', '/', '/xyz', '/xyz/'],
    ['/bar', '/', '/xyz', '/xyz/bar'],
    ['/foo/bar?a=/foo', '/foo', '/xyz', '/xyz/bar?a=/foo'],
    ['/foo/http://x/', '/foo', '/xyz', '/xyz/http://x/'],
    ['/foo/a%20b%2Fc', '/foo', '/xyz', '/xyz/a%20b%2Fc'],
    ['/%66oo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['//foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/caf%C3%A9/x', '/café', '/xyz', '/xyz/x'],
    // A result that some servers would read as an authority.
    ['/foo//evil.example', '/foo', '/', '/evil.example'],
    // Dot segments do not climb out of the new prefix.
    ['/foo/../foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/x/../foo/../../foo/bar', '/foo', '/xyz', '/xyz/bar'],
    ['/foo/%2e%2e/foo/bar', '/foo', '/xyz', '/xyz/bar'],
  ] as const) {
    test(`${target}, ${matched} to "${replacement}", is ${expected}`, () =>
      assert.equal(prefixed(matched, replacement, target), expected));
  }

  test('needs a match by prefix', () => {
    assert.throws(
      () =>
        runRequest([filter('rewrite', { path: { prefix: '/x' } })], {}, filterContext({ kind: 'exact', value: '/' })),
      (error) =>
        error instanceof DormouseError &&
        error.code === 'DORMOUSE_FILTER_PATH' &&
        /rewrite\.path\.prefix .*path\.exact/.test(error.message),
    );
  });
});

describe('rewrite', () => {
  test('of the whole path keeps the query', () => {
    assert.equal(
      runRequest([filter('rewrite', { path: { full: '/index.html' } })], { target: '/a/b?c=d' }).target,
      '/index.html?c=d',
    );
  });

  test('by expression', () => {
    const by = (regex: string, replacement: string, target: string): string | null =>
      runRequest([filter('rewrite', { path: { regex, replacement } })], { target }).target;
    assert.equal(by('^/users/([0-9]+)$', '/u/$1', '/users/17?x'), '/u/17?x');
    assert.equal(by('^/users/(?P<id>[0-9]+)$', '/u/$<id>', '/users/17'), '/u/17');
    assert.equal(by('^/users/([0-9]+)$', '/u/$1', '/other'), '/other');
    assert.equal(by('/x', '/y', '/x/x'), '/y/y');
    assert.equal(by('^/', '', '/a'), '/a');
  });

  test('of the host leaves path and headers alone', () => {
    const { host, target, lines } = runRequest([filter('rewrite', { host: 'api.internal:8080' })], {
      target: '/a?b',
      headers: [['A', 'b']],
    });
    assert.deepEqual([host, target, lines], ['api.internal:8080', null, ['A: b']]);
  });

  test('works on what the rewrite before it left', () => {
    const configs = [
      filter('rewrite', { path: { full: '/a/b' } }),
      filter('rewrite', { path: { regex: 'b$', replacement: 'c' } }),
    ];
    assert.equal(runRequest(configs, { target: '/x?q=1' }).target, '/a/c?q=1');
  });

  test('takes a prefix away and puts another in front, whatever the route matched', () => {
    const by = (path: object, target: string): string | null =>
      runRequest([filter('rewrite', { path })], { target }, filterContext({ kind: 'regex', value: '/.*' })).target;
    const both = { stripPrefix: '/api', addPrefix: '/v2/' };
    assert.equal(by(both, '/api/users?x=1'), '/v2/users?x=1');
    assert.equal(by(both, '/api'), '/v2');
    assert.equal(by(both, '/apix/a//b'), '/v2/apix/a//b');
    assert.equal(by(both, '/%61pi/users'), '/v2/users');
    assert.equal(by({ stripPrefix: '/api/' }, '/api/users'), '/users');
    assert.equal(by({ stripPrefix: '/api' }, '/api'), '/');
    assert.equal(by({ stripPrefix: '/api' }, '/api//evil.example'), '/evil.example');
    assert.equal(by({ stripPrefix: '/api' }, '/other/../x//y'), '/other/../x//y');
    assert.equal(by({ addPrefix: '/v2' }, '/'), '/v2/');
    // Dot segments do not climb out of what is put in front.
    assert.equal(by({ addPrefix: '/v2' }, '/a/../../admin'), '/v2/admin');
    assert.equal(by({ addPrefix: '/v2' }, '/%2e%2e/admin'), '/v2/admin');
  });
});

describe('rewrite of the query', () => {
  const by = (query: object, target: string): string | null =>
    runRequest([filter('rewrite', { query })], { target }).target;

  test('sets, adds and removes parameters and leaves the others as they are', () => {
    assert.equal(by({ set: { page: 1 } }, '/a?x=%7e&page=5&page=6&y'), '/a?x=%7e&page=1&y');
    assert.equal(by({ set: { page: 1 } }, '/a'), '/a?page=1');
    assert.equal(by({ add: { tag: ['a b', 'c&d'] } }, '/a?tag=x'), '/a?tag=x&tag=a%20b&tag=c%26d');
    assert.equal(by({ add: { tag: true } }, '/a'), '/a?tag=true');
    assert.equal(by({ remove: ['debug'] }, '/a?debug&x=1&&debug=2'), '/a?x=1');
    assert.equal(by({ remove: ['debug'] }, '/a?debug=1'), '/a');
    assert.equal(by({ set: { é: '€' } }, '/a'), '/a?%C3%A9=%E2%82%AC');
    assert.equal(by({ remove: ['a b'] }, '/a?a+b=1&%61%20b=2&c'), '/a?c');
  });

  test('works on what the filters before left, and together with the path', () => {
    const configs = [
      filter('rewrite', { query: { set: { a: '1' } } }),
      filter('rewrite', { path: { full: '/new' }, query: { add: { b: '2' } } }),
      filter('rewrite', { path: { stripPrefix: '/new' } }),
    ];
    assert.equal(runRequest(configs, { target: '/x?q=1' }).target, '/?q=1&a=1&b=2');
  });

  test('refuses what says nothing or contradicts itself', () => {
    assert.match(issues('rewrite', { query: {} })[0]!, /^query: nothing to change/);
    assert.match(
      issues('rewrite', { query: { set: { a: 1 }, remove: ['a'] } })[0]!,
      /^query\.remove\.0: a is also set/,
    );
    assert.match(issues('rewrite', { query: { sett: {} } })[0]!, /^query: Unrecognized key/);
    assert.match(issues('rewrite', { query: { set: { a: [] } } })[0]!, /^query\.set\.a: the value/);
    assert.match(issues('rewrite', {})[0]!, /nothing to rewrite/);
  });
});
