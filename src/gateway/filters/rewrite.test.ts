import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DormouseError } from '../../model/errors.ts';
import { filter, filterContext, runRequest } from './filters.fixture.ts';

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
});
