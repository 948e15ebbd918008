/** Events as a real API server takes them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { EventRecorder } from '../../../src/kubernetes/events.ts';
import type { KubernetesObject } from '../../../src/kubernetes/client.ts';
import { CONFIG_MAPS, EVENTS, NAMESPACES } from '../../../src/kubernetes/resources.ts';
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { connectToCluster } from './connect.ts';

interface Event extends KubernetesObject {
  note: string;
  reason: string;
  type: string;
  series?: { count: number };
}

it('an Event is made once, and its repetitions are counted in it', async () => {
  await using test = await connectToCluster();
  const { client } = test;
  await using namespace = await test.cluster.namespace('events');
  const map = await client.create(CONFIG_MAPS, { metadata: { name: 'a' } }, { namespace: namespace.name });
  const recorder = new EventRecorder({
    client,
    controller: 'example.com/tests',
    instance: 'one',
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
  });
  for (let times = 0; times < 5; times += 1) recorder.record(map, 'Warning', 'NoIdleSource', 'Sleep', 'name a query');
  recorder.record(map, 'Normal', 'Asleep', 'Sleep', 'ä'.repeat(1000));
  const space = (await client.get(NAMESPACES, { name: namespace.name }))!;
  recorder.record(space, 'Normal', 'Seen', 'Look', 'an object without a namespace');
  await recorder.stop();
  assert.deepEqual([recorder.counts.failed, recorder.counts.created], [0, 3]);
  const { items } = await client.list<Event>(EVENTS, { namespace: namespace.name });
  const ours = items.map(({ type, reason, series }) => `${type} ${reason} ${series?.count ?? 1}`);
  assert.deepEqual(ours.toSorted(), ['Normal Asleep 1', 'Warning NoIdleSource 5']);
  assert.match(items.find(({ reason }) => reason === 'Asleep')!.note, /^ä+…$/);
  assert.match(await namespace.kubectl('describe', 'configmap', 'a'), /NoIdleSource.*name a query/);
});
