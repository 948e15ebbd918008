/** What traffic events are made of: bytes in the windows of demand, who woke a backend, and each request. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UpMessage } from '../link/messages.ts';
import { defaultEvents } from '../model/config.fixture.ts';
import type { DemandWindow } from '../model/demand.ts';
import { RouteCounters } from './counters.ts';
import { EndedRequests } from './ended-requests.ts';
import { backendConfig, gatewayConfig, GatewayHarness } from './fixtures/gateway-harness.ts';
import { ok, RawBackend } from './fixtures/raw-backend.ts';

async function serve(each: boolean) {
  const backend = await RawBackend.start((request) => request.socket.write(ok('hello')));
  const config = gatewayConfig([backendConfig('app')], { events: { ...defaultEvents(), each } });
  const harness = await GatewayHarness.start(config);
  return {
    backend,
    harness,
    async [Symbol.asyncDispose]() {
      await harness.close();
      await backend.close();
    },
  };
}

type Requests = Extract<UpMessage, { type: 'requests' }>;

describe('messages that traffic events are made of', () => {
  it('the windows have the bytes of bodies', async () => {
    await using world = await serve(false);
    const { harness, backend } = world;
    harness.update('app', [{ port: backend.port }]);
    const client = await harness.connect();
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n' + 'x'.repeat(300));
    await client.response();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.response();
    const told = (): DemandWindow[] =>
      harness.messages.flatMap((message) => (message.type === 'demand' ? message.windows : []));
    while (told().reduce((sum, { bytesOut = 0 }) => sum + bytesOut, 0) < 10) await harness.nextOf('demand');
    const windows = told();
    assert.equal(
      windows.reduce((sum, { bytesIn = 0 }) => sum + bytesIn, 0),
      300,
    );
    assert.equal(
      windows.reduce((sum, { requests }) => sum + requests, 0),
      2,
    );
  });

  it('who wakes it: host and id of the request, and what was known before', async () => {
    await using world = await serve(false);
    const { harness, backend } = world;
    const client = await harness.connect();
    const asked = harness.nextOf('wake');
    client.send('GET /cart?x HTTP/1.1\r\nHost: shop.example.com\r\n\r\n');
    const wake = (await asked) as Extract<UpMessage, { type: 'wake' }>;
    assert.deepEqual([wake.method, wake.path, wake.host], ['GET', '/cart', 'shop.example.com']);
    assert.ok(wake.requestId!.length > 5);
    harness.update('app', [{ port: backend.port }]);
    await client.response();
    assert.ok(backend.requests[0]!.head.toLowerCase().includes(`x-request-id: ${wake.requestId!.toLowerCase()}\r\n`));
  });

  it('each request, in batches, when that is wanted', async () => {
    await using world = await serve(true);
    const { harness, backend } = world;
    const client = await harness.connect();
    const told = harness.nextOf('requests');
    const asked = harness.nextOf('wake');
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc');
    await asked;
    harness.update('app', [{ port: backend.port }]);
    await client.response();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.response();
    const sets = (): Requests['sets'] =>
      harness.messages.flatMap((message) => (message.type === 'requests' ? message.sets : []));
    assert.ok(Math.abs((await told).startMs - Date.now()) < 60_000);
    while (sets().flatMap(({ ended }) => ended).length < 12) await harness.nextOf('requests');
    assert.ok(sets().every(({ backend: name, route }) => name === 'app' && route === 'app'));
    const all = sets().flatMap(({ ended }) => ended);
    const [, tookCold, ...cold] = all.slice(0, 6);
    assert.deepEqual(cold, [200, 3, 5, 1]);
    assert.ok(tookCold! > 0);
    assert.deepEqual(all.slice(8), [200, 0, 5, 0]);
  });
});

describe('EndedRequests', () => {
  const clock = { nowMs: () => 1000, wallMs: () => 500_000 };

  it('tells at most 20,000 a batch and how many more there were; then it begins anew', () => {
    const sent: Requests[] = [];
    const ended = new EndedRequests(clock, (message) => sent.push(message as Requests));
    const [one, two] = [new RouteCounters('r', 'a'), new RouteCounters('s', 'b')];
    for (let i = 0; i < 10_001; i++) {
      ended.note(one, 990, 1.234, 200, 1, 2, false);
      ended.note(two, 995, 1, 503, 0, 0, true);
    }
    ended.flush();
    ended.flush();
    assert.equal(sent.length, 1);
    const { startMs, sets, dropped } = sent[0]!;
    assert.deepEqual([startMs, dropped, sets.length], [499_990, 2, 2]);
    assert.deepEqual(sets[0]!.ended.slice(0, 6), [0, 123, 200, 1, 2, 0]);
    assert.deepEqual(sets[1]!.ended.slice(0, 6), [5, 100, 503, 0, 0, 1]);
    assert.equal(sets[0]!.ended.length, 60_000);
    ended.note(one, 1000, 1, 200, 0, 0, false);
    ended.flush();
    assert.deepEqual([sent[1]!.dropped, sent[1]!.sets.length, sent[1]!.sets[0]!.ended.length], [0, 1, 6]);
  });
});
