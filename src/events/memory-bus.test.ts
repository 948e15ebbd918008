import assert from 'node:assert/strict';
import { it } from 'node:test';
import { silentLogger } from '../model/ports.ts';
import { busContract, Heard, requestEvent } from './event-bus.contract.ts';
import { MemoryBus } from './memory-bus.ts';

busContract('memory', () =>
  Promise.resolve({
    open: ({ maxLength = 10_000, logger = silentLogger }) => Promise.resolve(new MemoryBus(maxLength, logger)),
    isShared: false,
    slack: 0,
  }),
);

it('a group that lags behind by more than is kept goes on with the oldest', async () => {
  const bus = new MemoryBus(10, silentLogger);
  const heard = new Heard();
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  bus.subscribe({ group: 'slow', consumer: 'one', backend: null, from: 'new', batch: 1 }, async (batch) => {
    heard.take(batch);
    await gate;
  });
  bus.publish([requestEvent('first')]);
  await heard.atLeast(1);
  for (let at = 0; at < 100; at++) bus.publish([requestEvent(`e${at}`)]);
  open();
  await heard.atLeast(11);
  assert.deepEqual(heard.ids.slice(0, 3), ['first', 'e90', 'e91']);
  await bus.close();
});

it('groups are bounded: one without a consumer makes room, and when all have one it says so', async () => {
  const bus = new MemoryBus(10, silentLogger);
  const subscribe = (group: string) => bus.subscribe({ group, consumer: 'one', backend: null, from: 'new' }, () => {});
  const first = subscribe('g0');
  for (let at = 1; at < 64; at++) subscribe(`g${at}`);
  assert.throws(() => subscribe('more'), /at most 64 groups/);
  await first.close();
  subscribe('more');
  await bus.close();
});

it('subscribers are not run by whoever publishes', async () => {
  const bus = new MemoryBus(10, silentLogger);
  const heard = new Heard();
  bus.subscribe({ group: 'g', consumer: 'one', backend: null, from: 'new' }, (batch) => heard.take(batch));
  await new Promise(setImmediate);
  bus.publish([requestEvent('e')]);
  assert.equal(heard.ids.length, 0);
  await heard.atLeast(1);
  await bus.close();
});
