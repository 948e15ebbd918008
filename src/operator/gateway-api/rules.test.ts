import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ViewParts } from '../../gateway/request-view.fixture.ts';
import { GROUP } from '../backend-object.ts';
import { GATEWAY_GROUP } from './objects.ts';
import {
  grant,
  grpcRoute,
  httpRoute,
  service,
  translated,
  leads,
  v1,
  v2,
  v3,
  V1,
  V2,
  V3,
  OK,
} from './snapshot.fixture.ts';

describe('matching', () => {
  test('HTTPRouteMatching', () => {
    const outcome = translated({
      httpRoutes: [
        httpRoute('r', [
          {
            matches: [{ path: { type: 'PathPrefix', value: '/' } }, { headers: [{ name: 'Version', value: 'one' }] }],
            backendRefs: [v1],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/v2' } }, { headers: [{ name: 'version', value: 'two' }] }],
            backendRefs: [v2],
          },
        ]),
      ],
    });
    for (const [target, version, expected] of [
      ['/', '', V1],
      ['/example', '', V1],
      ['/', 'one', V1],
      ['/v2', '', V2],
      ['/v2/example', '', V2],
      ['/v2example', '', V1],
      ['/', 'two', V2],
      ['/v2/', 'one', V2],
    ] as const)
      assert.equal(
        leads(outcome, { target, headers: version === '' ? [] : [['version', version]] }),
        expected,
        `${target} ${version}`,
      );
  });

  test('HTTPRouteExactPathMatching, MethodMatching, QueryParamMatching, expressions, and the first of equal names', () => {
    const outcome = translated({
      httpRoutes: [
        httpRoute('r', [
          { matches: [{ path: { type: 'Exact', value: '/one' } }], backendRefs: [v1] },
          { matches: [{ method: 'PUT' }], backendRefs: [v2] },
          {
            matches: [
              {
                queryParams: [
                  { name: 'a', value: 'b' },
                  { name: 'a', value: 'x' },
                ],
              },
            ],
            backendRefs: [v3],
          },
          { matches: [{ path: { type: 'RegularExpression', value: '/x/[0-9]+' } }], backendRefs: [v2] },
          {
            matches: [
              {
                headers: [
                  { name: 'x-a', type: 'RegularExpression', value: 'b.*' },
                  { name: 'X-A', value: 'c' },
                ],
              },
            ],
            backendRefs: [v1],
          },
        ]),
      ],
    });
    for (const [parts, expected] of [
      [{ target: '/one' }, V1],
      [{ target: '/one/' }, '404'],
      [{ target: '/', method: 'PUT' }, V2],
      [{ target: '/?a=b' }, V3],
      [{ target: '/x/17' }, V2],
      [{ target: '/', headers: [['x-a', 'bc']] }, V1],
    ] as [ViewParts, string][])
      assert.equal(leads(outcome, parts), expected, JSON.stringify(parts));
  });

  test('HTTPRouteMatchingAcrossRoutes: the oldest route, then the first by namespace and name', () => {
    const route = (name: string, ref: typeof v1, ageSeconds: number, value = '/') =>
      httpRoute(name, [{ matches: [{ path: { value } }], backendRefs: [{ ...ref, namespace: 'infra' }] }], {
        ageSeconds,
        parents: [{ name: 'edge', namespace: 'infra' }],
      });
    const routes = [route('b', v2, 5), route('a', v3, 5), route('old', v1, 9), route('deep', v2, 1, '/deep')];
    for (const list of [routes, routes.toReversed()]) {
      const outcome = translated({ httpRoutes: list });
      assert.deepEqual(
        outcome.translation.routes.map(({ name }) => name.split('/')[2]),
        ['old', 'a', 'b', 'deep'],
      );
      assert.equal(leads(outcome, {}), V1);
      assert.equal(leads(outcome, { target: '/deep/x' }), V2);
    }
  });

  test('GRPCExactMethodMatching and its kin', () => {
    const at = (method: object, ref: typeof v1) => ({ matches: [{ method }], backendRefs: [ref] });
    const outcome = translated({
      grpcRoutes: [
        grpcRoute('g', [
          at({ service: 'shop.Cart', method: 'Add' }, v1),
          at({ service: 'shop.Cart' }, v2),
          at({ method: 'Ping.Pong' }, v3),
          at({ type: 'RegularExpression', service: 'old|older', method: 'Do.*' }, v1),
        ]),
      ],
    });
    assert.equal(outcome.route('g'), OK);
    for (const [target, expected] of [
      ['/shop.Cart/Add', `${V1}:h2c`],
      ['/shop.Cart/Remove', `${V2}:h2c`],
      ['/shop.Cart2/Add', '404'],
      ['/any/Ping.Pong', `${V3}:h2c`],
      ['/any/PingXPong', '404'],
      ['/older/DoIt', `${V1}:h2c`],
      ['/new/DoIt', '404'],
    ] as const)
      assert.equal(leads(outcome, { method: 'POST', target }), expected, target);
    const config = outcome.translation.backends.find(({ name }) => name === `${V1}:h2c`)!;
    assert.deepEqual([config.endpoints.protocol, config.source], ['h2c', { driver: 'static', servers: [] }]);
  });
});

describe('backends', () => {
  const one = (backendRefs: object[], objects = {}) =>
    translated({ httpRoutes: [httpRoute('r', [{ backendRefs: backendRefs as never }])], ...objects });

  test('HTTPRouteWeight', () => {
    const outcome = one([
      { ...v1, weight: 70 },
      { ...v2, weight: 30 },
      { ...v3, weight: 0 },
    ]);
    assert.equal(leads(outcome, {}), `${V1} 70, ${V2} 30, ${V3} 0`);
  });

  test('a Service that is named twice has both weights', () => {
    assert.equal(leads(one([{ ...v1, weight: 2 }, v1]), {}), `${V1} 3`);
  });

  const cases: [string, object[], object, string, string][] = [
    [
      'HTTPRouteInvalidBackendRefUnknownKind',
      [{ group: 'unknownkind.example.com', kind: 'NonExistent', name: 'x' }],
      {},
      'InvalidKind',
      'unresolved',
    ],
    ['HTTPRouteInvalidNonExistentBackendRef', [{ name: 'none', port: 8080 }], {}, 'BackendNotFound', 'unresolved'],
    ['a port that the Service does not have', [{ name: 'v1', port: 9 }], {}, 'BackendNotFound', 'unresolved'],
    [
      'HTTPRouteInvalidCrossNamespaceBackendRef',
      [{ ...v1, namespace: 'web' }],
      { services: [service('web/v1')] },
      'RefNotPermitted',
      'unresolved',
    ],
    [
      'HTTPRoutePartiallyInvalidViaInvalidReferenceGrant',
      [v1, { ...v2, namespace: 'web' }],
      { services: [service('web/v2')] },
      'RefNotPermitted',
      `${V1}, unresolved`,
    ],
    ['HTTPRouteAllBackendsWeightZero', [{ ...v1, weight: 0 }], {}, '', 'unresolved'],
    ['HTTPRouteNoBackendRefs', [], {}, '', 'unresolved'],
    [
      'a UDP port',
      [{ name: 'udp', port: 53 }],
      { services: [service('udp', [{ port: 53, protocol: 'UDP' }])] },
      'UnsupportedProtocol',
      'unresolved',
    ],
  ];
  for (const [name, references, objects, reason, expected] of cases) {
    test(name, () => {
      const outcome = one(references, objects);
      assert.equal(outcome.route('r'), reason === '' ? OK : `Accepted !ResolvedRefs/${reason}`);
      assert.equal(leads(outcome, {}), expected);
      const standIn = outcome.translation.backends.find((backend) => backend.name === 'unresolved')!;
      assert.equal(standIn.wake.answers[0]!.status, 500);
      assert.equal(outcome.listener('edge', 'http').at(-1), '1');
    });
  }

  test('HTTPRouteReferenceGrant, and what it does not say', () => {
    const from = { group: GATEWAY_GROUP, kind: 'HTTPRoute', namespace: 'infra' };
    const at = (grants: Parameters<typeof grant>[]) =>
      one([{ ...v1, namespace: 'web' }], {
        services: [service('web/v1')],
        referenceGrants: grants.map((parts) => grant(...parts)),
      });
    const to = { group: '', kind: 'Service' };
    assert.equal(at([['web/g', [from], [to]]]).route('r'), OK);
    assert.equal(at([['web/g', [from], [{ ...to, name: 'v1' }]]]).route('r'), OK);
    for (const wrong of [
      ['infra/g', [from], [to]],
      ['web/g', [{ ...from, kind: 'GRPCRoute' }], [to]],
      ['web/g', [{ ...from, group: '' }], [to]],
      ['web/g', [{ ...from, namespace: 'web' }], [to]],
      ['web/g', [from], [{ ...to, name: 'v2' }]],
      ['web/g', [from], [{ ...to, kind: 'Secret' }]],
      ['web/g', [from], [{ ...to, group: 'x' }]],
    ] as Parameters<typeof grant>[])
      assert.equal(at([wrong]).route('r'), 'Accepted !ResolvedRefs/RefNotPermitted', JSON.stringify(wrong));
  });

  test('HTTPRouteBackendProtocolH2C, WebSocket, TLS', () => {
    const outcome = one(
      [1, 2, 3, 4].map((port) => ({ name: 'many', port })),
      {
        services: [
          service('many', [
            { port: 1, name: 'a', appProtocol: 'kubernetes.io/h2c' },
            { port: 2, name: 'b', appProtocol: 'kubernetes.io/ws' },
            { port: 3, name: 'c', appProtocol: 'https' },
            { port: 4, name: 'd', appProtocol: 'example.com/x' },
          ]),
        ],
      },
    );
    assert.deepEqual(
      outcome.translation.backends.map(({ endpoints, tls }) => [endpoints.protocol, tls?.serverName ?? null]),
      [
        ['h2c', null],
        ['http1', null],
        ['http1', 'many.infra.svc'],
        ['http1', null],
      ],
    );
  });

  test('a Backend stands for its Service, port by port, so that it sleeps behind the route', () => {
    const backends = [{ namespace: 'infra', name: 'shop', service: 'many', backend: 'infra/shop', ports: ['admin'] }];
    const services = [
      service('many', [
        { port: 1, name: 'web' },
        { port: 2, name: 'admin' },
      ]),
    ];
    const outcome = one(
      [
        { name: 'many', port: 1 },
        { name: 'many', port: 2 },
      ],
      { backends, services },
    );
    assert.equal(leads(outcome, {}), 'infra/shop, infra/shop:admin');
    assert.deepEqual(outcome.translation.backends, []);
    const named = (reference: object) =>
      leads(one([{ group: GROUP, kind: 'Backend', name: 'shop', ...reference }], { backends, services }), {});
    assert.equal(named({}), 'infra/shop');
    assert.equal(named({ port: 2 }), 'infra/shop:admin');
    assert.equal(named({ port: 3 }), 'unresolved');
    assert.equal(named({ name: 'none' }), 'unresolved');
  });

  test('GRPCRouteAllBackendsWeightZero and invalid references answer UNAVAILABLE', () => {
    for (const reference of [
      { ...v1, weight: 0 },
      { name: 'none', port: 1 },
    ]) {
      const outcome = translated({ grpcRoutes: [grpcRoute('g', [{ backendRefs: [reference] }])] });
      assert.equal(leads(outcome, { method: 'POST', target: '/a/b' }), 'unresolved-grpc');
      assert.equal(outcome.translation.backends[0]!.wake.answers[0]!.status, 503);
    }
  });
});
