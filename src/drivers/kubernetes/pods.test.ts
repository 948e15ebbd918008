/** What is read from pods and selectors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from './objects.ts';
import { trimPod } from './objects.ts';
import { hostOf, portsOf } from './pod-facts.ts';
import { parseSelector, selectorOf } from './pod-selector.ts';

const pod = (changes: Partial<Pod>): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-1', namespace: 'shop', uid: 'u', resourceVersion: '1' },
  ...changes,
});

test('ports of a Service: numbers, names of this pod and of its sidecars, TCP only, none that it does not have', () => {
  const subject = pod({
    spec: {
      containers: [{ name: 'app', ports: [{ name: 'http', containerPort: 8080 }] }],
      initContainers: [
        { name: 'proxy', restartPolicy: 'Always', ports: [{ name: 'admin', containerPort: 9901, protocol: 'TCP' }] },
      ],
    },
  });
  const ports = portsOf(subject, [
    { name: 'web', port: 80, targetPort: 'http' },
    { name: 'side', port: 81, targetPort: 'admin' },
    { name: 'same', port: 82 },
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'none', port: 83, targetPort: 'nobody' },
  ]);
  assert.deepEqual(
    [...ports],
    [
      ['web', 8080],
      ['side', 9901],
      ['same', 82],
    ],
  );
});

test('the first address of a pod with two families is used', () => {
  assert.equal(
    hostOf(pod({ status: { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] } })),
    '10.0.0.1',
  );
  assert.equal(hostOf(pod({ status: { podIPs: [{ ip: 'fd00::1' }] } })), 'fd00::1');
  assert.equal(hostOf(pod({})), null);
});

test('selectors that select everybody are none; pods are found by one of their labels', () => {
  assert.equal(parseSelector(''), null);
  assert.equal(selectorOf({}), null);
  for (const [text, pair] of [
    ['app=web', 'app=web'],
    ['tier in (a,b),app==web', 'app=web'],
    ['app!=web', null],
    ['app', null],
    ['!app,x.io/y=z', 'x.io/y=z'],
  ] as const)
    assert.equal(parseSelector(text)?.pair, pair, text);
  assert.equal(selectorOf({ matchLabels: { app: 'web' } })?.pair, 'app=web');
  assert.equal(selectorOf({ matchExpressions: [{ key: 'app', operator: 'Exists' }] })?.pair, null);
});

test('what informers keep of a pod is small, and all that is read', () => {
  const whole = pod({
    metadata: {
      name: 'web-1',
      namespace: 'shop',
      uid: 'u',
      resourceVersion: '1',
      labels: { app: 'web' },
      annotations: { big: 'x'.repeat(10_000), 'controller.kubernetes.io/pod-deletion-cost': '5' },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'r', controller: true }],
    },
    spec: {
      containers: [{ name: 'app', ports: [{ name: 'http', containerPort: 8080 }], env: [{ name: 'A' }] } as never],
    },
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      conditions: [
        { type: 'Ready', status: 'True', message: 'm'.repeat(10_000) },
        { type: 'Initialized', status: 'True' },
      ],
      containerStatuses: [{ name: 'app', ready: true, restartCount: 0, state: { running: { startedAt: 't' } } }],
    },
  });
  const trimmed = trimPod(whole);
  assert.ok(JSON.stringify(trimmed).length < 1500);
  assert.deepEqual(trimPod(trimmed), trimmed);
  assert.deepEqual(trimmed.metadata.annotations, { 'controller.kubernetes.io/pod-deletion-cost': '5' });
  assert.equal(trimmed.status?.conditions?.length, 1);
});
