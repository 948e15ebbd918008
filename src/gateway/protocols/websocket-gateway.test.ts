import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { RuleConfig } from '../../model/config.ts';
import {
  backendConfig,
  gatewayConfig,
  GatewayHarness,
  listenerConfig,
  routeConfig,
} from '../fixtures/gateway-harness.ts';
import type { RawClient } from '../fixtures/gateway-harness.ts';
import { frame } from './websocket.fixture.ts';

const open: (() => Promise<unknown> | void)[] = [];

/** A WebSocket application that echoes, behind a gateway. */
async function serve(
  rule: Partial<RuleConfig> = {},
  options: { asleep?: boolean; perMessageDeflate?: boolean; ignore?: boolean } = {},
) {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    perMessageDeflate: options.perMessageDeflate ?? false,
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const backend = backendConfig('app', options.ignore ? { idle: { webSockets: 'ignore' } } : {});
  const config = gatewayConfig([backend], { routes: [routeConfig('app', rule)] });
  const harness = await GatewayHarness.start(config);
  open.push(
    () => harness.close(),
    () => {
      for (const socket of server.clients) socket.terminate();
      server.close();
    },
  );
  const wakeUp = (): number => harness.update('app', [{ port }]);
  if (options.asleep !== true) wakeUp();
  const connect = (path = '/'): WebSocket => {
    const client = new WebSocket(`ws://127.0.0.1:${harness.port}${path}`, {
      perMessageDeflate: options.perMessageDeflate ?? false,
    });
    client.on('error', () => {});
    open.push(() => client.terminate());
    return client;
  };
  return { harness, server, port, config, connect, wakeUp };
}

async function echoes(client: WebSocket, text: string): Promise<void> {
  client.send(text);
  const [data] = await once(client, 'message');
  assert.equal(String(data), text);
}

async function closedWith(client: WebSocket): Promise<number> {
  const [code] = await once(client, 'close');
  return code as number;
}

const UPGRADE =
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** A client of which every byte is the test's, after its handshake. */
async function rawSocket(harness: GatewayHarness): Promise<RawClient> {
  const client = await harness.connect();
  client.send(UPGRADE);
  await client.until(({ received }) => received.includes('\r\n\r\n'));
  client.received = client.received.slice(client.received.indexOf('\r\n\r\n') + 4);
  return client;
}

const binary = (bytes: Buffer): string => bytes.toString('latin1');
const CLOSE_1001 = '\x88\x02\x03\xe9';
const CLOSE_1002 = '\x88\x02\x03\xea';

describe('WebSocket through the gateway', () => {
  afterEach(async () => {
    for (const end of open.splice(0)) await end();
  });

  it('messages both ways, large and small, text and binary', async () => {
    const { connect } = await serve();
    const client = connect();
    await once(client, 'open');
    await echoes(client, 'hello');
    await echoes(client, 'x'.repeat(500_000));
    client.send(Buffer.alloc(100_000, 7));
    const [data, isBinary] = await once(client, 'message');
    assert.equal(isBinary, true);
    assert.deepEqual(data, Buffer.alloc(100_000, 7));
    client.close(4321, 'bye');
    assert.equal(await closedWith(client), 4321);
  });

  it('compressed messages (permessage-deflate): reserved bits are their business', async () => {
    const { connect } = await serve({}, { perMessageDeflate: true });
    const client = connect();
    await once(client, 'open');
    assert.equal(client.extensions, 'permessage-deflate');
    await echoes(client, 'again and '.repeat(1000));
    assert.equal(client.readyState, WebSocket.OPEN);
  });

  it("Node's own WebSocket client", async () => {
    const { harness } = await serve();
    const client = new globalThis.WebSocket(`ws://127.0.0.1:${harness.port}/`);
    await once(client, 'open');
    client.send('hello');
    const [event] = (await once(client, 'message')) as [MessageEvent];
    assert.equal(event.data, 'hello');
    client.close();
    await once(client, 'close');
  });

  it('is held while the backend wakes, and counts as a tunnel while it is open', async () => {
    const { harness, connect, wakeUp } = await serve({}, { asleep: true });
    const client = connect();
    await harness.nextOf('wake');
    const upgraded = once(client, 'upgrade');
    wakeUp();
    const [response] = await upgraded;
    assert.equal(response.headers['x-cold-start'], 'true');
    await echoes(client, 'awake');
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.tunnels === 1 && w.inFlight === 0));
    client.close();
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.tunnels === 0 && w.requests === 0));
    assert.equal(harness.log.at(-1)!.outcome, 'tunnel');
  });

  it('a client that is idle is closed with 1001, and so is the endpoint', async () => {
    const { server, connect } = await serve({ webSocket: { idleMs: 300, pingMs: 0 } });
    const client = connect();
    const [[socket]] = await Promise.all([once(server, 'connection'), once(client, 'open')]);
    const codes = await Promise.all([closedWith(client), closedWith(socket as WebSocket)]);
    assert.deepEqual(codes, [1001, 1001]);
  });

  it('a silent client is pinged, and stays', async () => {
    const { connect, server } = await serve({ webSocket: { idleMs: 0, pingMs: 100 } });
    const client = connect();
    const [[socket]] = await Promise.all([once(server, 'connection'), once(client, 'open')]);
    const pong = once(socket as WebSocket, 'pong');
    for (let i = 0; i < 3; i++) {
      const [body] = await once(client, 'ping');
      assert.equal(String(body), 'dormouse-ping');
    }
    await pong;
    await echoes(client, 'still here');
  });

  it('a client that answers no ping is dropped, and the endpoint is told', async () => {
    const { harness, server } = await serve({ webSocket: { idleMs: 0, pingMs: 100 } });
    const connection = once(server, 'connection');
    const client = await rawSocket(harness);
    const [socket] = await connection;
    const code = closedWith(socket as WebSocket);
    await client.until(({ closed, ended }) => closed || ended);
    client.socket.destroy();
    assert.equal(client.received, binary(frame({ opcode: 9, body: Buffer.from('dormouse-ping') })));
    assert.equal(await code, 1001);
  });

  it('a half-close is carried, both ways', async () => {
    const { harness, server } = await serve();
    const connection = once(server, 'connection');
    const client = await rawSocket(harness);
    const [socket] = await connection;
    client.socket.write(frame({ opcode: 1, masked: true, body: Buffer.from('last') }));
    client.socket.end();
    // ws answers the message and, on the FIN, closes.
    await client.until(({ ended }) => ended);
    assert.equal(client.received, binary(frame({ opcode: 1, body: Buffer.from('last') })));
    assert.equal((socket as WebSocket).readyState, WebSocket.CLOSED);
  });

  it('invalid UTF-8 is the business of the endpoint: it closes with 1007', async () => {
    const { connect, harness } = await serve();
    const client = await rawSocket(harness);
    client.socket.write(frame({ opcode: 1, masked: true, body: Buffer.from([0xff, 0xff]) }));
    await client.until(({ received }) => received.startsWith('\x88\x02\x03\xef'));
    await client.until(({ closed, ended }) => closed || ended);
    const other = connect();
    await once(other, 'open');
    await echoes(other, 'untouched');
  });

  for (const [name, bytes] of [
    ['an unmasked frame', frame({ opcode: 1, body: Buffer.from('x') })],
    ['a reserved bit', frame({ opcode: 1, reserved: 2, masked: true, body: Buffer.from('x') })],
    ['a reserved opcode', frame({ opcode: 5, masked: true, body: Buffer.from('x') })],
    ['a control frame of 126 bytes', frame({ opcode: 9, masked: true, body: Buffer.alloc(126) })],
    ['a fragmented ping', frame({ opcode: 9, fin: false, masked: true, body: Buffer.from('x') })],
    ['a continuation of nothing', frame({ opcode: 0, masked: true, body: Buffer.from('x') })],
  ] as const) {
    it(`${name} of a client is answered 1002 and goes no further`, async () => {
      const { harness, server } = await serve();
      const connection = once(server, 'connection');
      const client = await rawSocket(harness);
      const [socket] = await connection;
      const code = closedWith(socket as WebSocket);
      client.socket.write(bytes);
      await client.until(({ received }) => received === CLOSE_1002);
      assert.equal(await code, 1001);
      await client.until(({ closed, ended }) => closed || ended);
    });
  }

  it('on shutdown clients are told 1001 and may close in their own time', async () => {
    const { harness, connect, server } = await serve();
    const client = connect();
    const [[socket]] = await Promise.all([once(server, 'connection'), once(client, 'open')]);
    const codes = Promise.all([closedWith(client), closedWith(socket as WebSocket)]);
    harness.link.send({ type: 'shutdown', drainMs: 10_000 });
    assert.deepEqual(await codes, [1001, 1001]);
    await harness.gateway.closed;
  });

  it('on shutdown a client that does not answer is cut after a moment', async () => {
    const { harness } = await serve();
    const client = await rawSocket(harness);
    harness.link.send({ type: 'shutdown', drainMs: 60_000 });
    await client.until(({ received }) => received === CLOSE_1001);
    await client.until(({ closed, ended }) => closed || ended);
    client.socket.destroy();
    await harness.gateway.closed;
  });

  it('when its listener goes with a reload, and when its endpoint drains', async () => {
    const { harness, config, connect, port } = await serve();
    const first = connect();
    await once(first, 'open');
    const drained = harness.nextOf('drained');
    const version = harness.update('app', [{ port, state: 'draining' }]);
    assert.equal(await closedWith(first), 1001);
    assert.equal((await drained).version, version);
    harness.update('app', [{ port }]);
    const second = connect();
    await once(second, 'open');
    const code = closedWith(second);
    await harness.configure({ ...config, listeners: [{ ...listenerConfig(), name: 'other' }] });
    assert.equal(await code, 1001);
  });

  it('an endpoint that is not listed any more (unhealthy) keeps what is open on it', async () => {
    const { harness, connect } = await serve();
    const client = connect();
    await once(client, 'open');
    harness.update('app', []);
    for (let i = 0; i < 12; i++) await harness.nextOf('demand');
    await echoes(client, 'still open');
  });

  it('a reload that keeps the listener keeps the WebSocket', async () => {
    const { harness, config, connect } = await serve();
    const client = connect();
    await once(client, 'open');
    await harness.configure({ ...config, listeners: [listenerConfig({ timeouts: { idleMs: 1000 } })] });
    await echoes(client, 'still open');
  });

  it('webSockets: ignore answers a drain for sleep without waiting for it', async () => {
    const { harness, connect, port } = await serve({}, { ignore: true });
    const client = connect();
    await once(client, 'open');
    const code = closedWith(client);
    const drained = harness.nextOf('drained');
    const version = harness.update('app', [{ port, state: 'draining' }], { phase: 'falling-asleep' });
    assert.equal((await drained).version, version);
    assert.equal(await code, 1001);
  });

  it('an endpoint that resets: the client sees a broken connection, no Close frame', async () => {
    const { server, connect } = await serve();
    const client = connect();
    const [[socket]] = await Promise.all([once(server, 'connection'), once(client, 'open')]);
    (socket as unknown as { _socket: { resetAndDestroy(): void } })._socket.resetAndDestroy();
    assert.equal(await closedWith(client), 1006);
  });

  it('bytes, number and durations are counted', async () => {
    const { harness, connect } = await serve();
    const client = connect();
    await once(client, 'open');
    await echoes(client, 'four');
    const labels = { route: 'app', backend: 'app', kind: 'websocket' };
    const family = async (name: string) => {
      harness.link.send({ type: 'collect', id: 1 });
      const { metrics } = await harness.nextOf('collected');
      return metrics.find((one) => one.name === name)!.series;
    };
    assert.deepEqual(await family('dormouse_tunnels_open'), [{ labels, value: 1 }]);
    assert.deepEqual(await family('dormouse_tunnel_bytes_total'), [
      { labels: { ...labels, from: 'client' }, value: 10 },
      { labels: { ...labels, from: 'backend' }, value: 6 },
    ]);
    client.close();
    await closedWith(client);
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.tunnels === 0 && w.requests === 0));
    assert.deepEqual(await family('dormouse_tunnels_open'), [{ labels, value: 0 }]);
    const [duration] = await family('dormouse_tunnel_duration_seconds');
    assert.equal(
      duration!.histogram!.counts.reduce((sum, n) => sum + n, 0),
      1,
    );
  });

  it('a slow reader slows the endpoint down, and gets everything', async () => {
    const { harness, server } = await serve();
    const connection = once(server, 'connection');
    const client = await rawSocket(harness);
    const [socket] = (await connection) as [WebSocket];
    client.socket.pause();
    const message = Buffer.alloc(1_000_000, 'x');
    for (let i = 0; i < 40; i++) socket.send(message);
    for (let before = -1; before !== socket.bufferedAmount;) {
      before = socket.bufferedAmount;
      for (let i = 0; i < 3; i++) await harness.nextOf('demand');
    }
    assert.ok(socket.bufferedAmount > 10_000_000, 'the gateway took it though nobody reads');
    let received = 0;
    client.socket.on('data', (chunk) => (received += chunk.length));
    client.socket.resume();
    while (received < 40 * (message.length + 10)) await once(client.socket, 'data');
    assert.equal(socket.bufferedAmount, 0);
  });

  it('a client that takes nothing at all is cut after timeouts.idle of its listener', async () => {
    const { harness, server, config } = await serve({ webSocket: { idleMs: 0, pingMs: 100 } });
    await harness.configure({ ...config, listeners: [listenerConfig({ timeouts: { idleMs: 500 } })] });
    const connection = once(server, 'connection');
    const client = await rawSocket(harness);
    const [socket] = (await connection) as [WebSocket];
    client.socket.pause();
    socket.send(Buffer.alloc(40_000_000));
    await closedWith(socket);
  });

  it('ten thousand bad frames leave nothing behind', { timeout: 60_000 }, async () => {
    const { harness, server, connect } = await serve();
    const bad = frame({ opcode: 3, masked: true, body: Buffer.from('x') });
    for (let round = 0; round < 100; round++) {
      await Promise.all(
        Array.from({ length: 100 }, async () => {
          const client = await rawSocket(harness);
          client.socket.write(bad);
          await client.until(({ received }) => received === CLOSE_1002);
          client.socket.destroy();
        }),
      );
    }
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.tunnels === 0));
    while (server.clients.size > 0) await once([...server.clients][0]!, 'close');
    harness.link.send({ type: 'collect', id: 1 });
    const { metrics, status } = await harness.nextOf('collected');
    const value = (name: string): number =>
      metrics.find((one) => one.name === name)!.series.reduce((sum, one) => sum + one.value!, 0);
    assert.deepEqual(
      [value('dormouse_upstream_connections'), value('dormouse_tunnels_open'), status.connections],
      [0, 0, 0],
    );
    const client = connect();
    await once(client, 'open');
    await echoes(client, 'well');
  });
});
