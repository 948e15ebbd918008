import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { inProcessLink } from '../link/in-process.ts';
import type { BackendUpdate, DownMessage, UpMessage, WakeRequest } from '../link/messages.ts';
import { defaultEvents } from '../model/config.fixture.ts';
import type { EventsConfig } from '../model/config.ts';
import type { DemandWindow } from '../model/demand.ts';
import { silentLogger } from '../model/ports.ts';
import { readTrafficEvent, type TrafficEvent } from '../model/traffic-event.ts';
import type { BusStats, EventBus } from './event-bus.ts';
import { noDrops } from './event-bus.ts';
import { tapGateway, tapWorker } from './link-tap.ts';
import { TrafficEvents } from './traffic-events.ts';

class RecordingBus implements EventBus {
  readonly kind = 'redis';
  readonly events: TrafficEvent[] = [];
  readonly stats: BusStats = { up: true, kept: 0, published: 0, dropped: { ...noDrops(), buffer: 2 } };
  closedWithin: number | null = null;

  publish(events: readonly TrafficEvent[]): void {
    this.events.push(...events);
    this.stats.published += events.length;
  }

  subscribe(): never {
    throw new Error('nobody reads here');
  }

  close(withinMs: number): Promise<void> {
    this.closedWithin = withinMs;
    return Promise.resolve();
  }
}

const REDIS: EventsConfig = {
  ...defaultEvents(),
  bus: { kind: 'redis', url: 'redis://127.0.0.1', passwordFile: null, credentialsFile: null, tls: null },
};

async function world() {
  let wallMs = 1_000_000;
  const buses: RecordingBus[] = [];
  const events = new TrafficEvents({
    gateway: 'here',
    clock: { nowMs: () => wallMs, wallMs: () => wallMs },
    logger: silentLogger,
    random: () => 0.5,
    createBus: () => {
      buses.push(new RecordingBus());
      return Promise.resolve(buses.at(-1)!);
    },
  });
  await events.configure(REDIS);
  return { events, buses, bus: buses[0]!, pass: (ms: number) => (wallMs += ms) };
}

function wake(backend: string, path = '/cart'): WakeRequest {
  const by = { route: 'r', client: '192.0.2.1', method: 'GET', path, host: 'shop.example.com', requestId: 'q1' };
  return { type: 'wake', backend, atMs: 999_000, ...by };
}

function update(backend: string, phase: BackendUpdate['phase']): BackendUpdate {
  return { type: 'backend', backend, version: 1, phase, endpoints: [], crash: null, wakingSinceMs: 0 };
}

function window(backend: string, more: Partial<DemandWindow> = {}): DemandWindow {
  const counts = { requests: 0, errors: 0, concurrencyMs: 0, inFlight: 0, held: 0, tunnels: 0 };
  return { backend, elapsedMs: 100, ...counts, lastActivityMs: 0, ...more };
}

/** A worker's link with the tap at the supervisor's end. */
function tapped(events: TrafficEvents, id = 'worker-1') {
  const [gateway, controller] = inProcessLink();
  const heard: UpMessage[] = [];
  const link = tapWorker(controller, id, events);
  link.onMessage((message) => heard.push(message));
  return { link, gateway, heard, turn: () => new Promise(setImmediate) };
}

describe('wakes', () => {
  it('are published before the controller hears of them, once a wake, with what was asked', async () => {
    const { events, bus } = await world();
    const [gateway, controller] = inProcessLink();
    const order: string[] = [];
    tapWorker(controller, 'worker-1', events).onMessage((message) =>
      order.push(`${message.type} after ${bus.events.length}`),
    );
    gateway.send(wake('shop'));
    gateway.send(wake('shop'));
    await new Promise(setImmediate);
    assert.deepEqual(order, ['wake after 1', 'wake after 1']);
    const { id, ...rest } = bus.events[0]!;
    assert.match(id, /^here-[a-z0-9]+-0$/);
    assert.deepEqual(rest, {
      v: 1,
      type: 'wake',
      gateway: 'here',
      backend: 'shop',
      atMs: 999_000,
      route: 'r',
      requestId: 'q1',
      by: { method: 'GET', host: 'shop.example.com', path: '/cart' },
    });
    assert.deepEqual(readTrafficEvent(JSON.stringify(bus.events[0])), bus.events[0]);
  });

  it('one for all workers; the next after it has been awake; none for whoever comes while it wakes', async () => {
    const { events, bus } = await world();
    const [one, two] = [tapped(events, 'worker-1'), tapped(events, 'worker-2')];
    const say = async (from: typeof one, message: UpMessage) => {
      from.gateway.send(message);
      await from.turn();
    };
    await say(one, wake('shop'));
    for (const { link } of [one, two]) link.send(update('shop', 'waking'));
    await say(two, wake('shop', '/late'));
    assert.equal(bus.events.length, 1);
    for (const phase of ['awake', 'falling-asleep', 'asleep'] as const) one.link.send(update('shop', phase));
    await say(two, wake('shop', '/again'));
    await say(one, wake('other'));
    assert.deepEqual(
      bus.events.map(({ backend }) => backend),
      ['shop', 'shop', 'other'],
    );
  });

  it('a wake that failed is followed by another; a backend that somebody else runs is not woken', async () => {
    const { events, bus } = await world();
    const { link, gateway, turn } = tapped(events);
    const backends = [
      { name: 'shop', driver: 'process' },
      { name: 'static', driver: 'static' },
    ];
    link.send({ type: 'configure', version: 1, config: { backends } as never });
    gateway.send(wake('static'));
    gateway.send(wake('shop'));
    await turn();
    link.send(update('shop', 'waking'));
    link.send(update('shop', 'asleep'));
    gateway.send(wake('shop'));
    await turn();
    assert.deepEqual(
      bus.events.map(({ backend }) => backend),
      ['shop', 'shop'],
    );
  });

  it('long values are cut', async () => {
    const { events, bus } = await world();
    const long = 'x'.repeat(10_000);
    events.wake({ backend: 'shop', route: 'r', requestId: long, method: long, host: long, path: `/${long}`, atMs: 1 });
    const text = JSON.stringify(bus.events[0]);
    assert.ok(text.length < 1200, `${text.length}`);
  });
});

describe('windows', () => {
  it('those of all workers and ports of a backend are one, a second later; zeros close it', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const { events, bus, pass } = await world();
      events.windows('worker-1', [
        window('shop', { requests: 2, concurrencyMs: 30.4, inFlight: 1, bytesIn: 10, bytesOut: 5 }),
      ]);
      pass(100);
      events.windows('worker-2', [
        window('shop', { requests: 3, errors: 1, held: 4 }),
        window('shop:admin', { tunnels: 1 }),
      ]);
      pass(100);
      events.windows('worker-1', [window('shop', { requests: 1, inFlight: 2 })]);
      pass(800);
      mock.timers.tick(1000);
      assert.equal(bus.events.length, 1);
      const { id: _id, ...rest } = bus.events[0]!;
      assert.deepEqual(rest, {
        v: 1,
        type: 'window',
        gateway: 'here',
        backend: 'shop',
        fromMs: 999_900,
        toMs: 1_001_000,
        requests: 6,
        concurrencyMs: 30,
        errors: 1,
        bytesIn: 10,
        bytesOut: 5,
        inFlight: 2,
        held: 4,
        tunnels: 1,
      });
      assert.deepEqual(readTrafficEvent(JSON.stringify(bus.events[0])), bus.events[0]);
      mock.timers.tick(10_000);
      assert.equal(bus.events.length, 1, 'nothing was said');
      events.windows('worker-1', [window('shop')]);
      mock.timers.tick(1000);
      assert.deepEqual([bus.events[1]!.type, (bus.events[1] as { held: number }).held], ['window', 4]);
      events.gone('worker-2');
      mock.timers.tick(1000);
      assert.deepEqual((bus.events[2] as { held: number; tunnels: number }).held, 0);
    } finally {
      mock.timers.reset();
    }
  });

  it('zeros close one in which all began and ended, though nobody says more', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const { events, bus, pass } = await world();
      events.windows('worker-1', [window('shop', { requests: 2 })]);
      events.windows('worker-1', [window('shop')]);
      for (let second = 0; second < 5; second++) {
        pass(1000);
        mock.timers.tick(1000);
      }
      const said = bus.events.map((event) => event.type === 'window' && [event.requests, event.fromMs, event.toMs]);
      assert.deepEqual(said, [
        [2, 999_900, 1_001_000],
        [0, 1_001_000, 1_002_000],
      ]);
    } finally {
      mock.timers.reset();
    }
  });

  it('the last ones are published at the end', async () => {
    const { events, bus } = await world();
    events.windows('worker-1', [window('shop', { requests: 1 })]);
    await events.close(100);
    assert.deepEqual([bus.events.length, bus.closedWithin], [1, 100]);
  });
});

describe('requests', () => {
  it('come in batches, are one event each, and go no further', async () => {
    const { events, bus } = await world();
    const { gateway, heard, turn } = tapped(events);
    gateway.send({
      type: 'requests',
      startMs: 5000,
      sets: [
        { backend: 'shop:grpc', route: 'r', ended: [0, 123, 200, 10, 20, 1, 7, 50, 503, 0, 0, 0] },
        { backend: 'other', route: 's', ended: [3, 1, 0, 0, 0, 0] },
      ],
      dropped: 4,
    });
    await turn();
    assert.deepEqual(heard, []);
    assert.deepEqual(
      bus.events.map((event) => {
        const { id: _id, v: _v, gateway: _gateway, type: _type, ...rest } = event;
        return rest;
      }),
      [
        {
          backend: 'shop',
          route: 'r',
          atMs: 5000,
          durationMs: 1.23,
          status: 200,
          bytesIn: 10,
          bytesOut: 20,
          cold: true,
        },
        { backend: 'shop', route: 'r', atMs: 5007, durationMs: 0.5, status: 503, bytesIn: 0, bytesOut: 0, cold: false },
        { backend: 'other', route: 's', atMs: 5003, durationMs: 0.01, status: 0, bytesIn: 0, bytesOut: 0, cold: false },
      ],
    );
    assert.equal(new Set(bus.events.map(({ id }) => id)).size, 3);
    const dropped = events.families().find(({ name }) => name === 'dormouse_events_dropped_total')!;
    assert.deepEqual(Object.fromEntries(dropped.series.map(({ labels, value }) => [labels['reason'], value])), {
      buffer: 2,
      refused: 0,
      closed: 0,
      worker: 4,
    });
  });
});

describe('a gateway that publishes itself', () => {
  it('hears of the bus in its configuration, and what it says goes on to the operator, but for single requests', async () => {
    const { events, bus } = await world();
    const [gateway, controller] = inProcessLink();
    const operator: string[] = [];
    const heard: DownMessage[] = [];
    controller.onMessage(({ type }) => operator.push(type));
    const configured: number[] = [];
    const link = tapGateway(gateway, 'pod', events, ({ version }) => configured.push(version));
    link.onMessage((message) => heard.push(message));
    controller.send({ type: 'configure', version: 3, config: { backends: [] } as never });
    controller.send(update('default/shop', 'asleep'));
    await new Promise(setImmediate);
    link.send(wake('default/shop'));
    assert.equal(bus.events.length, 1, 'before anything else happens');
    link.send({
      type: 'requests',
      startMs: 0,
      sets: [{ backend: 'default/shop', route: 'r', ended: [0, 1, 200, 0, 0, 0] }],
      dropped: 0,
    });
    link.send({ type: 'demand', windows: [] });
    await new Promise(setImmediate);
    assert.deepEqual(operator, ['wake', 'demand']);
    assert.deepEqual(
      heard.map(({ type }) => type),
      ['configure', 'backend'],
    );
    assert.deepEqual([configured, bus.events.length], [[3], 2]);
  });
});

describe('another configuration', () => {
  it('the same bus stays; another takes its place, what was counted goes on', async () => {
    const { events, buses, bus } = await world();
    await events.configure({ ...REDIS, each: true });
    assert.equal(buses.length, 1);
    events.wake({ backend: 'shop', route: '', requestId: '', method: 'GET', host: '', path: '/', atMs: 1 });
    await events.configure({ ...REDIS, stream: 'other' });
    assert.equal(buses.length, 2);
    assert.equal(bus.closedWithin, 2000);
    events.wake({ backend: 'shop2', route: '', requestId: '', method: 'GET', host: '', path: '/', atMs: 1 });
    assert.deepEqual(
      buses.map((one) => one.events.length),
      [1, 1],
    );
    await new Promise(setImmediate);
    const value = (name: string) => events.families().find((family) => family.name === name)!.series[0]!.value;
    assert.equal(value('dormouse_events_published_total'), 2);
    await events.configure({ ...REDIS, bus: { kind: 'memory' } });
    assert.deepEqual(events.families().find(({ name }) => name === 'dormouse_events_bus_up')!.series, [
      { labels: { bus: 'memory' }, value: 1 },
    ]);
  });

  it('readers in this process get everything, whatever the bus is', async () => {
    const { events } = await world();
    const heard: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    events.memory.subscribe({ group: 'live', consumer: 'one', backend: null, from: 'new' }, (batch) => {
      heard.push(...batch.map(({ event }) => event.type));
      resolve();
    });
    events.wake({ backend: 'shop', route: '', requestId: '', method: 'GET', host: '', path: '/', atMs: 1 });
    await promise;
    assert.deepEqual(heard, ['wake']);
    await events.close(0);
  });
});

it('what is no event of this version is not read as one', () => {
  for (const text of [
    '',
    'x',
    'null',
    '[]',
    '{}',
    '{"v":2,"type":"wake"}',
    '{"v":1,"type":"constructor","id":"a","gateway":"b","backend":"c"}',
    '{"v":1,"type":"wake","id":"a","gateway":"b","backend":"c"}',
  ])
    assert.equal(readTrafficEvent(text), null, text);
});
