import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GROUP } from '../backend-object.ts';
import {
  gateway,
  httpRoute,
  listener,
  routeFilter,
  translated,
  leads,
  v1,
  v2,
  V1,
  V2,
  V3,
  OK,
} from './snapshot.fixture.ts';

describe('filters and timeouts', () => {
  const filtersOf = (filters: object[], rule: object = { backendRefs: [v1] }, objects = {}) => {
    const outcome = translated({ httpRoutes: [httpRoute('r', [{ filters: filters as never, ...rule }])], ...objects });
    return { outcome, filters: outcome.translation.routes[0]?.rules[0]?.filters ?? [], status: outcome.route('r') };
  };

  test('HTTPRouteRequestHeaderModifier, ResponseHeaderModifier', () => {
    const change = {
      set: [{ name: 'X-Set', value: 'a' }],
      add: [{ name: 'X-Add', value: 'b,c' }],
      remove: ['X-Remove'],
    };
    const { filters, status } = filtersOf([
      { type: 'RequestHeaderModifier', requestHeaderModifier: change },
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: change.set } },
    ]);
    assert.equal(status, OK);
    assert.deepEqual(filters, [
      { type: 'requestHeaders', options: { set: { 'X-Set': 'a' }, add: { 'X-Add': ['b,c'] }, remove: ['X-Remove'] } },
      { type: 'responseHeaders', options: { set: { 'X-Set': 'a' }, add: {}, remove: [] } },
    ]);
  });

  test('HTTPRouteRewriteHost, RewritePath', () => {
    const { filters, status } = filtersOf(
      [
        {
          type: 'URLRewrite',
          urlRewrite: { hostname: 'one.example.org', path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/x' } },
        },
      ],
      { matches: [{ path: { type: 'PathPrefix', value: '/p' } }], backendRefs: [v1] },
    );
    assert.equal(status, OK);
    assert.deepEqual(filters, [{ type: 'rewrite', options: { host: 'one.example.org', path: { prefix: '/x' } } }]);
  });

  test('HTTPRouteRedirectHostAndStatus, Path, Port, Scheme: without a scheme it is the listener’s port', () => {
    const redirect = (requestRedirect: object) =>
      filtersOf(
        [{ type: 'RequestRedirect', requestRedirect }],
        {},
        { gateways: [gateway('edge', [listener(), listener({ name: 'too', port: 8000 })])] },
      );
    const both = redirect({ hostname: 'example.org' });
    assert.equal(both.status, OK);
    assert.deepEqual(
      both.outcome.translation.routes.map(({ listeners, rules }) => [
        listeners,
        rules[0]!.filters[0]!.options,
        rules[0]!.backends,
      ]),
      [
        [['http-80'], { host: 'example.org', port: 80, status: 302 }, []],
        [['http-8000'], { host: 'example.org', port: 8000, status: 302 }, []],
      ],
    );
    const secure = redirect({
      scheme: 'https',
      statusCode: 308,
      path: { type: 'ReplaceFullPath', replaceFullPath: '/y' },
    });
    assert.deepEqual(
      secure.outcome.translation.routes.map(({ listeners }) => listeners),
      [['http-80', 'http-8000']],
    );
    assert.deepEqual(secure.filters[0]!.options, { scheme: 'https', path: { full: '/y' }, status: 308 });
    assert.deepEqual(redirect({ scheme: 'http', port: 8001 }).filters[0]!.options, {
      scheme: 'http',
      port: 8001,
      status: 302,
    });
  });

  test('HTTPRouteRequestMirror, MultipleMirrors, PercentageMirror; one that is not there is left out', () => {
    const mirror = (more: object, name = 'v2') => ({
      type: 'RequestMirror',
      requestMirror: { backendRef: { name, port: 8080 }, ...more },
    });
    const { filters, status, outcome } = filtersOf([
      mirror({}),
      mirror({ percent: 20 }),
      mirror({ fraction: { numerator: 1, denominator: 8 } }, 'v3'),
      mirror({ percent: 0 }),
      mirror({}, 'none'),
    ]);
    assert.equal(status, 'Accepted !ResolvedRefs/BackendNotFound');
    assert.deepEqual(
      filters.map(({ options }) => options),
      [
        { backend: V2, percent: 100 },
        { backend: V2, percent: 20 },
        { backend: V3, percent: 12.5 },
      ],
    );
    assert.deepEqual(
      outcome.translation.backends.map(({ name }) => name),
      [V1, V2, V3],
    );
  });

  test('HTTPRouteCORS', () => {
    const cors = {
      allowOrigins: ['https://www.example.com', 'https://*.foo.com'],
      allowMethods: ['GET', 'PUT'],
      allowCredentials: true,
      allowHeaders: ['X-A'],
    };
    const { filters, status } = filtersOf([{ type: 'CORS', cors }]);
    assert.equal(status, OK);
    assert.deepEqual(filters[0]!.options, {
      origins: ['https://www.example.com', 'https://*.foo.com'],
      methods: ['GET', 'PUT'],
      headers: ['X-A'],
      exposed: [],
      credentials: true,
      maxAgeSeconds: 5,
    });
    assert.equal(
      filtersOf([{ type: 'CORS', cors: { allowOrigins: ['*'], allowCredentials: true } }]).status,
      '!Accepted/UnsupportedValue ResolvedRefs',
    );
  });

  test('HTTPRouteTimeoutRequest, TimeoutBackendRequest', () => {
    const { outcome } = filtersOf([], { backendRefs: [v1], timeouts: { request: '1m30s', backendRequest: '500ms' } });
    assert.deepEqual(outcome.translation.routes[0]!.rules[0]!.timeouts, {
      requestMs: 90_000,
      perTryMs: 500,
      idleMs: 0,
    });
    assert.equal(
      filtersOf([], { backendRefs: [v1], timeouts: { request: '1 minute' } }).status,
      '!Accepted/UnsupportedValue ResolvedRefs',
    );
  });

  test('HTTPRouteBackendRequestHeaderModifier: of the only backend; of one of several the rule is not used', () => {
    const filters = [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: 'b' }] } }];
    assert.equal(filtersOf([], { backendRefs: [{ ...v1, filters }] }).filters.length, 1);
    assert.equal(
      filtersOf([], { backendRefs: [{ ...v1, filters }, v2] }).status,
      '!Accepted/UnsupportedValue ResolvedRefs',
    );
  });

  test('rules that can not be used are dropped, and said so; the others are in force', () => {
    const bad = [
      { matches: [{ path: { type: 'RegularExpression', value: '(?=x)' } }] },
      { matches: [{ headers: [{ name: 'a', type: 'RegularExpression', value: '(' }] }] },
      { filters: [{ type: 'Unknown' }] },
      {
        filters: [
          { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'Content-Length', value: '1' }] } },
        ],
      },
      {
        matches: [{ path: { type: 'Exact', value: '/x' } }],
        filters: [
          { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } } },
        ],
      },
    ];
    const outcome = translated({
      httpRoutes: [httpRoute('r', [...bad.map((rule) => ({ ...rule, backendRefs: [v2] })), { backendRefs: [v1] }])],
    });
    assert.equal(outcome.route('r'), `${OK} PartiallyInvalid/UnsupportedValue`);
    assert.equal(outcome.translation.routes[0]!.rules.length, 1);
    const [status] = outcome.translation.statuses.slice(-1);
    const message = 'parents' in status!.status ? status!.status.parents[0]!.conditions[2]!.message : '';
    assert.match(
      message,
      /^Dropped Rule\(s\) rules\[0\]: .* rules\[1\]: .* rules\[2\]: .* rules\[3\]: .* rules\[4\]: /,
    );
  });

  test('ExtensionRef: a RouteFilter as in dormouse.yaml; without it nothing goes on', () => {
    const extension = (name: string, kind = 'RouteFilter') => [
      { type: 'ExtensionRef', extensionRef: { group: GROUP, kind, name } },
    ];
    const routeFilters = [
      routeFilter('gzip', { compress: { encodings: ['gzip'] } }),
      routeFilter('bad', { compress: { nonsense: 1 } }),
      routeFilter('ask', { forwardAuth: { backend: 'auth', path: '/check' } }),
      routeFilter('lost', { forwardAuth: { backend: 'none', path: '/check' } }),
      routeFilter('copies', { mirror: { backend: 'none' } }),
      routeFilter('file', { errorPages: { pages: [{ status: 404, file: '/etc/passwd' }] } }),
    ];
    const backends = [{ namespace: 'infra', name: 'auth', service: null, backend: 'infra/auth', ports: [] }];
    const at = (name: string, kind?: string) =>
      filtersOf(extension(name, kind), { backendRefs: [v1] }, { routeFilters, backends });
    assert.equal(at('gzip').filters[0]!.type, 'compress');
    assert.equal((at('ask').filters[0]!.options as { backend: string }).backend, 'infra/auth');
    for (const [name, kind, reason] of [
      ['none', 'RouteFilter', 'BackendNotFound'],
      ['gzip', 'Other', 'InvalidKind'],
      ['bad', 'RouteFilter', 'InvalidFilter'],
      ['file', 'RouteFilter', 'InvalidFilter'],
      ['lost', 'RouteFilter', 'BackendNotFound'],
    ] as const) {
      const { outcome, status } = at(name, kind);
      assert.equal(status, `Accepted !ResolvedRefs/${reason}`);
      assert.equal(leads(outcome, {}), 'unresolved');
    }
    const copies = at('copies');
    assert.equal(copies.status, 'Accepted !ResolvedRefs/BackendNotFound');
    assert.equal(leads(copies.outcome, {}), V1);
    const { outcome } = at('gzip');
    assert.deepEqual(
      ['gzip', 'ask', 'lost', 'bad'].map((name) => outcome.filter(name)),
      [OK, OK, 'Accepted !ResolvedRefs/BackendNotFound', '!Accepted/Invalid'],
    );
  });

  test('a rule whose RouteFilter is wrong keeps its requests: they do not fall to a rule without it', () => {
    const outcome = translated({
      routeFilters: [routeFilter('guard', { basic: { nonsense: 1 } })],
      httpRoutes: [
        httpRoute('r', [
          {
            matches: [{ path: { type: 'PathPrefix', value: '/admin' } }],
            filters: [{ type: 'ExtensionRef', extensionRef: { group: GROUP, kind: 'RouteFilter', name: 'guard' } }],
            backendRefs: [v1],
          },
          { backendRefs: [v2] },
        ]),
      ],
    });
    assert.equal(leads(outcome, { target: '/admin' }), 'unresolved');
    assert.equal(leads(outcome, { target: '/' }), V2);
  });
});
