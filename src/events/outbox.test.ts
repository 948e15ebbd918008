import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TrafficEvent } from '../model/traffic-event.ts';
import { keepingLogger, requestEvent } from './event-bus.contract.ts';
import { Outbox } from './outbox.ts';
import { BusFault, type Transport } from './transport.ts';

interface Batch {
  ids: string[];
  take(refused?: number): void;
  refuse(reason: string): void;
}

/** A bus that does what the test says. */
class TestTransport implements Transport {
  onLost: (fault: BusFault) => void = () => {};
  readonly batches: Batch[] = [];
  connects = 0;
  /** Why it can't be connected to; null: it can. */
  gone: string | null = null;

  async connect(): Promise<void> {
    this.connects++;
    if (this.gone !== null) throw new BusFault(this.gone, 'wait');
  }

  send(events: readonly TrafficEvent[]): Promise<{ refused: number }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ refused: number }>();
    this.batches.push({
      ids: events.map(({ id }) => id),
      take: (refused = 0) => resolve({ refused }),
      refuse: (reason) => reject(new BusFault(reason, 'do something')),
    });
    return promise;
  }

  disconnect(): void {}
}

function events(from: number, to: number): TrafficEvent[] {
  return Array.from({ length: to - from }, (_, at) => requestEvent(`e${from + at}`));
}

function make(buffer = 1000, more: { answerMs?: number } = {}) {
  const transport = new TestTransport();
  const log: string[] = [];
  const outbox = new Outbox({
    transport,
    buffer,
    bus: 'redis://test',
    logger: keepingLogger(log),
    retryMs: 5,
    ...more,
  });
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  };
  const connected = async (count: number): Promise<void> => {
    while (transport.connects < count) await new Promise((resolve) => setTimeout(resolve, 1));
    await turns();
  };
  return { transport, outbox, log, turns, connected };
}

describe('outbox', () => {
  it('hands over in the same turn what a connected bus gets, in batches of 500, in order', async () => {
    const { transport, outbox, turns } = make(10_000);
    await turns();
    outbox.publish(events(0, 1200));
    assert.deepEqual(
      transport.batches.map(({ ids }) => [ids[0], ids.length]),
      [
        ['e0', 500],
        ['e500', 500],
        ['e1000', 200],
      ],
    );
    for (const batch of transport.batches) batch.take();
    await turns();
    assert.deepEqual([outbox.stats.published, outbox.stats.kept, outbox.stats.up], [1200, 0, true]);
    await outbox.close(0);
  });

  it('keeps half of the buffer for what is new while the bus does not answer', async () => {
    const { transport, outbox, turns } = make(100);
    await turns();
    for (let at = 0; at < 10; at++) outbox.publish(events(at * 50, at * 50 + 50));
    assert.equal(outbox.stats.kept, 100);
    assert.deepEqual(
      transport.batches.map(({ ids }) => ids[0]),
      ['e0'],
    );
    assert.equal(outbox.stats.dropped.buffer, 400);
    transport.batches[0]!.take();
    await turns();
    assert.deepEqual([transport.batches[1]!.ids[0], transport.batches[1]!.ids.length], ['e450', 50]);
    await outbox.close(0);
    assert.deepEqual([outbox.stats.dropped.closed, outbox.stats.kept], [50, 0]);
  });

  it('sends again what was on its way, first and in order, and believes a bus that refused when it takes something', async () => {
    const { transport, outbox, log, turns, connected } = make();
    await turns();
    outbox.publish(events(0, 2));
    outbox.publish(events(2, 4));
    transport.batches[1]!.refuse('NOPERM no');
    await turns();
    assert.equal(outbox.stats.up, false);
    outbox.publish(events(4, 6));
    await connected(2);
    assert.deepEqual(transport.batches[2]!.ids, ['e0', 'e1', 'e2', 'e3', 'e4', 'e5']);
    assert.equal(outbox.stats.up, false);
    transport.batches[2]!.refuse('NOPERM no');
    await connected(3);
    assert.equal(log.length, 1, 'the same again is not told');
    transport.batches[3]!.take();
    await turns();
    assert.deepEqual([outbox.stats.up, outbox.stats.published], [true, 6]);
    assert.match(log[0]!, /"reason":"NOPERM no","next":"do something"/);
    assert.match(log[1]!, /^info traffic events are published again/);
    // The answer to a batch that was given up changes nothing.
    transport.batches[0]!.take();
    await turns();
    assert.equal(outbox.stats.published, 6);
    await outbox.close(0);
  });

  it('one that does not answer in time is left; one that is gone is tried again, ever more seldom', async () => {
    const { transport, outbox, log, turns, connected } = make(1000, { answerMs: 20 });
    await turns();
    outbox.publish(events(0, 1));
    await connected(2);
    assert.match(log[0]!, /no answer within 20 ms/);
    transport.gone = 'ECONNREFUSED';
    transport.onLost(new BusFault('the connection was lost', 'look'));
    await connected(4);
    assert.ok(log.some((line) => /ECONNREFUSED/.test(line)));
    transport.gone = null;
    await connected(5);
    transport.batches.at(-1)!.take();
    await turns();
    assert.deepEqual([outbox.stats.up, outbox.stats.published], [true, 1]);
    await outbox.close(0);
  });

  it('the end waits for the bus within its bound', async () => {
    const { transport, outbox, turns } = make();
    await turns();
    outbox.publish(events(0, 3));
    const closed = outbox.close(10_000);
    await turns();
    transport.batches[0]!.take();
    await closed;
    assert.deepEqual([outbox.stats.published, outbox.stats.dropped.closed], [3, 0]);
    outbox.publish(events(3, 5));
    assert.equal(outbox.stats.dropped.closed, 2);
  });

  it('counts what a bus refused for good, and tells it once', async () => {
    const { transport, outbox, log, turns } = make();
    await turns();
    outbox.publish(events(0, 5));
    outbox.refused('a key', 'delete it');
    outbox.refused('a key', 'delete it');
    transport.batches[0]!.take(2);
    await turns();
    assert.deepEqual([outbox.stats.published, outbox.stats.dropped.refused, log.length], [3, 2, 1]);
    await outbox.close(0);
  });
});
