import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RouteConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import { route } from './routes.fixture.ts';
import { Router } from './router.ts';

function routing(routes: RouteConfig[], listeners = ['web']): (parts: ViewParts, listener?: string) => string | null {
  const router = new Router({ routes, listeners: listeners.map((name) => ({ name })) });
  return (parts, listener = 'web') => router.match(listener, requestView(parts))?.route ?? null;
}

describe('hosts', () => {
  const to = routing([
    route('any', [], [{ prefix: '/' }]),
    route('short', ['*.example.com'], [{ prefix: '/' }]),
    route('long', ['*.shop.example.com'], [{ prefix: '/' }]),
    route('exact', ['www.shop.example.com'], [{ prefix: '/' }]),
  ]);
  for (const [host, expected] of [
    ['www.shop.example.com', 'exact'],
    ['WWW.Shop.Example.COM:8080', 'exact'],
    ['www.shop.example.com.', 'exact'],
    ['a.shop.example.com', 'long'],
    ['a.b.shop.example.com', 'long'],
    ['shop.example.com', 'short'],
    ['a.b.example.com', 'short'],
    ['example.com', 'any'],
    ['.example.com', 'any'],
    ['notexample.com', 'any'],
    ['[::1]:8080', 'any'],
    ['', 'any'],
  ] as const) {
    test(`"${host}" goes to ${expected}`, () => assert.equal(to({ host, minor: host === '' ? 0 : 1 }), expected));
  }

  test('a host that no route names has no route', () => {
    assert.equal(routing([route('a', ['a.example.com'], [{}])])({ host: 'b.example.com' }), null);
  });

  test('a longer path of a general host does not win over a short one of the exact host', () => {
    const match = routing([
      route('general', [], [{ prefix: '/api/v1' }]),
      route('exact', ['a.example.com'], [{ prefix: '/' }]),
    ]);
    assert.equal(match({ host: 'a.example.com', target: '/api/v1' }), 'exact');
    assert.equal(match({ host: 'b.example.com', target: '/api/v1' }), 'general');
  });

  test('what the exact host does not have is looked for under wildcards, then everywhere', () => {
    const match = routing([
      route('everywhere', [], [{ prefix: '/health' }]),
      route('wild', ['*.example.com'], [{ prefix: '/assets' }]),
      route('exact', ['a.example.com'], [{ prefix: '/api' }]),
    ]);
    assert.equal(match({ host: 'a.example.com', target: '/assets/x' }), 'wild');
    assert.equal(match({ host: 'a.example.com', target: '/health' }), 'everywhere');
    assert.equal(match({ host: 'a.example.com', target: '/other' }), null);
  });

  test('one route may have several hosts, and two routes one host', () => {
    const match = routing([
      route('both', ['a.test', 'b.test'], [{ prefix: '/' }]),
      route('more', ['b.test'], [{ prefix: '/more' }]),
    ]);
    assert.equal(match({ host: 'a.test', target: '/more' }), 'both');
    assert.equal(match({ host: 'b.test', target: '/more' }), 'more');
  });

  test('a host of absurd length is answered at once', () => {
    const match = routing([route('wild', ['*.example.com'], [{}])]);
    assert.equal(match({ host: 'a.'.repeat(100_000) + 'example.com' }), null);
  });
});

describe('paths', () => {
  const to = routing([
    route('root', [], [{ prefix: '/' }]),
    route('a', [], [{ prefix: '/a' }]),
    route('ab', [], [{ prefix: '/a/b/' }]),
    route('exact', [], [{ exact: '/a/b' }]),
    route('pattern', [], [{ regex: '/a/[0-9]+' }]),
    route('user', [], [{ regex: '/users/([^/]+)' }]),
  ]);
  for (const [target, expected] of [
    ['/', 'root'],
    ['/a', 'a'],
    ['/a?x=1', 'a'],
    ['/a/', 'a'],
    ['/a/x', 'a'],
    ['/ab', 'root'],
    ['/A', 'root'],
    ['/a/b', 'exact'],
    ['/a/b/', 'ab'],
    ['/a/b/c', 'ab'],
    ['/a/bc', 'a'],
    ['/a/17', 'pattern'],
    ['/a/17/', 'a'],
    ['/x/a/17', 'root'],
    ['/users/ann', 'user'],
    ['/users/ann/cart', 'root'],
    ['*', 'root'],
  ] as const) {
    test(`${target} goes to ${expected}`, () => assert.equal(to({ target }), expected));
  }

  test('the longer of two expressions comes first', () => {
    const match = routing([route('short', [], [{ regex: '/x.*' }]), route('long', [], [{ regex: '/x/y.*' }])]);
    assert.equal(match({ target: '/x/yz' }), 'long');
    assert.equal(match({ target: '/xy' }), 'short');
  });

  test('an expression that is costly elsewhere runs in linear time', () => {
    const match = routing([route('evil', [], [{ regex: '(/a|/a|/a)*b' }]), route('rest', [], [{}])]);
    assert.equal(match({ target: '/a'.repeat(4_000) }), 'rest');
  });

  test('an expression that RE2 refuses is an error with the place', () => {
    assert.throws(
      () => routing([route('look', [], [{ regex: '(?=x)' }])]),
      (error) =>
        error instanceof DormouseError &&
        error.code === 'DORMOUSE_ROUTE_PATTERN' &&
        error.userFault &&
        /routes\.look\.rules\[0\]/.test(error.message),
    );
  });
});

describe('no other spelling of a path steps around a rule', () => {
  const to = routing([
    route('open', [], [{ prefix: '/' }]),
    route('guarded', [], [{ prefix: '/admin' }]),
    route('cafe', [], [{ exact: '/café' }]),
    route('slash', [], [{ exact: '/a%2fb' }]),
  ]);
  for (const [target, expected] of [
    ['/%61dmin', 'guarded'],
    ['/%61%64%6D%69%6e/x', 'guarded'],
    ['//admin', 'guarded'],
    ['/x/../admin', 'guarded'],
    ['/x/%2e%2E/admin', 'guarded'],
    ['/./admin/.', 'guarded'],
    ['/../../admin', 'guarded'],
    ['/x//../admin', 'guarded'],
    ['/admin/../x', 'open'],
    ['/admin/..', 'open'],
    ['/.well-known/x', 'open'],
    ['/x/...', 'open'],
    ['/admin%2Fx', 'open'],
    ['/admin%00', 'open'],
    ['/caf%C3%A9', 'cafe'],
    ['/caf%c3%a9', 'cafe'],
    ['/a%2Fb', 'slash'],
    ['/x;v=1/y', 'open'],
    ['/%', null],
    ['/%%361dmin', null],
    // Some servers climb here and some don't: nobody gets it.
    ['/x/..%2fadmin', null],
    ['/x%2f..%2fadmin', null],
    ['/x/%2e%2e%5cadmin', null],
    ['/x/..;/admin', null],
    ['/x/..;a=b/admin', null],
    ['/x\\..\\admin', null],
  ] as const) {
    test(`${target} goes to ${expected}`, () => assert.equal(to({ target }), expected));
  }
});

describe('conditions', () => {
  const to = routing([
    route('plain', [], [{ prefix: '/p' }]),
    route('query', [], [{ prefix: '/p', query: { v: '2' } }]),
    route('header', [], [{ prefix: '/p', headers: { 'x-env': 'canary' } }]),
    route('headers', [], [{ prefix: '/p', headers: { 'x-env': 'canary', 'x-more': { regex: 'a.*z' } } }]),
    route('post', [], [{ prefix: '/p', methods: ['POST', 'PUT'] }]),
    route('deep', [], [{ prefix: '/p/deep', headers: { 'x-env': 'canary' } }]),
    route('text', [], [{ exact: '/text', headers: { 'x-name': 'Zoë' } }]),
    route('names', [], [{ exact: '/names', headers: { 'x-name': { regex: 'Z.ë' } } }]),
  ]);
  const cases: [string, ViewParts, string | null][] = [
    ['none', { target: '/p' }, 'plain'],
    ['query', { target: '/p?a=1&v=2' }, 'query'],
    ['the first value of a repeated parameter counts', { target: '/p?v=1&v=2' }, 'plain'],
    ['a query parameter is decoded', { target: '/p?%76=%32' }, 'query'],
    ['header before query', { target: '/p?v=2', headers: [['X-Env', 'canary']] }, 'header'],
    [
      'two headers before one',
      {
        target: '/p',
        headers: [
          ['X-Env', 'canary'],
          ['x-more', 'a-z'],
        ],
      },
      'headers',
    ],
    [
      'an expression has to match the whole value',
      {
        target: '/p',
        headers: [
          ['X-Env', 'canary'],
          ['x-more', 'a-z!'],
        ],
      },
      'header',
    ],
    [
      'lines of one header are one value',
      {
        target: '/p',
        headers: [
          ['X-Env', 'canary'],
          ['x-more', 'a'],
          ['X-More', 'z'],
        ],
      },
      'headers',
    ],
    [
      'a second line changes the value',
      {
        target: '/p',
        headers: [
          ['X-Env', 'canary'],
          ['X-Env', 'other'],
        ],
      },
      'plain',
    ],
    ['values are case-sensitive', { target: '/p', headers: [['X-Env', 'Canary']] }, 'plain'],
    ['method before headers', { method: 'PUT', target: '/p', headers: [['X-Env', 'canary']] }, 'post'],
    ['methods are case-sensitive', { method: 'put', target: '/p' }, 'plain'],
    [
      'a longer prefix before conditions',
      { method: 'POST', target: '/p/deep', headers: [['X-Env', 'canary']] },
      'deep',
    ],
    ['the longer prefix makes room when its conditions fail', { target: '/p/deep' }, 'plain'],
    ['a header in UTF-8', { target: '/text', headers: [['x-name', Buffer.from('Zoë').toString('latin1')]] }, 'text'],
    [
      'an expression on a header in UTF-8',
      { target: '/names', headers: [['x-name', Buffer.from('Zoë').toString('latin1')]] },
      'names',
    ],
    ['nothing holds', { target: '/text' }, null],
  ];
  for (const [name, parts, expected] of cases) test(name, () => assert.equal(to(parts), expected));

  test('what is equal in all is decided by the order in the file', () => {
    const match = routing([route('first', [], [{ prefix: '/x' }]), route('second', [], [{ prefix: '/x/' }])]);
    assert.equal(match({ target: '/x' }), 'first');
  });
});

describe('listeners', () => {
  test('a route is reached through the listeners that it names, all when it names none', () => {
    const match = routing(
      [route('inner', [], [{ prefix: '/' }], ['inside']), route('all', [], [{ prefix: '/all' }])],
      ['inside', 'outside'],
    );
    assert.equal(match({ target: '/x' }, 'inside'), 'inner');
    assert.equal(match({ target: '/x' }, 'outside'), null);
    assert.equal(match({ target: '/all' }, 'inside'), 'all');
    assert.equal(match({ target: '/all' }, 'outside'), 'all');
    assert.equal(match({ target: '/all' }, 'unknown'), null);
  });
});

test('a target says which rule and which of its matches it is, and carries what the gateway puts there', () => {
  const shop = route('shop', [], [{ prefix: '/a' }, { prefix: '/b' }]);
  shop.rules.push({
    ...shop.rules[0]!,
    matches: [{ ...shop.rules[0]!.matches[0]!, path: { kind: 'exact', value: '/c' } }],
    backends: [
      { name: 'x', weight: 3 },
      { name: 'y', weight: 1 },
    ],
  });
  const router = new Router({
    routes: [route('first', ['h'], [{}]), shop],
    listeners: [{ name: 'web' }, { name: 'too' }],
  });
  assert.deepEqual(
    router
      .rules()
      .map(({ route, routeIndex, ruleIndex, match, totalWeight }) => [
        route,
        routeIndex,
        ruleIndex,
        match.path.value,
        totalWeight,
      ]),
    [
      ['first', 0, 0, '/', 1],
      ['shop', 1, 0, '/a', 1],
      ['shop', 1, 0, '/b', 1],
      ['shop', 1, 1, '/c', 4],
    ],
  );
  router.rules().forEach((target, i) => (target.data = i));
  assert.equal(router.match('web', requestView({ target: '/b/x' }))?.data, 2);
  assert.equal(router.match('too', requestView({ target: '/c' }))?.data, 3);
});
