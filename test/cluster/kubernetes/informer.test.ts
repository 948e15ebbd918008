/** Informers of a real API server, through what happens to connections and to etcd. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ApiClient } from '../../../src/kubernetes/api-client.ts';
import type { Informer, KubernetesObject } from '../../../src/kubernetes/client.ts';
import { CONFIG_MAPS } from '../../../src/kubernetes/resources.ts';
import { connectToCluster, createMaps, untilInformed } from './connect.ts';
import { Relay } from './relay.ts';

interface Followed extends Disposable {
  informer: Informer<KubernetesObject>;
  changes: string[];
}

async function follow(client: ApiClient, namespace: string): Promise<Followed> {
  const informer = client.informer(CONFIG_MAPS, { namespace, labelSelector: 'of=test' });
  const changes: string[] = [];
  informer.onChange(({ type, object }) => changes.push(`${type} ${object.metadata.name}`));
  const stop = new AbortController();
  informer.start(stop.signal);
  await informer.synced(AbortSignal.timeout(30_000));
  return { informer, changes, [Symbol.dispose]: () => stop.abort() };
}

describe('an informer of the API server', () => {
  it('two thousand objects, changes of them, and what goes', async () => {
    await using test = await connectToCluster();
    const { client } = test;
    await using namespace = await test.cluster.namespace('informer');
    await createMaps(client, namespace.name, 2000);
    using followed = await follow(client, namespace.name);
    const { informer, changes } = followed;
    assert.equal(informer.size, 2000);
    changes.length = 0;
    const name = { namespace: namespace.name, name: 'map-7' };
    await client.patch(CONFIG_MAPS, name, { type: 'merge', body: { data: { a: '1' } } });
    await client.patch(
      CONFIG_MAPS,
      { ...name, name: 'map-8' },
      { type: 'merge', body: { metadata: { labels: null } } },
    );
    await client.delete(CONFIG_MAPS, { ...name, name: 'map-9' });
    await untilInformed(informer, () => changes.length === 3);
    assert.deepEqual(changes, ['changed map-7', 'removed map-8', 'removed map-9']);
    assert.equal(informer.size, 1998);
  });

  it('connections that are cut again and again lose no change', async () => {
    await using direct = await connectToCluster();
    await using namespace = await direct.cluster.namespace('informer');
    await using relay = await Relay.to(direct.cluster.server);
    await using through = await connectToCluster(
      { informerTimes: { firstBackoffMs: 10, longestBackoffMs: 100 } },
      relay.address,
    );
    using followed = await follow(through.client, namespace.name);
    const { informer, changes } = followed;
    for (let round = 0; round < 10; round += 1) {
      relay.cut();
      const name = `round-${round}`;
      const inNamespace = { namespace: namespace.name };
      await direct.client.create(CONFIG_MAPS, { metadata: { name, labels: { of: 'test' } } }, inNamespace);
      relay.cut();
      if (round % 2 === 1) await direct.client.delete(CONFIG_MAPS, { ...inNamespace, name: `round-${round - 1}` });
      await untilInformed(informer, () => informer.get(namespace.name, name) !== undefined);
    }
    await untilInformed(informer, () => informer.size === 5);
    const added = changes.filter((change) => change.startsWith('added'));
    assert.equal(new Set(added).size, 10, 'each was told once');
    assert.equal(added.length, 10);
    assert.equal(changes.length, 15);
    assert.ok(relay.connections >= 10);
    // It went on from where it was instead of listing again.
    assert.ok(through.client.counts.reads <= 2, `${through.client.counts.reads} lists`);
  });

  it('a connection on which nothing comes any more, not even an end, is noticed', async () => {
    await using direct = await connectToCluster();
    await using namespace = await direct.cluster.namespace('informer');
    await using relay = await Relay.to(direct.cluster.server);
    await using through = await connectToCluster({ informerTimes: { silenceMs: 1000 } }, relay.address);
    using followed = await follow(through.client, namespace.name);
    const { informer } = followed;
    const create = (name: string) =>
      direct.client.create(CONFIG_MAPS, { metadata: { name, labels: { of: 'test' } } }, { namespace: namespace.name });
    await create('seen');
    await untilInformed(informer, () => informer.size === 1);
    relay.freeze();
    const frozenAtMs = performance.now();
    await create('not-seen');
    await untilInformed(informer, () => informer.size === 2);
    assert.ok(performance.now() - frozenAtMs > 500, 'the connection was not frozen');
  });

  it('the API server starts anew and etcd is compacted while nobody watches: the differences are told, and only they', async () => {
    await using direct = await connectToCluster();
    const { client, cluster } = direct;
    await using namespace = await cluster.namespace('informer');
    await createMaps(client, namespace.name, 20);
    await using relay = await Relay.to(cluster.server);
    await using through = await connectToCluster({}, relay.address);
    using followed = await follow(through.client, namespace.name);
    const { informer, changes } = followed;
    changes.length = 0;
    const listsBefore = through.client.counts.reads;
    relay.shut();
    const name = (index: number) => ({ namespace: namespace.name, name: `map-${index}` });
    await client.patch(CONFIG_MAPS, name(2), { type: 'merge', body: { data: { a: '1' } } });
    await client.delete(CONFIG_MAPS, name(3));
    await client.delete(CONFIG_MAPS, name(4));
    await client.create(
      CONFIG_MAPS,
      { metadata: { name: 'map-4', labels: { of: 'test' } } },
      { namespace: namespace.name },
    );
    // The API server remembers the last events itself: only a new one has to ask etcd.
    await cluster.restartApiServer();
    await cluster.compactEtcd();
    relay.open();
    await untilInformed(informer, () => changes.length >= 4, 60_000);
    assert.deepEqual(changes.toSorted(), ['added map-4', 'changed map-2', 'removed map-3', 'removed map-4']);
    assert.equal(informer.size, 19);
    assert.ok(through.client.counts.reads > listsBefore, 'it listed again');
  });
});
