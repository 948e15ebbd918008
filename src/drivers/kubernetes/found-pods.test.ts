/** Pods that no watch has told of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubernetesClient } from '../../kubernetes/client.ts';
import { FoundPods } from './found-pods.ts';
import type { Pod } from './objects.ts';

const pod = (name: string, phase = 'Running'): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', uid: name, resourceVersion: '1' },
  spec: { containers: [] },
  status: { phase },
});

test('they are told, looked at until the watch knows them, and told to be gone when they are', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const there = new Map([pod('a'), pod('b'), pod('ended', 'Failed')].map((one) => [one.metadata.name, one]));
  const watched = new Set<string>();
  const told: string[] = [];
  let asked = 0;
  const client = {
    list: async () => ({ items: [...there.values()], resourceVersion: '1' }),
    get: async (_resource: unknown, { name }: { name: string }) => {
      asked++;
      return there.get(name) ?? null;
    },
  } as unknown as KubernetesClient;
  const found = new FoundPods({
    client,
    namespace: 'shop',
    isWatched: (name) => watched.has(name),
    found: ({ metadata }, removed) => void told.push(`${metadata.name}${removed ? ' gone' : ''}`),
  });
  const pass = async (): Promise<void> => {
    t.mock.timers.tick(5000);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };

  assert.equal(await found.find('', new AbortController().signal), 0);
  assert.equal(await found.find('app=users', new AbortController().signal), 2);
  assert.deepEqual(told.splice(0), ['a', 'b']);
  await pass();
  assert.deepEqual(told.splice(0), ['a', 'b']);
  watched.add('a');
  there.delete('b');
  await pass();
  assert.deepEqual(told.splice(0), ['b gone']);
  const before = asked;
  await pass();
  // Nothing is left to look at.
  assert.equal(asked, before);
  found.close();
});
