/** What every bus of traffic events does: run in memory by memory-bus.test.ts, against real Redis and NATS by test/services/events-*.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Logger } from '../model/ports.ts';
import { silentLogger } from '../model/ports.ts';
import type { RequestEvent, TrafficEvent } from '../model/traffic-event.ts';
import type { Delivery, EventBus, SubscribeOptions } from './event-bus.ts';

export interface BusUnderTest {
  /** A bus of its own on the place that all tests share. `stream`: unique to the test. */
  open(options: { stream: string; maxLength?: number; buffer?: number; logger?: Logger }): Promise<EventBus>;
  /** Another process's end of the same stream; null: there is none (memory). */
  isShared: boolean;
  /** What is trimmed goes in steps this large. */
  slack: number;
}

const BOUND = { timeout: 30_000 };
let number = 0;

export function requestEvent(id: string, backend = 'shop'): RequestEvent {
  return {
    v: 1,
    type: 'request',
    id,
    gateway: 'here',
    backend,
    route: 'r',
    atMs: 1,
    status: 200,
    durationMs: 0.25,
    bytesIn: 1,
    bytesOut: 2,
    cold: false,
  };
}

function wakeEvent(id: string, backend = 'shop'): TrafficEvent {
  const by = { method: 'GET', host: 'shop.example.com', path: '/' };
  return { v: 1, type: 'wake', id, gateway: 'here', backend, atMs: 1, route: 'r', requestId: 'q', by };
}

function ids(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `e${from + index}`);
}

/** What a subscriber was given, and a promise for each number of it. */
export class Heard {
  readonly deliveries: Delivery[] = [];
  readonly #waiting: { count: number; resolve: () => void }[] = [];

  take(batch: readonly Delivery[]): void {
    this.deliveries.push(...batch);
    for (const { count, resolve } of this.#waiting) if (this.deliveries.length >= count) resolve();
  }

  get ids(): string[] {
    return this.deliveries.map(({ event }) => event.id);
  }

  /** Resolves when so many have come in all. */
  async atLeast(count: number): Promise<void> {
    if (this.deliveries.length >= count) return;
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
  }
}

export function busContract(name: string, start: () => Promise<BusUnderTest>): void {
  describe(`${name}: contract`, () => {
    let under: BusUnderTest;
    const options = (more: Partial<SubscribeOptions> = {}): SubscribeOptions => ({
      group: 'test',
      consumer: 'one',
      backend: null,
      from: 'new',
      ...more,
    });
    const test = (title: string, body: (bus: EventBus, stream: string) => Promise<void>, more: object = {}): void => {
      it(title, BOUND, async () => {
        under ??= await start();
        const stream = `test.s${++number}`;
        const bus = await under.open({ stream, ...more });
        try {
          await body(bus, stream);
        } finally {
          await bus.close(1000);
        }
      });
    };
    const listen = async (bus: EventBus, more: Partial<SubscribeOptions> = {}, acks = true) => {
      const heard = new Heard();
      const subscription = bus.subscribe(options(more), (batch) => {
        if (acks) for (const delivery of batch) delivery.ack();
        heard.take(batch);
      });
      await subscription.ready;
      return { heard, subscription };
    };

    test('events come as they were published, in their order, each group gets all', async (bus) => {
      const one = await listen(bus);
      const other = await listen(bus, { group: 'other' });
      const events = [wakeEvent('w'), ...ids(0, 30).map((id) => requestEvent(id, id > 'e2' ? 'shop' : 'a.b'))];
      bus.publish(events.slice(0, 3));
      bus.publish(events.slice(3));
      for (const { heard } of [one, other]) {
        await heard.atLeast(31);
        assert.deepEqual(
          heard.deliveries.map(({ event }) => event),
          events,
        );
        assert.ok(heard.deliveries.every(({ again }) => !again));
      }
    });

    test('consumers of one group share the events', async (bus) => {
      const one = await listen(bus, { batch: 1 });
      const two = await listen(bus, { batch: 1, consumer: 'two' });
      bus.publish(ids(0, 100).map((id) => requestEvent(id)));
      await new Promise<void>((resolve) => {
        const look = (): void => {
          if (one.heard.ids.length + two.heard.ids.length >= 100) resolve();
          else setImmediate(look);
        };
        look();
      });
      assert.deepEqual([...one.heard.ids, ...two.heard.ids].toSorted(), ids(0, 100).toSorted());
    });

    test('one backend: its events only', async (bus) => {
      const { heard } = await listen(bus, { backend: 'shop.v2' });
      const namespaced = await listen(bus, { backend: 'prod/shop' });
      bus.publish(
        ['shop', 'shop.v2', 'prod/shop', 'shop.v2.x', 'shop.v2'].map((name, at) => requestEvent(`e${at}`, name)),
      );
      await heard.atLeast(2);
      await namespaced.heard.atLeast(1);
      assert.deepEqual([heard.ids, namespaced.heard.ids], [['e1', 'e4'], ['e2']]);
    });

    test('a new group begins with what comes, or with the oldest that is kept', async (bus) => {
      const before = await listen(bus);
      bus.publish([requestEvent('old')]);
      await before.heard.atLeast(1);
      const now = await listen(bus, { group: 'now' });
      const all = await listen(bus, { group: 'all', from: 'oldest' });
      bus.publish([requestEvent('new')]);
      await Promise.all([now.heard.atLeast(1), all.heard.atLeast(2)]);
      assert.deepEqual([now.heard.ids, all.heard.ids], [['new'], ['old', 'new']]);
    });

    test('a consumer that restarts loses nothing and repeats only what it had not acknowledged', async (bus) => {
      const heard = new Heard();
      const first = bus.subscribe(options(), (batch) => {
        for (const delivery of batch) if (Number(delivery.event.id.slice(1)) % 3 !== 0) delivery.ack();
        heard.take(batch);
      });
      await first.ready;
      bus.publish(ids(0, 30).map((id) => requestEvent(id)));
      await heard.atLeast(30);
      await first.close();
      bus.publish(ids(30, 40).map((id) => requestEvent(id)));
      const second = await listen(bus);
      await second.heard.atLeast(20);
      const repeated = second.heard.deliveries.filter(({ again }) => again).map(({ event }) => event.id);
      assert.deepEqual(
        repeated.toSorted(),
        ids(0, 30)
          .filter((_, at) => at % 3 === 0)
          .toSorted(),
      );
      assert.deepEqual(
        second.heard.ids.filter((id) => !repeated.includes(id)),
        ids(30, 40),
      );
      await second.subscription.close();
      const third = await listen(bus);
      bus.publish([requestEvent('last')]);
      await third.heard.atLeast(1);
      assert.deepEqual(third.heard.ids, ['last']);
    });

    test('what a consumer that hangs does not acknowledge in time is given to another', async (bus) => {
      const hung = new Heard();
      const { promise: gate, resolve: goOn } = Promise.withResolvers<void>();
      const hanging = bus.subscribe(options({ consumer: 'hanging', reclaimMs: 300 }), async (batch) => {
        hung.take(batch);
        await gate;
      });
      await hanging.ready;
      bus.publish(ids(0, 5).map((id) => requestEvent(id)));
      await hung.atLeast(1);
      const { heard } = await listen(bus, { consumer: 'well', reclaimMs: 300 });
      while (new Set(heard.ids).size < 5) await heard.atLeast(heard.ids.length + 1);
      assert.deepEqual(
        heard.deliveries
          .filter(({ again }) => again)
          .map(({ event }) => event.id)
          .toSorted(),
        hung.ids.toSorted(),
      );
      goOn();
      await hanging.close();
    });

    test('a handler that fails gets its events again, and those that come meanwhile', async (bus) => {
      const failed = new Heard();
      const heard = new Heard();
      const subscription = bus.subscribe(options({ reclaimMs: 300 }), (batch) => {
        if (failed.ids.length === 0) {
          failed.take(batch);
          throw new Error('as the test wants it');
        }
        for (const delivery of batch) delivery.ack();
        heard.take(batch);
      });
      await subscription.ready;
      bus.publish([requestEvent('first')]);
      await failed.atLeast(1);
      bus.publish([requestEvent('second')]);
      await heard.atLeast(2);
      assert.deepEqual(heard.ids, ['second', 'first']);
    });

    test('a slow handler is not given the next batch before it is done', async (bus) => {
      let running = 0;
      let most = 0;
      const heard = new Heard();
      const subscription = bus.subscribe(options({ batch: 10 }), async (batch) => {
        assert.ok(batch.length <= 10);
        most = Math.max(most, ++running);
        await new Promise(setImmediate);
        running--;
        for (const delivery of batch) delivery.ack();
        heard.take(batch);
      });
      await subscription.ready;
      for (let at = 0; at < 10; at++) bus.publish(ids(at * 10, at * 10 + 10).map((id) => requestEvent(id)));
      await heard.atLeast(100);
      assert.equal(most, 1);
      assert.deepEqual(heard.ids, ids(0, 100));
    });

    test(
      'old events make room for new ones',
      async (bus) => {
        const watch = await listen(bus);
        for (let at = 0; at < 20; at++) bus.publish(ids(at * 100, at * 100 + 100).map((id) => requestEvent(id)));
        bus.publish([requestEvent('last')]);
        while (watch.heard.ids.at(-1) !== 'last') await watch.heard.atLeast(watch.heard.ids.length + 1);
        const { heard } = await listen(bus, { group: 'late', from: 'oldest' });
        while (heard.ids.at(-1) !== 'last') await heard.atLeast(heard.ids.length + 1);
        assert.ok(heard.ids.length >= 100 && heard.ids.length <= 100 + under.slack, `${heard.ids.length}`);
      },
      { maxLength: 100 },
    );

    test('names and numbers that no bus takes are refused at once', async (bus) => {
      for (const wrong of [
        { group: 'a b' },
        { group: '' },
        { consumer: 'a.b' },
        { batch: 0 },
        { batch: 5000 },
        { reclaimMs: 1 },
      ])
        assert.throws(() => bus.subscribe(options(wrong), () => {}), RangeError);
    });

    test('counts what it has published', async (bus) => {
      const { heard } = await listen(bus);
      bus.publish(ids(0, 7).map((id) => requestEvent(id)));
      await heard.atLeast(7);
      await bus.close(1000);
      const { published, kept, dropped } = bus.stats;
      assert.deepEqual([published, kept, dropped], [7, 0, { buffer: 0, refused: 0, closed: 0, worker: 0 }]);
    });

    it('another process publishes and reads the same stream', BOUND, async (context) => {
      under ??= await start();
      if (!under.isShared) return context.skip('it is of one process');
      const stream = `test.s${++number}`;
      const [publishing, reading] = await Promise.all([under.open({ stream }), under.open({ stream })]);
      const { heard } = await listen(reading);
      publishing.publish([wakeEvent('w')]);
      await heard.atLeast(1);
      assert.deepEqual(heard.deliveries[0]!.event, wakeEvent('w'));
      await Promise.all([publishing.close(1000), reading.close(1000)]);
    });
  });
}

/** A logger that keeps what it is told, as `level message fields`. */
export function keepingLogger(lines: string[]): Logger {
  const keep =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}): void =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  return { ...silentLogger, warn: keep('warn'), info: keep('info'), error: keep('error') };
}
