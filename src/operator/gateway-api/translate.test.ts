import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SniRoutes } from '../../gateway/routing/sni-routes.ts';
import {
  gateway,
  httpRoute,
  listener,
  rawRoute,
  service,
  settings,
  snapshot,
  translated,
  v1,
  v2,
  V1,
  OK,
} from './snapshot.fixture.ts';
import { translate } from './translate.ts';

describe('TLSRoute and TCPRoute', () => {
  const tls = (name: string, more = {}) =>
    listener({ name, port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' }, ...more });

  test('TLSRouteSimpleSameNamespace, and hosts of the most specific listener', () => {
    const outcome = translated({
      gateways: [
        gateway('edge', [tls('wild', { hostname: '*.example.com' }), tls('exact', { hostname: 'a.example.com' })]),
      ],
      tlsRoutes: [
        rawRoute('TLSRoute', 'r', [v1], {
          hostnames: ['b.example.com', '*.example.com'],
          parents: [{ name: 'edge', sectionName: 'wild' }],
        }),
        rawRoute('TLSRoute', 'broken', [{ name: 'none', port: 1 }], {
          hostnames: ['c.example.com'],
          parents: [{ name: 'edge', sectionName: 'wild' }],
        }),
      ],
    });
    assert.equal(outcome.route('r'), OK);
    assert.equal(outcome.route('broken'), 'Accepted !ResolvedRefs/BackendNotFound');
    const routes = new SniRoutes(outcome.translation.routes, 'tls-443');
    for (const [name, expected] of [
      ['b.example.com', `${V1}:tcp`],
      ['x.y.example.com', `${V1}:tcp`],
      ['c.example.com', 'unresolved-raw'],
      ['a.example.com', 'unresolved-raw'],
      ['example.com', undefined],
    ] as const)
      assert.equal(routes.find(name)?.backends[0]?.name, expected, name);
    assert.ok(outcome.translation.backends.every(({ endpoints }) => endpoints.protocol === 'tcp'));
  });

  test('a TCP listener leads to the backend of the oldest route', () => {
    const outcome = translated({
      gateways: [
        gateway('edge', [
          listener({ name: 'db', port: 5432, protocol: 'TCP' }),
          listener({ name: 'unused', port: 5433, protocol: 'TCP' }),
        ]),
      ],
      tcpRoutes: [
        rawRoute('TCPRoute', 'young', [v2], { ageSeconds: 1, parents: [{ name: 'edge', sectionName: 'db' }] }),
        rawRoute('TCPRoute', 'old', [v1, { ...v2, weight: 0 }], {
          ageSeconds: 2,
          parents: [{ name: 'edge', sectionName: 'db' }],
        }),
      ],
    });
    assert.equal(outcome.route('old'), OK);
    assert.equal(outcome.route('young'), '!Accepted/NotAllowedByListeners ResolvedRefs');
    assert.deepEqual(
      outcome.translation.listeners.map(({ name, backend }) => [name, backend]),
      [['tcp-5432', `${V1}:tcp`]],
    );
    assert.equal(outcome.listener('edge', 'db'), 'Accepted ResolvedRefs Programmed [TCPRoute] 1');
    const two = translated({
      gateways: [gateway('edge', [listener({ protocol: 'TCP' })])],
      tcpRoutes: [rawRoute('TCPRoute', 'r', [v1, v2])],
    });
    assert.equal(two.route('r'), '!Accepted/UnsupportedValue ResolvedRefs');
  });
});

describe('the translation', () => {
  const many = (count: number) =>
    snapshot({
      gateways: Array.from({ length: 20 }, (_one, i) => gateway(`g${i}`, [listener({ hostname: `*.g${i}.test` })])),
      services: Array.from({ length: count }, (_one, i) => service(`s${i}`)),
      httpRoutes: Array.from({ length: count }, (_one, i) =>
        httpRoute(`r${i}`, [{ backendRefs: [{ name: `s${i}`, port: 8080 }] }], {
          parents: [{ name: `g${i % 20}` }],
          hostnames: [`h${i}.g${i % 20}.test`],
        }),
      ),
    });

  test('is the same whatever the order of the lists', () => {
    const given = many(50);
    const turned = Object.fromEntries(
      Object.entries(given).map(([key, list]) => [key, list.toReversed()]),
    ) as unknown as typeof given;
    assert.deepEqual(translate(turned, settings()), translate(given, settings()));
  });

  test('takes time that grows with the number of objects', () => {
    const took = (count: number): number => {
      const given = many(count);
      translate(given, settings());
      const from = performance.now();
      translate(given, settings());
      return performance.now() - from;
    };
    const small = Math.max(took(500), 2);
    assert.ok(took(4000) < small * 8 * 6);
  });
});
