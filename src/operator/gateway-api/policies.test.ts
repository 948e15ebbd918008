import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RuleConfig } from '../../model/config.ts';
import {
  OK,
  grpcRoute,
  httpRoute,
  leads,
  listener,
  gateway,
  routePolicy,
  translated,
  v1,
  v2,
  v3,
  V1,
  V2,
  type Outcome,
} from './snapshot.fixture.ts';
import { statusPatch } from './statuses.ts';

const ACCEPTED = 'Accepted';
const at = (value: string) => [{ path: { type: 'PathPrefix', value } }];
const named = [
  { name: 'api', matches: at('/api'), backendRefs: [v1], timeouts: { request: '10s' } },
  { name: 'web', matches: at('/'), backendRefs: [v2] },
];

/** Rules of all routes of the configuration, by the backend that they lead to. */
function rule(outcome: Outcome, backend: string): RuleConfig {
  const found = outcome.translation.routes
    .flatMap(({ rules }) => rules)
    .find(({ backends }) => backends.some(({ name }) => name === backend));
  assert.ok(found !== undefined, backend);
  return found;
}

describe('RoutePolicy', () => {
  test('what is written wins over the route, key by key, and what is left out stays', () => {
    const outcome = translated({
      httpRoutes: [httpRoute('r', named)],
      routePolicies: [
        routePolicy('all', ['r'], {
          timeouts: { idle: '5s' },
          retry: { attempts: 4, conditions: ['503'] },
          webSocket: { idle: '1m' },
          sse: { heartbeat: '2s' },
        }),
        routePolicy('one', [{ name: 'r', sectionName: 'api' }], { timeouts: { perTry: '1s' }, retry: { attempts: 2 } }),
      ],
    });
    assert.deepEqual(outcome.policy('all'), { r: ACCEPTED });
    assert.deepEqual(outcome.policy('one'), { 'r#api': ACCEPTED });
    const api = rule(outcome, V1);
    assert.deepEqual(api.timeouts, { requestMs: 10_000, perTryMs: 1000, idleMs: 5000 });
    assert.deepEqual([api.retry.attempts, api.retry.on], [2, ['503']]);
    const web = rule(outcome, V2);
    assert.deepEqual(web.timeouts, { requestMs: 0, perTryMs: 0, idleMs: 5000 });
    assert.deepEqual([web.retry.attempts, web.webSocket.idleMs, web.sse.heartbeatMs], [4, 60_000, 2000]);
    assert.equal(outcome.translation.routes.length, 1);
  });

  test('of two for one target the older one counts, whatever their order; other targets of the younger one are in force', () => {
    const policies = [
      routePolicy('young', ['r', 's'], { timeouts: { idle: '1s' } }, 10),
      routePolicy('old', ['r', 'r'], { timeouts: { idle: '9s' } }, 20),
    ];
    for (const routePolicies of [policies, policies.toReversed()]) {
      const outcome = translated({
        httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }]), httpRoute('s', [{ backendRefs: [v2] }])],
        routePolicies,
      });
      assert.deepEqual(outcome.policy('old'), { r: ACCEPTED });
      assert.deepEqual(outcome.policy('young'), { r: '!Accepted/Conflicted', s: ACCEPTED });
      assert.equal(rule(outcome, V1).timeouts.idleMs, 9000);
      assert.equal(rule(outcome, V2).timeouts.idleMs, 1000);
    }
  });

  test('clients of one rule are those of that rule alone, and rules keep their order', () => {
    const outcome = translated({
      httpRoutes: [
        httpRoute('r', [
          { name: 'a', matches: at('/'), backendRefs: [v1] },
          { name: 'b', matches: at('/'), backendRefs: [v2] },
          { name: 'c', matches: at('/c'), backendRefs: [v3] },
        ]),
      ],
      routePolicies: [routePolicy('p', [{ name: 'r', sectionName: 'b' }], { clients: { deny: ['10.0.0.0/8'] } })],
    });
    assert.deepEqual(
      outcome.translation.routes.map(({ name, clients, rules }) => [name, clients.deny, rules.length]),
      [
        ['httproute/infra/r', [], 1],
        ['httproute/infra/r', ['10.0.0.0/8'], 1],
        ['httproute/infra/r', [], 1],
      ],
    );
    assert.equal(leads(outcome, {}), V1);
  });

  test('on every listener of the route, and on GRPCRoutes', () => {
    const outcome = translated({
      gateways: [gateway('edge', [listener(), listener({ name: 'other', port: 8000 })])],
      httpRoutes: [httpRoute('r', named)],
      grpcRoutes: [grpcRoute('g', [{ backendRefs: [v3] }], { hostnames: ['grpc.example'] })],
      routePolicies: [
        routePolicy(
          'p',
          [
            { name: 'r', sectionName: 'api' },
            { kind: 'GRPCRoute', name: 'g' },
          ],
          {
            clients: { allow: ['10.0.0.0/8'] },
            timeouts: { idle: '1s' },
          },
        ),
      ],
    });
    assert.deepEqual(outcome.policy('p'), { 'r#api': ACCEPTED, g: ACCEPTED });
    assert.deepEqual(
      outcome.translation.routes.map(({ listeners, clients }) => [listeners.length, clients.allow.length]),
      [
        [2, 1],
        [2, 1],
        [2, 0],
      ],
    );
    assert.equal(rule(outcome, 'service:infra/v3:8080:h2c').timeouts.idleMs, 1000);
  });

  test('targets that are not there are told; routes of other controllers are left alone', () => {
    const outcome = translated({
      httpRoutes: [httpRoute('r', named), httpRoute('foreign', named, { parents: [{ name: 'elsewhere' }] })],
      routePolicies: [
        routePolicy('p', ['none', { name: 'r', sectionName: 'nowhere' }, 'foreign', { kind: 'GRPCRoute', name: 'r' }], {
          timeouts: { idle: '1s' },
        }),
        routePolicy('web/p', ['r'], { timeouts: { idle: '2s' } }),
        routePolicy('q', ['foreign'], { timeouts: { idle: '1s' } }),
      ],
    });
    const missing = '!Accepted/TargetNotFound';
    assert.deepEqual(outcome.policy('p'), { none: missing, 'r#nowhere': missing, r: missing });
    assert.deepEqual(outcome.policy('web/p'), { r: missing });
    assert.deepEqual(outcome.policy('q'), {});
    assert.equal(rule(outcome, V1).timeouts.idleMs, 0);
  });

  test('one that can not be read is Invalid; when it says who is let through, nobody is', () => {
    const read = (spec: Record<string, unknown>) =>
      translated({
        httpRoutes: [httpRoute('r', named)],
        routePolicies: [routePolicy('p', [{ name: 'r', sectionName: 'api' }], spec)],
      });
    const harmless = read({ timeouts: { nonsense: 1 } });
    assert.deepEqual(harmless.policy('p'), { 'r#api': '!Accepted/Invalid' });
    assert.equal(leads(harmless, { target: '/api' }), V1);
    const closed = read({ clients: { deny: ['10.0.0/8'] } });
    assert.deepEqual(closed.policy('p'), { 'r#api': '!Accepted/Invalid' });
    assert.equal(leads(closed, { target: '/api' }), 'unresolved');
    assert.equal(leads(closed, { target: '/' }), V2);
    assert.equal(closed.route('r'), OK);
  });

  test('its status is written once, and entries of other controllers stay', () => {
    const outcome = translated({
      httpRoutes: [httpRoute('r', named)],
      routePolicies: [routePolicy('p', ['r'], { timeouts: { idle: '1s' } })],
    });
    const wanted = outcome.translation.statuses.find(({ kind }) => kind === 'RoutePolicy')!;
    const foreign = { ancestorRef: { name: 'x', group: 'g', kind: 'k' }, controllerName: 'example.com/other' };
    const before = { ...wanted.object, status: { ancestors: [foreign] } };
    const patch = statusPatch(wanted, before, 0) as { status: { ancestors: { controllerName: string }[] } };
    assert.deepEqual(
      patch.status.ancestors.map(({ controllerName }) => controllerName),
      ['example.com/other', 'dormouse.dev/gateway'],
    );
    assert.equal(statusPatch(wanted, { ...wanted.object, status: patch.status } as never, 1000), null);
  });
});
