/** Requests to a real API server: each verb, its preconditions, and what its refusals read like. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createClient } from '../../../src/kubernetes/api-client.ts';
import { isReason } from '../../../src/kubernetes/api-error.ts';
import type { KubernetesObject, Scale } from '../../../src/kubernetes/client.ts';
import { CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS } from '../../../src/kubernetes/resources.ts';
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { connectToCluster, createMaps } from './connect.ts';

interface ConfigMap extends KubernetesObject {
  data?: Record<string, string>;
}

interface Deployment extends KubernetesObject {
  spec: { replicas: number };
}

function deployment(name: string): object {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'none:1' }] } },
    },
  };
}

describe('requests to the API server', () => {
  it('create, get, replace, patch, delete, with their preconditions', async () => {
    await using test = await connectToCluster();
    const { client } = test;
    await using namespace = await test.cluster.namespace('client');
    const name = { namespace: namespace.name, name: 'one' };
    const inNamespace = { namespace: namespace.name };

    assert.equal(await client.get(CONFIG_MAPS, name), null);
    const made = await client.create<ConfigMap>(
      CONFIG_MAPS,
      { metadata: { name: 'one' }, data: { a: '1' } },
      inNamespace,
    );
    assert.match(made.metadata.uid, /^[0-9a-f-]{36}$/);
    await assert.rejects(client.create(CONFIG_MAPS, { metadata: { name: 'one' } }, inNamespace), (error) => {
      assert.ok(isReason(error, 'AlreadyExists'));
      assert.match((error as Error).message, /^create configmaps client-\w+\/one: it is there already/);
      return true;
    });

    const replaced = await client.replace<ConfigMap>(CONFIG_MAPS, name, { ...made, data: { a: '2' } });
    assert.deepEqual(replaced.data, { a: '2' });
    await assert.rejects(client.replace(CONFIG_MAPS, name, { ...made, data: { a: '3' } }), (error) => {
      assert.ok(isReason(error, 'Conflict'));
      assert.match((error as Error).message, /changed or replaced since it was read/);
      return true;
    });

    const merged = await client.patch<ConfigMap>(CONFIG_MAPS, name, {
      type: 'merge',
      body: { data: { a: null, b: '4' } },
    });
    assert.deepEqual(merged.data, { b: '4' });
    const operations = [
      { op: 'test', path: '/data/b', value: '4' },
      { op: 'add', path: '/data/c', value: '5' },
    ];
    const added = await client.patch<ConfigMap>(CONFIG_MAPS, name, { type: 'json', body: operations });
    assert.deepEqual(added.data, { b: '4', c: '5' });
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' }, data: { d: '6' } };
    const applied = await client.patch<ConfigMap>(CONFIG_MAPS, name, { type: 'apply', body, fieldManager: 'tests' });
    assert.deepEqual(applied.data, { b: '4', c: '5', d: '6' });
    const others = { type: 'apply', body: { ...body, data: { d: '7' } }, fieldManager: 'others' } as const;
    await assert.rejects(client.patch(CONFIG_MAPS, name, others), /conflict with "tests"/);
    const forced = await client.patch<ConfigMap>(CONFIG_MAPS, name, { ...others, force: true });
    assert.equal(forced.data!['d'], '7');

    await assert.rejects(client.delete(CONFIG_MAPS, name, { uid: '0-0' }), (error) => isReason(error, 'Conflict'));
    const stale = { resourceVersion: made.metadata.resourceVersion };
    await assert.rejects(client.delete(CONFIG_MAPS, name, stale), (error) => isReason(error, 'Conflict'));
    assert.equal(await client.delete(CONFIG_MAPS, name, { uid: made.metadata.uid }), true);
    assert.equal(await client.delete(CONFIG_MAPS, name), false);
  });

  it('the scale subresource, and finding out who has one', async () => {
    await using test = await connectToCluster();
    const { client } = test;
    await using namespace = await test.cluster.namespace('client');
    const name = { namespace: namespace.name, name: 'web' };
    await client.create(DEPLOYMENTS, deployment('web'), { namespace: namespace.name });
    const found = await client.resourceOf('apps/v1', 'Deployment');
    assert.deepEqual(found, { ...DEPLOYMENTS, scalable: true });
    const scale = await client.get<Scale>(DEPLOYMENTS, name, { subresource: 'scale' });
    assert.equal(scale!.kind, 'Scale');
    assert.equal(scale!.status.selector, 'app=web');
    const patch = { type: 'merge', body: { spec: { replicas: 2 } } } as const;
    assert.equal((await client.patch<Scale>(found!, name, patch, { subresource: 'scale' })).spec.replicas, 2);
    assert.equal((await client.get<Deployment>(DEPLOYMENTS, name))!.spec.replicas, 2);
    await assert.rejects(
      client.replace(DEPLOYMENTS, name, { ...scale, spec: { replicas: 3 } }, { subresource: 'scale' }),
      (error) => isReason(error, 'Conflict'),
    );
    assert.equal((await client.resourceOf('v1', 'ConfigMap'))!.scalable, false);
    assert.equal((await client.resourceOf('v1', 'Namespace'))!.namespaced, false);
    assert.equal(await client.resourceOf('v1', 'Nothing'), null);
    assert.equal(await client.resourceOf('nobody.example.com/v1', 'Rollout'), null);
  });

  it('refusals say what to do', async () => {
    await using test = await connectToCluster();
    const { client, config } = test;
    await using namespace = await test.cluster.namespace('client');
    const name = { namespace: namespace.name, name: 'web' };
    await client.create(DEPLOYMENTS, deployment('web'), { namespace: namespace.name });
    const options = { logger: silentLogger, clock: systemClock, random: Math.random };

    const impersonate = { user: `system:serviceaccount:${namespace.name}:poor`, groups: [] };
    const poor = createClient({ ...config, impersonate }, options);
    const patch = { type: 'merge', body: { spec: { replicas: 2 } } } as const;
    await assert.rejects(
      poor.patch(DEPLOYMENTS, name, patch, { subresource: 'scale' }),
      new RegExp(
        `give the service account "poor" in namespace "${namespace.name}" the verb "patch" on "deployments/scale" of API group "apps" in namespace "${namespace.name}"`,
      ),
    );
    await assert.rejects(poor.list(PODS), /the verb "list" on "pods" of API group "" \(RBAC/);
    await poor.close();

    const credentials = {
      token: 'wrong',
      tls: { ...(await config.credentials()).tls, cert: null, key: null },
      tlsRevision: 1,
    };
    const stranger = createClient({ ...config, credentials: async () => credentials }, options);
    await assert.rejects(stranger.get(PODS, name), (error) => {
      assert.ok(isReason(error, 'Unauthorized'));
      assert.match((error as Error).message, /renew those of context "test"/);
      return true;
    });
    await stranger.close();

    await assert.rejects(
      client.patch(DEPLOYMENTS, name, { type: 'merge', body: { spec: { replicas: -1 } } }),
      (error) => {
        assert.ok(isReason(error, 'Invalid'));
        assert.match((error as Error).message, /not valid: spec\.replicas: .*greater than or equal to 0/);
        return true;
      },
    );
    const unknown = { group: 'nobody.example.com', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };
    await assert.rejects(client.list(unknown), /the CRD "things\.nobody\.example\.com" is not installed/);
    await assert.rejects(client.create(PODS, { metadata: { name: 'x' } }, { namespace: 'no-such' }), /no-such/);
    const large = { metadata: { name: 'large' }, data: { text: 'x'.repeat(4 * 1024 * 1024) } };
    await assert.rejects(client.create(CONFIG_MAPS, large, { namespace: namespace.name }), /too large|Too long/);
    assert.equal((await client.get(NAMESPACES, { name: namespace.name }))!.kind, 'Namespace');
  });

  it('two thousand objects come in pages', async () => {
    await using test = await connectToCluster();
    const { client } = test;
    await using namespace = await test.cluster.namespace('client');
    await createMaps(client, namespace.name, 2000);
    const before = client.counts.reads;
    const { items, resourceVersion } = await client.list<ConfigMap>(CONFIG_MAPS, {
      namespace: namespace.name,
      labelSelector: 'of=test',
    });
    assert.equal(client.counts.reads - before, 4);
    assert.equal(new Set(items.map(({ metadata }) => metadata.name)).size, 2000);
    assert.match(resourceVersion, /^\d+$/);
    assert.deepEqual([items[0]!.apiVersion, items[0]!.kind], ['v1', 'ConfigMap']);
  });
});
