/** Backends of a cluster, step by step, without one; test/cluster/admin does the same on a real one, with processes that are killed. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { silentLogger, systemClock } from '../../../model/ports.ts';
import type { AdminError } from '../admin-error.ts';
import { ObjectsInMemory, refused } from '../fixtures/objects.ts';
import { ClusterTarget } from './cluster-target.ts';
import { deploymentOf, STEP_ANNOTATION } from './made-objects.ts';

const SPEC = { image: 'shop:1', port: 8080, hosts: ['shop.example.com'], env: { A: 'b' }, scale: { max: 3 } };
const ALL = ['Deployment shop', 'Service shop', 'Backend shop', 'HTTPRoute shop'];
const SHOP = { name: 'shop', namespace: '' };

function world({ gateway = true }: { gateway?: boolean } = {}) {
  const cluster = new ObjectsInMemory();
  const target = (beforeStep?: (what: string) => void): ClusterTarget =>
    new ClusterTarget({
      client: cluster.client,
      namespaces: ['shops', 'tools'],
      settings: {
        gateway: gateway ? { namespace: 'edge', name: 'public', sectionName: 'https' } : null,
        scaleBy: 'dormouse',
      },
      check: ({ spec }) =>
        JSON.stringify(spec).includes('"mx"') ? [{ field: '/scale/mx', detail: 'unknown key', next: 'remove it' }] : [],
      clock: systemClock,
      logger: silentLogger,
      ...(beforeStep === undefined ? {} : { beforeStep }),
    });
  const create = (body: object = {}, key: string | null = null) =>
    target().create({ name: 'shop', ...SPEC, ...body }, key);
  return { cluster, target, create };
}

describe('what is made', () => {
  test('everything belongs to the Deployment, and says what was given', async () => {
    const { cluster, create } = world();
    const { view } = await create();
    assert.deepEqual(cluster.names, ALL);
    const { uid, annotations } = cluster.of('Deployment', 'shop').metadata;
    assert.equal(annotations?.[STEP_ANNOTATION], 'ready');
    for (const kind of ['Service', 'Backend', 'HTTPRoute'])
      assert.equal(cluster.of(kind, 'shop').metadata.ownerReferences?.[0]?.uid, uid);
    assert.deepEqual(cluster.of('Backend', 'shop').spec, {
      scale: { by: 'dormouse', max: 3 },
      kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, service: 'shop' },
    });
    assert.deepEqual(cluster.of('HTTPRoute', 'shop').spec['parentRefs'], [
      { namespace: 'edge', name: 'public', sectionName: 'https' },
    ]);
    assert.deepEqual([view.namespace, view.origin, view.spec], ['shops', 'api', SPEC]);
  });

  test('behind a route it begins asleep, in place with one pod, and never below scale.min', () => {
    const place = { namespace: 'shops', name: 'shop' };
    const { hosts: _hosts, ...inPlace } = SPEC;
    const replicas = (spec: object): number => deploymentOf(place, spec as never, {}, null).spec.replicas;
    assert.deepEqual([SPEC, inPlace, { ...SPEC, scale: { min: 2 } }].map(replicas), [0, 1, 2]);
  });

  test('what is wrong is told before anything is made', async () => {
    const { cluster, create } = world({ gateway: false });
    const fields = async (body: object): Promise<string[]> => {
      const error = (await create(body).catch((thrown: unknown) => thrown)) as AdminError;
      assert.equal(error.code, 'DORMOUSE_ADMIN_FIELD');
      return error.errors.map(({ field }) => field);
    };
    assert.deepEqual(await fields({ name: 'Shop', port: 0, image: 'a b', env: { '1': 'x' }, more: 1 }), [
      '/image',
      '/port',
      '/env/1',
      '/name',
      '/more',
    ]);
    assert.deepEqual(await fields({ scale: { mx: 1 } }), ['/scale/mx', '/hosts']);
    assert.deepEqual(
      await fields({ hosts: undefined, args: ['x'.repeat(4000), ...Array(60).fill('y'.repeat(4000))] }),
      [''],
    );
    await assert.rejects(create({ namespace: 'kube-system' }), { code: 'DORMOUSE_ADMIN_NAMESPACE' });
    assert.deepEqual(cluster.names, []);
  });
});

describe('a step that fails', () => {
  for (const what of [
    'create Deployment',
    'create Service',
    'create Backend',
    'create HTTPRoute',
    'patch Deployment',
  ]) {
    test(`${what}: what was made before it is taken back`, async () => {
      const { cluster, create } = world();
      cluster.fault = (write) => {
        if (write.startsWith(what)) throw refused(500, 'InternalError', 'etcd is full');
      };
      await assert.rejects(create(), {
        code: 'DORMOUSE_ADMIN_STEP',
        message: /etcd is full\. Everything that was done was taken back/,
      });
      assert.deepEqual(cluster.names, []);
    });
  }

  test('what can’t be taken back either is named, and taken back later', async () => {
    const { cluster, create, target } = world();
    cluster.fault = (write) => {
      if (write.startsWith('create HTTPRoute') || write.startsWith('delete'))
        throw refused(500, 'InternalError', 'etcd is full');
    };
    await assert.rejects(create(), {
      code: 'DORMOUSE_ADMIN_STEP',
      message: /Left for now: Deployment shop and what belongs to it/,
    });
    assert.deepEqual(cluster.names, ALL.slice(0, 3));
    cluster.fault = () => {};
    await target().recover();
    assert.deepEqual(cluster.names, []);
  });

  test('an object of somebody else is in the way: it stays, and nothing else is left', async () => {
    const { cluster, create } = world();
    const theirs = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'shop', namespace: 'shops' }, spec: {} };
    await cluster.client.create(
      { group: '', version: 'v1', plural: 'services', kind: 'Service', namespaced: true },
      theirs,
    );
    await assert.rejects(create(), { code: 'DORMOUSE_ADMIN_TAKEN', status: 409 });
    assert.deepEqual(cluster.names, ['Service shop']);
  });

  test('what the API server calls invalid is the caller’s to correct', async () => {
    const { cluster, create } = world();
    cluster.fault = (write) => {
      if (write.startsWith('create Backend')) throw refused(422, 'Invalid', 'spec.scale.max: must be at most 1000');
    };
    await assert.rejects(create(), { code: 'DORMOUSE_ADMIN_REFUSED', status: 422 });
  });

  test('of a change: the former spec is in force again', async () => {
    const { cluster, create, target } = world();
    await create();
    let failures = 0;
    cluster.fault = (write) => {
      if (write.startsWith('replace HTTPRoute') && failures++ === 0)
        throw refused(500, 'InternalError', 'etcd is full');
    };
    const change = target().update(SHOP, (spec) => ({ ...spec, image: 'shop:2', hosts: ['new.example.com'] }));
    await assert.rejects(change, { code: 'DORMOUSE_ADMIN_STEP' });
    const { template } = cluster.of('Deployment', 'shop').spec as {
      template: { spec: { containers: { image: string }[] } };
    };
    assert.equal(template.spec.containers[0]!.image, 'shop:1');
    assert.deepEqual(cluster.of('HTTPRoute', 'shop').spec['hostnames'], ['shop.example.com']);
    assert.equal(cluster.of('Deployment', 'shop').metadata.annotations?.[STEP_ANNOTATION], 'ready');
    assert.deepEqual((await target().get(SHOP)).spec, SPEC);
  });
});

describe('changes', () => {
  test('a spec without hosts takes the route away, and one with hosts brings it', async () => {
    const { cluster, create, target } = world();
    await create();
    await target().update(SHOP, ({ hosts: _hosts, ...spec }) => spec);
    assert.deepEqual(cluster.names, ALL.slice(0, 3));
    await target().update(SHOP, (spec) => ({ ...spec, path: '/shop' }));
    assert.deepEqual(cluster.names, ALL);
  });

  test('the same key makes it once, also when it comes twice at the same time; another body is refused', async () => {
    const { cluster, target } = world();
    const own = target();
    const body = { name: 'shop', ...SPEC };
    const both = await Promise.all([own.create(body, 'k'), own.create(body, 'k')]);
    assert.deepEqual(
      both.map(({ isRepeated }) => isRepeated),
      [false, true],
    );
    assert.deepEqual(cluster.names, ALL);
    await assert.rejects(own.create({ ...body, port: 1 }, 'k'), { code: 'DORMOUSE_ADMIN_IDEMPOTENCY_KEY' });
    await assert.rejects(own.create({ ...body, name: 'other' }, 'k'), { code: 'DORMOUSE_ADMIN_IDEMPOTENCY_KEY' });
    await assert.rejects(own.create(body, 'l'), { code: 'DORMOUSE_BACKEND_EXISTS' });
  });

  test('what was being made when the process ended is made anew by the same request', async () => {
    const { cluster, create } = world();
    cluster.fault = (write) => {
      if (write.startsWith('create HTTPRoute') || write.startsWith('delete'))
        throw refused(500, 'InternalError', 'killed');
    };
    await assert.rejects(create({}, 'k'));
    cluster.fault = () => {};
    const before = cluster.of('Deployment', 'shop').metadata.uid;
    const { isRepeated } = await create({}, 'k');
    assert.deepEqual([isRepeated, cluster.names], [false, ALL]);
    assert.notEqual(cluster.of('Deployment', 'shop').metadata.uid, before);
  });
});

describe('deletions', () => {
  test('take away what was made, and nothing that is not the Deployment’s', async () => {
    const { cluster, create, target } = world();
    await create();
    cluster.of('Service', 'shop').metadata.ownerReferences = [];
    const { removed, left } = await target().remove(SHOP);
    assert.deepEqual([removed, left], [['HTTPRoute shop', 'Backend shop', 'Deployment shop'], []]);
    assert.deepEqual(cluster.names, ['Service shop'], 'somebody has made it his own');
    await assert.rejects(target().remove(SHOP), { code: 'DORMOUSE_BACKEND_UNKNOWN' });
  });

  test('Service and Deployment stay until the operator has restored them, and go then', async () => {
    const { cluster, create, target } = world();
    await create();
    cluster.isRestored = false;
    // What was marked for deletion before is gone on with in the same way; that waits two seconds here, not a minute.
    cluster.of('Deployment', 'shop').metadata.annotations![STEP_ANNOTATION] = 'deleting';
    await target().recover();
    assert.deepEqual(cluster.names, ALL.slice(0, 3));
    cluster.isRestored = true;
    await target().recover();
    assert.deepEqual(cluster.names, []);
  });

  test('a Backend of somebody else is not the API’s to change or delete', async () => {
    const { cluster, target } = world();
    const resource = {
      group: 'dormouse.dev',
      version: 'v1alpha1',
      plural: 'backends',
      kind: 'Backend',
      namespaced: true,
    };
    const theirs = {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name: 'mine', namespace: 'tools' },
      spec: {},
    };
    await cluster.client.create(resource, theirs);
    const mine = { name: 'mine', namespace: 'tools' };
    for (const refusal of [target().remove(mine), target().update(mine, (spec) => spec)])
      await assert.rejects(refusal, { code: 'DORMOUSE_BACKEND_READ_ONLY' });
    assert.equal((await target().get(mine)).origin, 'cluster');
    await target().pin(mine, Date.parse('2040-01-01T00:00:00Z'));
    assert.equal((await target().get(mine)).status.awakeUntil, '2040-01-01T00:00:00.000Z');
  });
});
