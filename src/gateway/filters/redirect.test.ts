import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ViewParts } from '../request-view.fixture.ts';
import { filter, filterContext, runRequest } from './filters.fixture.ts';

function location(options: object, parts: ViewParts, matched = '/'): string {
  const { answer } = runRequest(
    [filter('redirect', options)],
    parts,
    filterContext({ kind: 'prefix', value: matched }),
  );
  return /^Location: (.*)\r\n$/.exec(answer!.headers)![1]!;
}

for (const [name, options, parts, expected] of [
  ['scheme', { scheme: 'https' }, { host: 'a.test', target: '/x?y=1' }, 'https://a.test/x?y=1'],
  ['a new scheme has its own port', { scheme: 'https' }, { host: 'a.test:8080' }, 'https://a.test/'],
  ['scheme and port', { scheme: 'https', port: 8443 }, { host: 'a.test:8080' }, 'https://a.test:8443/'],
  ["the scheme's own port is left out", { scheme: 'https', port: 443 }, { host: 'a.test' }, 'https://a.test/'],
  ['port', { port: 9000 }, { host: 'a.test:8080' }, 'http://a.test:9000/'],
  ['host keeps the port that the client used', { host: 'b.test' }, { host: 'a.test:8080' }, 'http://b.test:8080/'],
  ['path', { path: { full: '/new' } }, { host: 'a.test', target: '/old?x=1' }, 'http://a.test/new?x=1'],
  [
    'by expression',
    { path: { regex: '^/(.*)$', replacement: '/v2/$1' } },
    { host: 'a.test', target: '/x' },
    'http://a.test/v2/x',
  ],
  ['IPv6', { scheme: 'https' }, { host: '[::1]:8080', target: '/x' }, 'https://[::1]/x'],
  ['IPv6 keeps its port', { path: { full: '/y' } }, { host: '[::1]:8080', target: '/x' }, 'http://[::1]:8080/y'],
  ['without a host: relative', { path: { full: '/y' } }, { host: '', minor: 0, target: '/x' }, '/y'],
  [
    'without a host: never to another one',
    { scheme: 'https' },
    { host: '', minor: 0, target: '//evil.test/x' },
    '/evil.test/x',
  ],
] as const satisfies [string, object, ViewParts, string][]) {
  test(name, () => assert.equal(location(options, parts), expected));
}

test('prefix', () => {
  assert.equal(
    location({ path: { prefix: '/v2' } }, { host: 'a.test', target: '/v1/x?y' }, '/v1'),
    'http://a.test/v2/x?y',
  );
});

test('the status is 302 unless it is given', () => {
  const status = (given: object): number =>
    runRequest([filter('redirect', { scheme: 'https', ...given })]).answer!.status;
  assert.equal(status({}), 302);
  for (const code of [301, 302, 303, 307, 308]) assert.equal(status({ status: code }), code);
});
