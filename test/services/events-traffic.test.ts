/** `dormouse up` with traffic, a real Redis or NATS, and whoever reads the events: nothing of the traffic is ever lost, whatever becomes of the bus. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Heard } from '../../src/events/event-bus.contract.ts';
import type { EventBus } from '../../src/events/event-bus.ts';
import type { RequestEvent, TrafficEvent, WakeEvent, WindowEvent } from '../../src/model/traffic-event.ts';
import { ask } from '../e2e/fixtures/client.ts';
import { backend, configuration } from '../e2e/fixtures/configuration.ts';
import { Place, type Dormouse } from '../e2e/fixtures/dormouse.ts';
import { requests } from '../e2e/fixtures/loops.ts';
import { until } from '../e2e/fixtures/until.ts';
import { openBus } from './events.ts';
import { NatsServer } from './nats.ts';
import { RedisServer } from './redis.ts';

const BOUND = { timeout: 90_000 };

interface Server extends AsyncDisposable {
  url: string;
  start(): Promise<void>;
  stop(): void;
  goOn(): void;
  kill(): Promise<void>;
}

const SERVERS: readonly (readonly [name: string, start: () => Promise<Server>])[] = [
  ['Redis', () => RedisServer.start()],
  ['NATS', () => NatsServer.start()],
];

function file(events: object): string {
  return configuration({
    workers: 2,
    events: { bus: '${EVENTS_URL}', stream: 'test.traffic', ...events },
    backends: {
      shop: backend({}, { scale: { idleAfter: '60s' } }),
      other: backend({}, { scale: { idleAfter: '60s' } }),
    },
  });
}

class Reader implements AsyncDisposable {
  readonly #bus: EventBus;
  readonly heard: Heard;

  private constructor(bus: EventBus, heard: Heard) {
    this.#bus = bus;
    this.heard = heard;
  }

  static async open(url: string): Promise<Reader> {
    const bus = await openBus(url);
    const heard = new Heard();
    const options = { group: 'reader', consumer: 'one', backend: null, from: 'oldest' as const };
    const subscription = bus.subscribe(options, (batch) => {
      for (const delivery of batch) delivery.ack();
      heard.take(batch);
    });
    await subscription.ready;
    return new Reader(bus, heard);
  }

  /** Of one backend; each once. */
  of<T extends TrafficEvent['type']>(type: T, backend = 'shop'): Extract<TrafficEvent, { type: T }>[] {
    const events = new Map(this.heard.deliveries.map(({ event }) => [event.id, event]));
    return [...events.values()].filter((event) => event.type === type && event.backend === backend) as never[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bus.close(1000);
  }
}

async function metric(up: Dormouse, name: string): Promise<number> {
  const { body } = await ask(await up.port('observe'), '/metrics');
  return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (.*)$`, 'm').exec(body)?.[1]);
}

function sum(
  windows: readonly WindowEvent[],
  key: 'requests' | 'bytesIn' | 'bytesOut' | 'errors' | 'concurrencyMs',
): number {
  return windows.reduce((all, window) => all + window[key], 0);
}

for (const [name, start] of SERVERS)
  describe(`dormouse up and ${name}`, () => {
    it('a wake, windows with requests and bytes, and each request', BOUND, async () => {
      await using server = await start();
      await using reader = await Reader.open(server.url);
      await using place = new Place(file({ each: 'on' }));
      const up = await place.start({ env: { EVENTS_URL: server.url } }).up();
      const port = await up.port();
      const first = await ask(port, {
        path: '/shop/echo?secret',
        body: 'x'.repeat(1000),
        headers: { host: 'shop.example.com' },
      });
      assert.equal(first.status, 200);
      for (let at = 0; at < 9; at++) assert.equal((await ask(port, { path: '/shop/pid' })).status, 200);
      const requested = await until('each request is told', () =>
        reader.of('request').length === 10 ? reader.of('request') : null,
      );
      const [wake] = reader.of('wake') as WakeEvent[];
      assert.deepEqual(wake!.by, { method: 'POST', host: 'shop.example.com', path: '/shop/echo' });
      assert.equal(wake!.route, 'shop');
      assert.notEqual(wake!.requestId, '');
      assert.ok(Math.abs(wake!.atMs - Date.now()) < 60_000);
      assert.equal(reader.of('wake').length, 1);
      assert.equal(reader.of('wake', 'other').length, 0);
      const cold = requested.filter(({ cold }) => cold);
      assert.equal(cold.length, 1);
      assert.deepEqual([cold[0]!.bytesIn, cold[0]!.bytesOut, cold[0]!.status], [1000, first.body.length, 200]);
      assert.ok(cold[0]!.durationMs > 1 && requested.every(({ durationMs }) => durationMs > 0));
      await until('all is in windows', () => sum(reader.of('window'), 'requests') === 10);
      const closing = await until('one with zeros closes them', () =>
        reader.of('window').find(({ requests, inFlight }) => requests + inFlight === 0),
      );
      const windows = reader.of('window');
      assert.equal(sum(windows, 'bytesIn'), sum2(requested, 'bytesIn'));
      assert.equal(sum(windows, 'bytesOut'), sum2(requested, 'bytesOut'));
      assert.ok(sum(windows, 'concurrencyMs') >= 1);
      assert.ok(windows.every(({ fromMs, toMs }) => toMs > fromMs && toMs - fromMs < 5000));
      assert.equal(closing.held, 0);
      assert.equal(
        await metric(up, 'dormouse_events_bus_up{bus="' + server.url.slice(0, server.url.indexOf(':')) + '"}'),
        1,
      );
      // Without `each` from now on; the bus stays, and so does what is counted.
      place.write(file({ each: 'off' }));
      await up.line(/"configuration applied"/);
      assert.equal((await ask(port, { path: '/shop/pid' })).status, 200);
      await until('it is in a window', () => sum(reader.of('window'), 'requests') === 11);
      assert.equal(reader.of('request').length, 10);
      assert.equal(await up.stop(), 0);
      assert.doesNotMatch(JSON.stringify(up.log), /not published/);
    });

    it('killed and started again under load, and hung: no request fails, no wake is missed', BOUND, async () => {
      await using server = await start();
      await using place = new Place(file({ each: 'on', buffer: 200 }));
      const up = await place.start({ env: { EVENTS_URL: server.url } }).up();
      const port = await up.port();
      const loops = [0, 1, 2, 3].map((at) => requests(`loop ${at}`, port, { path: '/shop/pid' }));
      const answered = async (more: number): Promise<void> => {
        const enough = loops.map((loop) => loop.answered + more);
        await until(`${more} more answers of each`, () => loops.every((loop, at) => loop.answered >= enough[at]!));
      };
      const woken = async (): Promise<void> => {
        await up.backendWhen('other', 'quiet', ({ demand }) => demand.held + demand.inFlight === 0);
        const { code, stderr } = await place.run('sleep', 'other');
        assert.equal(code, 0, stderr);
        const beganMs = performance.now();
        const answer = await ask(port, { path: '/other/pid' });
        assert.equal(answer.status, 200);
        assert.equal(answer.headers['x-cold-start'], 'true');
        assert.ok(performance.now() - beganMs < 10_000);
      };
      try {
        await answered(200);
        await woken();
        for (let round = 0; round < 2; round++) {
          await server.kill();
          await answered(300);
          await woken();
          await server.start();
          await up.line(/published again/, up.log.length - 1).catch(() => {});
          await answered(300);
        }
        server.stop();
        await answered(300);
        await woken();
        await until(
          'the oldest are dropped and counted',
          async () => (await metric(up, 'dormouse_events_dropped_total{reason="buffer"}')) > 0,
        );
        server.goOn();
        await until('the bus takes them again', async () => (await metric(up, 'dormouse_events_buffered')) < 100);
        await using reader = await Reader.open(server.url);
        await woken();
        await until('the last wake is told', () => reader.of('wake', 'other').length > 0);
        await answered(100);
      } finally {
        await Promise.all(loops.map((loop) => loop.stop()));
      }
      assert.deepEqual(
        loops.flatMap(({ losses }) => losses),
        [],
      );
      assert.equal(await up.stop(), 0);
    });
  });

function sum2(events: readonly RequestEvent[], key: 'bytesIn' | 'bytesOut'): number {
  return events.reduce((all, event) => all + event[key], 0);
}

describe('the first request of a wake', () => {
  it('is in the stream before its backend has got it', BOUND, async () => {
    await using redis = await RedisServer.start();
    await using place = new Place(file({}));
    const up = await place.start({ env: { EVENTS_URL: redis.url } }).up();
    const port = await up.port();
    await until('the bus is there', async () => (await metric(up, 'dormouse_events_bus_up{bus="redis"}')) === 1);
    for (let round = 1; round <= 5; round++) {
      // The application tells when it got the request.
      const { headers, body } = await ask(port, { path: '/shop/now' });
      assert.equal(headers['x-cold-start'], 'true', body);
      const newest = await redis.say('XREVRANGE', 'test.traffic.shop', '+', '-', 'COUNT', '20');
      const [id] = [...newest.matchAll(/^(\d{13})-\d+\ntype\nwake$/gm)].map((match) => Number(match[1]));
      assert.ok(id! <= Number(body), `stored at ${id}, got at ${body}`);
      // Workers say once a second who waits.
      await up.backendWhen('shop', 'quiet', ({ demand }) => demand.held + demand.inFlight === 0);
      const { code, stderr } = await place.run('sleep', 'shop');
      assert.equal(code, 0, stderr);
    }
    assert.equal(await up.stop(), 0);
  });
});
