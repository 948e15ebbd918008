import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Informer, KubernetesObject } from '../kubernetes/client.ts';
import { NetworkPolicies, type NetworkPolicy } from './network-policies.ts';
import type { Pod } from './kinds.ts';

function listing<T extends KubernetesObject>(objects: object[]): Informer<T> {
  return { list: () => objects } as never;
}

function policies(specs: NetworkPolicy['spec'][], pods: object[] = []): NetworkPolicies {
  const objects = specs.map((spec, index) => ({ metadata: { namespace: 'shop', name: `p${index + 1}` }, spec }));
  return new NetworkPolicies(listing<NetworkPolicy>(objects), listing<Pod>(pods), 'dormouse-system');
}

const cart = { app: 'cart' };

test('a policy that selects the pods is named, with who must be let in', () => {
  const told = policies([{ podSelector: { matchLabels: cart }, ingress: [{ from: [{ podSelector: {} }] }] }]).concern(
    'shop',
    cart,
  );
  assert.match(told ?? '', /^NetworkPolicy p1 selects its pods: gateways and operator \(namespace dormouse-system\)/);
});

test('one without anything selects every pod and lets nobody in', () => {
  assert.match(
    policies([{}, {}, {}, {}, {}]).concern('shop', cart) ?? '',
    /^NetworkPolicies p1, p2, p3, 2 more select /,
  );
});

test('none of another namespace, for other pods, about what goes out only, or that lets everybody in', () => {
  assert.equal(policies([{}]).concern('elsewhere', cart), null);
  assert.equal(policies([{ podSelector: { matchLabels: { app: 'till' } } }]).concern('shop', cart), null);
  assert.equal(policies([{ policyTypes: ['Egress'] }]).concern('shop', cart), null);
  assert.equal(policies([{ ingress: [{}] }]).concern('shop', cart), null);
});

test('labels that only the pods have count while there are pods', () => {
  const spec = { podSelector: { matchExpressions: [{ key: 'tier', operator: 'Exists' }] } };
  const pod = { metadata: { namespace: 'shop', name: 'cart-1', labels: { app: 'cart', tier: 'web' } } };
  assert.notEqual(policies([spec], [pod]).concern('shop', cart), null);
  assert.equal(policies([spec]).concern('shop', cart), null);
});
