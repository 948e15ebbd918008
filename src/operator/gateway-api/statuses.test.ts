import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition } from '../backend-object.ts';
import type { Gateway, HttpRoute } from './objects.ts';
import { statusPatch } from './statuses.ts';
import { CONTROLLER, gateway, httpRoute, listener, settings, snapshot } from './snapshot.fixture.ts';
import { translate } from './translate.ts';
import type { StatusOf } from './translation.ts';

const T0 = Date.UTC(2026, 0, 2);
const T1 = Date.UTC(2026, 0, 3, 4, 5, 6, 789);

interface Patch<Status> {
  metadata: { resourceVersion: string };
  status: Status;
}

/** The status that an object has after the patch. */
function written<T extends { status?: unknown }>(object: T, patch: object | null): T {
  assert.ok(patch !== null);
  return { ...object, status: { ...(object.status as object), ...(patch as Patch<object>).status } };
}

function statusOf(kind: StatusOf['kind'], more: Parameters<typeof snapshot>[0]): StatusOf {
  return translate(snapshot(more), settings()).statuses.find((one) => one.kind === kind)!;
}

const route = httpRoute('r', [{ backendRefs: [{ name: 'v1', port: 8080 }] }]);
const wantedOf = (object: HttpRoute): StatusOf => statusOf('HTTPRoute', { httpRoutes: [object] });

test('what is already so is not written; conditions that stay keep their time', () => {
  const first = written(route, statusPatch(wantedOf(route), route, T0));
  assert.equal(first.status!.parents![0]!.conditions[0]!.lastTransitionTime, '2026-01-02T00:00:00Z');
  assert.equal(statusPatch(wantedOf(first), first, T1), null);
  const changed: HttpRoute = {
    ...first,
    metadata: { ...first.metadata, generation: 4, resourceVersion: '77' },
    spec: { ...first.spec, rules: [{ backendRefs: [{ name: 'none', port: 1 }] }] },
  };
  const patch = statusPatch(wantedOf(changed), changed, T1) as Patch<NonNullable<HttpRoute['status']>>;
  assert.equal(patch.metadata.resourceVersion, '77');
  assert.deepEqual(
    patch.status.parents![0]!.conditions.map(({ type, status, observedGeneration, lastTransitionTime }) => [
      type,
      status,
      observedGeneration,
      lastTransitionTime,
    ]),
    [
      ['Accepted', 'True', 4, '2026-01-02T00:00:00Z'],
      ['ResolvedRefs', 'False', 4, '2026-01-03T04:05:06Z'],
    ],
  );
});

test('GatewayPreserveForeignConditions, and parents of other controllers', () => {
  const foreign: Condition = {
    type: 'special.io/SomeField',
    status: 'True',
    reason: 'Because',
    message: '',
    lastTransitionTime: '2025-01-01T00:00:00Z',
  };
  const others = [{ parentRef: { name: 'edge' }, controllerName: 'example.com/x', conditions: [foreign] }];
  const shared: HttpRoute = { ...route, status: { parents: others } };
  const after = written(shared, statusPatch(wantedOf(shared), shared, T0));
  assert.deepEqual(
    after.status!.parents!.map(({ controllerName }) => controllerName),
    ['example.com/x', CONTROLLER],
  );
  after.status!.parents![1]!.conditions.unshift(foreign);
  assert.equal(statusPatch(wantedOf(after), after, T1), null);
  const left: HttpRoute = { ...after, spec: { ...after.spec, parentRefs: [{ name: 'elsewhere' }] } };
  assert.deepEqual(written(left, statusPatch(wantedOf(left), left, T1)).status!.parents, others);

  const edge: Gateway = { ...gateway('edge', [listener()]), status: { conditions: [foreign] } };
  const status = written(edge, statusPatch(statusOf('Gateway', { gateways: [edge] }), edge, T0)).status!;
  assert.deepEqual(
    status.conditions!.map(({ type }) => type),
    ['special.io/SomeField', 'Accepted', 'Programmed'],
  );
});

test('the placeholders of the schema are replaced, and what came and went is taken out', () => {
  const pending = (type: string): Condition => ({
    type,
    status: 'Unknown',
    reason: 'Pending',
    message: 'Waiting for controller',
    lastTransitionTime: '1970-01-01T00:00:00Z',
  });
  const overlapping: Condition = { ...pending('OverlappingTLSConfig'), status: 'True' };
  const edge: Gateway = {
    ...gateway('edge', [listener()]),
    status: {
      conditions: [pending('Accepted'), pending('Programmed')],
      listeners: [{ name: 'http', supportedKinds: [], attachedRoutes: 9, conditions: [overlapping] }],
    },
  };
  const { conditions, listeners } = written(
    edge,
    statusPatch(statusOf('Gateway', { gateways: [edge] }), edge, T0),
  ).status!;
  assert.deepEqual(
    conditions!.map(({ status, lastTransitionTime }) => [status, lastTransitionTime]),
    [
      ['True', '2026-01-02T00:00:00Z'],
      ['True', '2026-01-02T00:00:00Z'],
    ],
  );
  assert.equal(listeners![0]!.attachedRoutes, 0);
  assert.ok(!listeners![0]!.conditions.some(({ type }) => type === 'OverlappingTLSConfig'));
});

test('nothing is written to another generation than the one that was looked at, nor behind one that somebody has seen', () => {
  const wanted = wantedOf(route);
  const later: HttpRoute = { ...route, metadata: { ...route.metadata, generation: 4 } };
  assert.equal(statusPatch(wanted, later, T0), null);
  const edge = gateway('edge', [listener()]);
  const seen: Condition = {
    type: 'Accepted',
    status: 'True',
    reason: 'Accepted',
    message: '',
    lastTransitionTime: '2025-01-01T00:00:00Z',
    observedGeneration: 9,
  };
  const ahead: Gateway = { ...edge, status: { conditions: [seen] } };
  assert.equal(statusPatch(statusOf('Gateway', { gateways: [ahead] }), ahead, T0), null);
});
