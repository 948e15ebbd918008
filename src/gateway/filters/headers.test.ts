import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DormouseError } from '../../model/errors.ts';
import { requestView } from '../request-view.fixture.ts';
import { compileFilters } from './compile-filters.ts';
import { RequestEdit } from './edits.ts';
import type { Answer, FilterRegistry } from './filter.ts';
import { filter, filterContext, filterServices, issues, runRequest, runResponse } from './filters.fixture.ts';
import { filterSchemas } from './filters.schema.ts';
import { filters } from './all-filters.fixture.ts';

describe('requestHeaders and responseHeaders', () => {
  const received = [
    ['X-Env', 'a'],
    ['x-env', 'b'],
    ['Accept', '*/*'],
    ['X-Environment', 'c'],
  ] as const;

  test('set replaces all lines of the name, in any case', () => {
    const expected = ['Accept: */*', 'X-Environment: c', 'X-ENV: new'];
    assert.deepEqual(
      runRequest([filter('requestHeaders', { set: { 'X-ENV': 'new' } })], { headers: received }).lines,
      expected,
    );
    assert.deepEqual(runResponse([filter('responseHeaders', { set: { 'X-ENV': 'new' } })], received), expected);
  });

  test('add leaves what is there', () => {
    const { lines } = runRequest([filter('requestHeaders', { add: { 'X-Env': ['c', 'd'], 'X-Number': 7 } })], {
      headers: received,
    });
    assert.deepEqual(lines.slice(4), ['X-Env: c', 'X-Env: d', 'X-Number: 7']);
    assert.equal(lines.length, 7);
  });

  test('remove takes all lines of the name', () => {
    const { lines } = runRequest([filter('requestHeaders', { remove: ['x-env', 'accept'] })], { headers: received });
    assert.deepEqual(lines, ['X-Environment: c']);
  });

  test('filters work one after the other', () => {
    const configs = [
      filter('requestHeaders', { set: { 'X-A': '1', 'X-B': '1' }, add: { 'X-C': '1' } }),
      filter('requestHeaders', { set: { 'x-a': '2' }, remove: ['x-c', 'accept'] }),
      filter('requestHeaders', { add: { 'X-A': '3' } }),
    ];
    assert.deepEqual(
      runRequest(configs, {
        headers: [
          ['Accept', '*/*'],
          ['X-C', '0'],
        ],
      }).lines,
      ['X-B: 1', 'x-a: 2', 'X-A: 3'],
    );
  });

  test('values are written in UTF-8', () => {
    const { lines } = runRequest([filter('requestHeaders', { set: { 'x-name': 'Zoë' } })]);
    assert.equal(Buffer.from(lines[0]!, 'latin1').toString('utf8'), 'x-name: Zoë');
  });

  test('one that does nothing leaves its side of the data path empty', () => {
    const compiled = compileFilters(
      [filter('requestHeaders', {}), filter('responseHeaders', { set: { a: 'b' } })],
      filters,
      filterContext(),
      filterServices(),
    );
    assert.equal(compiled.request, null);
    assert.notEqual(compiled.response, null);
    assert.deepEqual(compiled.names, ['requestHeaders', 'responseHeaders']);
    assert.equal(compileFilters([], filters, filterContext(), filterServices()).response, null);
  });

  test('a compiled change is handed over as it is, so that no request pays for it', () => {
    const { request } = compileFilters(
      [filter('requestHeaders', { set: { a: 'b' }, remove: ['c'] })],
      filters,
      filterContext(),
      filterServices(),
    );
    const edit = new RequestEdit();
    edit.begin(requestView(), '', 'http');
    request!(edit);
    const first = edit.removeNames;
    edit.begin(requestView(), '', 'http');
    assert.deepEqual(edit.removeNames, []);
    request!(edit);
    assert.equal(edit.removeNames, first);
  });
});

describe('what the file may not say', () => {
  const cases: [string, unknown, RegExp][] = [
    [
      'requestHeaders',
      { set: { 'Content-Length': '1' } },
      /^set\.Content-Length: Content-Length can't be changed here: it frames the message/,
    ],
    ['requestHeaders', { add: { 'transfer-encoding': 'chunked' } }, /^add\.transfer-encoding: .*frames the message/],
    [
      'requestHeaders',
      { remove: ['Connection'] },
      /^remove\.0: Connection can't be changed here: it belongs to one hop/,
    ],
    ['requestHeaders', { set: { Host: 'x' } }, /rewrite: \{ host/],
    ['requestHeaders', { set: { 'X-Forwarded-For': 'x' } }, /security\.trustedProxies/],
    ['responseHeaders', { set: { Upgrade: 'x' } }, /belongs to one hop/],
    ['responseHeaders', { remove: ['x-cold-start'] }, /written by dormouse/],
    ['requestHeaders', { set: { 'a b': 'x' } }, /^set\.a b: "a b" is no header name/],
    ['requestHeaders', { set: { 'x\r\ny': 'x' } }, /is no header name/],
    ['requestHeaders', { set: { '': 'x' } }, /is no header name/],
    ['requestHeaders', { set: { x: 'a\r\nEvil: 1' } }, /^set\.x: a header value holds no line breaks/],
    ['responseHeaders', { add: { x: ['ok', 'a\0b'] } }, /^add\.x\.1: a header value holds no line breaks/],
    ['requestHeaders', { set: { x: ' a' } }, /neither begins nor ends with a space/],
    ['requestHeaders', { set: { x: null } }, /^set\.x: a header value is text/],
    ['requestHeaders', { set: { 'X-A': '1', 'x-a': '2' } }, /^set: x-a is there twice/],
    ['requestHeaders', { set: { 'X-A': '1' }, remove: ['x-a'] }, /^remove: x-a is also set or added/],
    ['requestHeaders', { sets: {} }, /sets/],
    ['rewrite', {}, /nothing to rewrite/],
    ['rewrite', { host: 'http://x' }, /^host: a host name or address/],
    ['rewrite', { host: 'x:99999' }, /^host: a host name or address/],
    [
      'rewrite',
      { path: {} },
      /^path: exactly one of prefix, full, stripPrefix and addPrefix, or regex with replacement/,
    ],
    ['rewrite', { path: { prefix: '/a', full: '/b' } }, /^path: exactly one of/],
    ['rewrite', { path: { regex: '/a' } }, /^path: exactly one of/],
    ['rewrite', { path: { full: 'a' } }, /^path\.full: a path begins with \//],
    ['rewrite', { path: { full: '/a?b' } }, /^path\.full: a path only/],
    ['rewrite', { path: { full: '/a b' } }, /^path\.full: .*no spaces/],
    ['rewrite', { path: { regex: '(?=a)', replacement: '/' } }, /^path: "\(\?=a\)" is not a regular expression/],
    ['rewrite', { path: { regex: '/(a)', replacement: '/$2' } }, /^path: the replacement "\/\$2" has \$2, a group/],
    ['rewrite', { path: { regex: '/(?P<x>a)', replacement: '/$<y>' } }, /has \$<y>, a group/],
    ['redirect', {}, /would lead to itself/],
    ['redirect', { host: '*.example.com' }, /^host: a host name or address/],
    ['redirect', { scheme: 'ftp' }, /^scheme: /],
    ['redirect', { host: 'a', status: 200 }, /^status: one of 301, 302, 303, 307, 308/],
    ['redirect', { port: 0 }, /^port: a port is a number/],
  ];
  for (const [type, options, message] of cases) {
    test(`${type} ${JSON.stringify(options)}`, () => {
      const found = issues(type, options);
      assert.equal(found.length, 1, found.join('\n'));
      assert.match(found[0]!, message);
    });
  }

  test('an unknown filter is an error that names the known ones', () => {
    assert.throws(
      () => compileFilters([{ type: 'toString', options: {} }], filters, filterContext(), filterServices()),
      (error) =>
        error instanceof DormouseError &&
        error.code === 'DORMOUSE_FILTER_UNKNOWN' &&
        /routes\.shop\.rules\[0\].*"toString".*rewrite/.test(error.message),
    );
  });
});

describe('a filter of somebody else', () => {
  const registry: FilterRegistry = {
    ...filters,
    echo: () => ({
      request(edit) {
        edit.setHeader('x-client', edit.client);
        edit.addHeader('x-seen', edit.view.value('user-agent') ?? '');
        return null;
      },
    }),
    deny: () => ({ request: () => ({ status: 403, headers: '', body: 'no' }) }),
    shadow: () => ({ mirror: { backend: 'next', percent: 10 } }),
  };

  test('reads the request and sets headers', () => {
    const { request } = compileFilters([{ type: 'echo', options: null }], registry, filterContext(), filterServices());
    const edit = new RequestEdit();
    edit.begin(requestView({ headers: [['User-Agent', 'curl']] }), '192.0.2.1', 'http');
    assert.equal(request!(edit), null);
    assert.equal(edit.append, 'x-client: 192.0.2.1\r\nx-seen: curl\r\n');
  });

  test('can not break the head with a value from outside', () => {
    const edit = new RequestEdit();
    edit.begin(requestView(), '', 'http');
    for (const value of ['a\r\nb: c', 'a\0', '\u2028', 'a\n']) {
      assert.throws(
        () => edit.setHeader('x', value),
        (error) => error instanceof DormouseError && error.code === 'DORMOUSE_FILTER_HEADER',
      );
      assert.throws(() => edit.addHeader('x', value), DormouseError);
    }
    assert.throws(() => edit.setHeader('x: y\r\nz', 'v'), DormouseError);
    // Nor frame a message anew, which would smuggle another one behind it.
    for (const name of ['Content-Length', 'transfer-encoding', 'Host', 'Connection']) {
      assert.throws(() => edit.setHeader(name, '0'), DormouseError);
      assert.throws(() => edit.addHeader(name, '0'), DormouseError);
      assert.throws(() => edit.removeHeader(name), DormouseError);
    }
    assert.deepEqual(edit.removeNames, []);
    assert.equal(edit.append, '');
  });

  test('that answers ends the request: those behind it do not run', () => {
    const { request } = compileFilters(
      [
        { type: 'deny', options: null },
        { type: 'echo', options: null },
      ],
      registry,
      filterContext(),
      filterServices(),
    );
    const edit = new RequestEdit();
    edit.begin(requestView(), '', 'http');
    assert.equal((request!(edit) as Answer).status, 403);
    assert.equal(edit.append, '');
  });

  test('can ask for a copy of the request', () => {
    assert.deepEqual(
      compileFilters([{ type: 'shadow', options: null }], registry, filterContext(), filterServices()).mirrors,
      [{ backend: 'next', percent: 10 }],
    );
  });
});

test('each filter has a schema and each schema a filter', () => {
  assert.deepEqual(Object.keys(filterSchemas).sort(), Object.keys(filters).sort());
});
