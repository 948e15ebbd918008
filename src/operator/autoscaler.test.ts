/** What stands against sleeping among the autoscalers of a target, where a real cluster can't show it: HPAs with minReplicas 0 need a feature gate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Informer, KubernetesClient } from '../kubernetes/client.ts';
import { Autoscaler } from './autoscaler.ts';
import type { HorizontalPodAutoscaler } from './kinds.ts';

const config = {
  namespace: 'shop',
  target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'users' },
  service: 'users',
  port: 0,
  autoscaler: null,
  ready: 'probe',
} as const;

function check(name: string, minReplicas?: number, namespace = 'shop'): ReturnType<Autoscaler['check']> {
  const scaler = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'scaler', namespace, uid: '1', resourceVersion: '1' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
      ...(minReplicas === undefined ? {} : { minReplicas }),
    },
  };
  const autoscalers = { list: () => [scaler] } as unknown as Informer<HorizontalPodAutoscaler>;
  return new Autoscaler(config, { client: {} as KubernetesClient, scaledObjects: null, autoscalers }).check();
}

test('an HPA that goes to zero by itself is refused, one that stands still at zero is not', () => {
  const refused = check('users', 0);
  assert.ok(!refused.ok);
  assert.equal(refused.reason, 'AutoscalerScalesToZero');
  assert.match(refused.message, /HorizontalPodAutoscaler scaler has minReplicas 0 .*Set it to 1 or more/);
  assert.deepEqual(check('users', 1), { ok: true, scaledObject: null });
  assert.deepEqual(check('users'), { ok: true, scaledObject: null });
  assert.equal(check('others', 0).ok, true);
  assert.equal(check('users', 0, 'elsewhere').ok, true);
});
