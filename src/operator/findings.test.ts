import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withReady } from './conditions.ts';
import { findingsOf, type Facts } from './findings.ts';

const fine: Facts = {
  target: 'Deployment cart',
  targetProblem: null,
  plan: { ok: true, ports: [], warnings: [] },
  hasPorts: true,
  failure: null,
  autoscaler: { ok: true, scaledObject: null },
  idle: [],
  troubles: null,
  concern: null,
  crash: null,
};

function ready(facts: Partial<Facts>): string {
  const { status, reason } = withReady(findingsOf({ ...fine, ...facts })).find(({ type }) => type === 'Ready')!;
  return `${status} ${reason}`;
}

test('it is ready when nothing stands against it', () => {
  assert.equal(ready({}), 'True Ready');
  assert.equal(ready({ plan: null, idle: 'gateways' }), 'True Ready');
  assert.equal(ready({ idle: ['12 requests in the last minute'] }), 'True Ready');
});

test('a NetworkPolicy is a concern, not a fault', () => {
  assert.equal(ready({ concern: 'NetworkPolicy p selects its pods' }), 'True Ready');
  const found = findingsOf({ ...fine, concern: 'NetworkPolicy p selects its pods' });
  assert.equal(found.find(({ type }) => type === 'PodsReachable')?.status, 'Unknown');
});

test('whatever stands against it is the reason that it is not', () => {
  assert.equal(ready({ targetProblem: 'there is no Deployment cart' }), 'False TargetUnusable');
  assert.equal(ready({ crash: 'Deployment cart not found' }), 'False TargetUnusable');
  assert.equal(ready({ crash: 'its image cannot be pulled' }), 'False StartFailed');
  assert.equal(ready({ plan: { ok: false, reason: 'Headless', message: 'x' } }), 'False Headless');
  assert.equal(ready({ hasPorts: false }), 'False NoPortsLeft');
  assert.equal(ready({ failure: 'forbidden' }), 'False HandoverFailed');
  assert.equal(ready({ autoscaler: { ok: false, reason: 'KedaZero', message: 'x' } }), 'False KedaZero');
  assert.equal(ready({ idle: 'nothing' }), 'False NoIdleSource');
  assert.equal(ready({ idle: ['Prometheus does not answer'] }), 'False NoAnswer');
});

test('a trigger whose source fails stands against it, with what to do; without triggers nothing is said of them', () => {
  assert.equal(ready({ troubles: [] }), 'True Ready');
  const reason = 'Redis redis:6379 wants a password: give password';
  assert.equal(ready({ troubles: [{ name: 'jobs', reason }] }), 'False SourceFails');
  const worker = findingsOf({ ...fine, plan: null, idle: 'triggers', troubles: [{ name: 'jobs', reason }] });
  const said = (type: string): string | undefined => worker.find((one) => one.type === type)?.message;
  assert.match(said('TriggersReady')!, /trigger jobs: Redis redis:6379 wants a password: give password\. Meanwhile/);
  assert.match(said('ServiceReady')!, /no Service and no route: its triggers wake it/);
  assert.match(said('IdleSource')!, /its triggers say when it is needed/);
  assert.equal(
    findingsOf(fine).some(({ type }) => type === 'TriggersReady'),
    false,
  );
});
