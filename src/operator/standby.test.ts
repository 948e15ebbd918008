/** An operator that does not lead: it wakes, and leaves that to KEDA where it is KEDA's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubernetesClient } from '../kubernetes/client.ts';
import { defaultBackend } from '../model/config.fixture.ts';
import type { ScaleConfig } from '../model/config.ts';
import { silentLogger } from '../model/ports.ts';
import type { BackendObject } from './backend-object.ts';
import { Standby, type StandbyDeps } from './standby.ts';

function setup(by: ScaleConfig['by'], replicas: { now: number }) {
  const writes: number[] = [];
  const wanted: string[] = [];
  const written = Promise.withResolvers<void>();
  const read = Promise.withResolvers<void>();
  const client = {
    resourceOf: async () => ({
      group: 'apps',
      version: 'v1',
      plural: 'deployments',
      kind: 'Deployment',
      namespaced: true,
    }),
    get: async () => {
      read.resolve();
      return { metadata: { resourceVersion: '1' }, spec: { replicas: replicas.now } };
    },
    patch: async (_resource: unknown, _name: unknown, { body }: { body: { spec: { replicas: number } } }) => {
      writes.push(body.spec.replicas);
      written.resolve();
    },
  } as unknown as KubernetesClient;
  const object = { metadata: { name: 'users', namespace: 'shop' }, spec: {} } as BackendObject;
  const standard = defaultBackend('shop/users');
  const backend = {
    ...standard,
    scale: { ...standard.scale, by },
    source: {
      driver: 'kubernetes' as const,
      kubernetes: {
        namespace: 'shop',
        target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'users' },
        service: 'users',
        port: 0,
        autoscaler: null,
        ready: 'probe' as const,
      },
    },
  };
  const standby = new Standby({
    client,
    logger: silentLogger,
    objects: { get: () => object } as unknown as StandbyDeps['objects'],
    services: { get: () => undefined } as unknown as StandbyDeps['services'],
    compile: () => ({ ok: true, backend }),
    pods: { follow: () => {} },
    wanted: (key) => wanted.push(key),
    kedaWakesWithinMs: 20,
  });
  const wake = (): void =>
    standby.receive({
      type: 'wake',
      backend: 'shop/users:metrics',
      route: 'r',
      client: 'c',
      method: 'GET',
      path: '/',
      atMs: 0,
    });
  return { writes, wanted, wake, written: written.promise, read: read.promise };
}

test('a wake is written at once, and told to whoever listens', async () => {
  const { writes, wanted, wake, written } = setup('dormouse', { now: 0 });
  wake();
  assert.deepEqual(wanted, ['shop/users']);
  await written;
  assert.deepEqual(writes, [1]);
});

test("with scale.by keda it is KEDA's to write, and done for it when it does not", async () => {
  const late = setup('keda', { now: 0 });
  late.wake();
  assert.deepEqual([late.wanted, late.writes], [['shop/users'], []]);
  await late.written;
  assert.deepEqual(late.writes, [1]);
  const replicas = { now: 0 };
  const prompt = setup('keda', replicas);
  prompt.wake();
  replicas.now = 1;
  await prompt.read;
  await new Promise(setImmediate);
  assert.deepEqual(prompt.writes, []);
});
