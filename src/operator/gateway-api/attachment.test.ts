import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  gateway,
  https,
  httpRoute,
  listener,
  namespace,
  service,
  translated,
  leads,
  v1,
  v2,
  v3,
  V1,
  V2,
  V3,
  fromAll,
  OK,
} from './snapshot.fixture.ts';

describe('attaching', () => {
  test('HTTPRouteSimpleSameNamespace', () => {
    const outcome = translated({ httpRoutes: [httpRoute('simple', [{ backendRefs: [v1] }])] });
    assert.equal(outcome.route('simple'), OK);
    assert.equal(outcome.listener('edge', 'http'), 'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 1');
    assert.equal(leads(outcome, { target: '/any' }), V1);
    assert.deepEqual(
      outcome.translation.services.map(({ namespace: of, service: name, port }) => [of, name, port]),
      [['infra', 'v1', 8080]],
    );
  });

  const cross = (allowedRoutes: object | undefined, objects = {}) =>
    translated({
      gateways: [gateway('edge', [listener(allowedRoutes === undefined ? {} : { allowedRoutes })])],
      services: [service('web/v1')],
      httpRoutes: [
        httpRoute('web/cross', [{ backendRefs: [v1] }], { parents: [{ name: 'edge', namespace: 'infra' }] }),
      ],
      ...objects,
    });
  const selecting = { namespaces: { from: 'Selector', selector: { matchLabels: { team: 'web' } } } };

  test('HTTPRouteCrossNamespace', () => {
    const outcome = cross(fromAll.allowedRoutes);
    assert.equal(outcome.route('web/cross'), OK);
    assert.equal(leads(outcome, {}), 'service:web/v1:8080');
  });

  test('HTTPRouteInvalidCrossNamespaceParentRef', () => {
    const outcome = cross(undefined);
    assert.equal(outcome.route('web/cross'), '!Accepted/NotAllowedByListeners ResolvedRefs');
    assert.equal(outcome.listener('edge', 'http').at(-1), '0');
    assert.deepEqual([outcome.translation.routes, outcome.translation.backends], [[], []]);
  });

  test('by labels of namespaces', () => {
    assert.equal(cross(selecting, { namespaces: [namespace('web', { team: 'web' })] }).route('web/cross'), OK);
    for (const namespaces of [[namespace('web', { team: 'other' })], [namespace('web')], []])
      assert.equal(cross(selecting, { namespaces }).route('web/cross'), '!Accepted/NotAllowedByListeners ResolvedRefs');
  });

  test('HTTPRouteDisallowedKind', () => {
    const outcome = translated({
      gateways: [
        gateway('edge', [listener({ name: 'tls', port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' } })]),
      ],
      httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }])],
    });
    assert.equal(outcome.route('r'), '!Accepted/NotAllowedByListeners ResolvedRefs');
  });

  test('HTTPRouteInvalidParentRefNotMatchingListenerPort, SectionName', () => {
    for (const parent of [{ port: 81 }, { sectionName: 'none' }, { port: 80, sectionName: 'none' }]) {
      const outcome = translated({
        httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }], { parents: [{ name: 'edge', ...parent }] })],
      });
      assert.equal(outcome.route('r'), '!Accepted/NoMatchingParent ResolvedRefs');
    }
    const both = translated({
      httpRoutes: [
        httpRoute('r', [{ backendRefs: [v1] }], { parents: [{ name: 'edge', port: 80, sectionName: 'http' }] }),
      ],
    });
    assert.equal(both.route('r'), OK);
  });

  test('parents that are not ours have no status of ours, and what was there is taken out', () => {
    const route = httpRoute('r', [{ backendRefs: [v1] }], {
      parents: [{ name: 'none' }, { group: '', kind: 'Service', name: 'v1' }],
    });
    assert.equal(translated({ httpRoutes: [route] }).route('r'), 'no status');
    route.status = {
      parents: [{ parentRef: { name: 'none' }, controllerName: 'dormouse.dev/gateway', conditions: [] }],
    };
    const { statuses } = translated({ httpRoutes: [route] }).translation;
    assert.deepEqual(statuses.at(-1)!.status, { parents: [] });
  });

  test('HTTPRouteHostnameIntersection', () => {
    const listeners = [
      listener({ name: 'exact', hostname: 'very.specific.com' }),
      listener({ name: 'wild', hostname: '*.wildcard.io', port: 81 }),
    ];
    const at = (hostnames: string[], sectionName: string) =>
      translated({
        gateways: [gateway('edge', listeners)],
        httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }], { hostnames, parents: [{ name: 'edge', sectionName }] })],
      });
    const cases: [string[], string, string[] | null][] = [
      [['non.matching.com', '*.nonmatchingwildcard.io', 'very.specific.com'], 'exact', ['very.specific.com']],
      [['*.specific.com'], 'exact', ['very.specific.com']],
      [['foo.wildcard.io', 'bar.foo.wildcard.io', 'wildcard.io'], 'wild', ['bar.foo.wildcard.io', 'foo.wildcard.io']],
      [['*.anotherwildcard.io', '*.sub.wildcard.io', '*.wildcard.io'], 'wild', ['*.sub.wildcard.io', '*.wildcard.io']],
      [['*.io'], 'wild', ['*.wildcard.io']],
      [['wildcard.io', 'specific.but.wrong.com'], 'wild', null],
      [['specific.com'], 'exact', null],
    ];
    for (const [hostnames, section, expected] of cases) {
      const outcome = at(hostnames, section);
      assert.equal(outcome.route('r'), expected === null ? '!Accepted/NoMatchingListenerHostname ResolvedRefs' : OK);
      assert.deepEqual(outcome.translation.routes[0]?.hosts ?? null, expected);
    }
  });

  test('HTTPRouteListenerHostnameMatching', () => {
    const names = ['bar.com', 'foo.bar.com', '*.bar.com', '*.foo.com'];
    const listeners = names.map((hostname, i) => listener({ name: `listener-${i + 1}`, hostname }));
    const route = (name: string, ref: typeof v1, ...sections: number[]) =>
      httpRoute(name, [{ backendRefs: [ref] }], {
        parents: sections.map((i) => ({ name: 'edge', sectionName: `listener-${i}` })),
      });
    const outcome = translated({
      gateways: [gateway('edge', listeners)],
      httpRoutes: [route('r1', v1, 1), route('r2', v2, 2), route('r3', v3, 3, 4)],
    });
    for (const [host, expected] of [
      ['bar.com', V1],
      ['foo.bar.com', V2],
      ['baz.bar.com', V3],
      ['boo.bar.com', V3],
      ['multiple.prefixes.bar.com', V3],
      ['multiple.prefixes.foo.com', V3],
      ['foo.com', '404'],
      ['no.matching.host', '404'],
    ] as const)
      assert.equal(leads(outcome, { host }), expected, host);
  });

  test('GatewayHTTPListenerIsolation: a request is the most specific listener’s alone', () => {
    const names = ['', '*.example.com', '*.foo.example.com', 'abc.foo.example.com'];
    const listeners = names.map((hostname, i) => listener({ name: `l${i}`, ...(hostname === '' ? {} : { hostname }) }));
    const all = names.filter((name) => name !== '');
    const outcome = translated({
      gateways: [gateway('edge', listeners)],
      httpRoutes: names.map((_name, i) =>
        httpRoute(`r${i}`, [{ matches: [{ path: { value: `/l${i}` } }], backendRefs: [v1] }], {
          hostnames: ['bar.com', ...all],
          parents: [{ name: 'edge', sectionName: `l${i}` }],
        }),
      ),
    });
    for (const [host, own] of [
      ['bar.com', 0],
      ['bar.example.com', 1],
      ['bar.foo.example.com', 2],
      ['abc.foo.example.com', 3],
    ] as const)
      for (let i = 0; i < 4; i++)
        assert.equal(
          leads(outcome, { host, target: `/l${i}` }).replace('404', 'no-route'),
          i === own ? V1 : 'no-route',
          `${host} /l${i}`,
        );
    assert.equal(outcome.translation.backends.find(({ name }) => name === 'no-route')!.wake.answers[0]!.status, 404);
  });

  test('a listener that is not served counts its routes and serves none', () => {
    const outcome = translated({
      gateways: [gateway('edge', [https('none')])],
      httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }])],
    });
    assert.equal(outcome.route('r'), OK);
    assert.equal(outcome.listener('edge', 'https').at(-1), '1');
    assert.deepEqual(outcome.translation.routes, []);
  });
});
