import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ErrorCode, FrameType, Setting } from '../../../http2/constants.ts';
import type { ListenerConfig } from '../../../model/config.ts';
import { backendConfig, gatewayConfig, GatewayHarness, listenerConfig } from '../../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../../fixtures/raw-backend.ts';
import type { RawRequest } from '../../fixtures/raw-backend.ts';
import { literals, RawPeer } from './raw-peer.fixture.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const open: { close(): Promise<void> | void }[] = [];

async function serve(
  answer: (request: RawRequest, index: number) => void,
  more: { timeouts?: Partial<ListenerConfig['timeouts']>; maxResetsPerSecond?: number; awake?: boolean } = {},
) {
  const backend = await RawBackend.start(answer);
  const listener = listenerConfig({ timeouts: more.timeouts });
  listener.http2 = { ...listener.http2, maxResetsPerSecond: more.maxResetsPerSecond ?? 200 };
  const harness = await GatewayHarness.start(gatewayConfig([backendConfig('app')], { listeners: [listener] }));
  open.push(harness, backend);
  if (more.awake !== false) harness.update('app', [{ port: backend.port }]);
  return { backend, harness };
}

async function peerOf(
  harness: GatewayHarness,
  settings: readonly (readonly [number, number])[] = [],
): Promise<RawPeer> {
  const peer = await RawPeer.open(harness.port, settings);
  open.unshift({ close: () => peer.destroy() });
  return peer;
}

/** What is open on the gateway: connections of clients, requests with endpoints or held. */
async function nothingLeft(harness: GatewayHarness): Promise<void> {
  for (let i = 0; i < 200; i++) {
    harness.link.send({ type: 'collect', id: i });
    const { status } = await harness.next<Extract<Awaited<ReturnType<typeof harness.nextOf>>, { type: 'collected' }>>(
      (message) => message.type === 'collected' && message.id === i,
    );
    if (status.connections === 0 && status.backends.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail('something is still open on the gateway');
}

describe('hostile HTTP/2 clients', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('that reset stream after stream are ended, and what they began with them', async () => {
    const { harness, backend } = await serve(() => {});
    const peer = await peerOf(harness);
    for (let i = 0; i < 10_000; i++) {
      peer.request(2 * i + 1, '/', true);
      peer.output.rstStream(2 * i + 1, ErrorCode.CANCEL);
    }
    peer.flush();
    assert.equal(await peer.goaway(), 'ENHANCE_YOUR_CALM');
    await peer.until(() => peer.closed);
    await nothingLeft(harness);
    assert.ok(harness.log.length <= 201, `${harness.log.length} requests were begun`);
    assert.ok(backend.connections <= 201);
  });

  it('that reset fewer than are allowed go on, ten thousand times, and nothing stays', async () => {
    const { harness } = await serve(() => {}, { maxResetsPerSecond: 1_000_000, awake: false });
    const peer = await peerOf(harness);
    let id = -1;
    const round = async (): Promise<void> => {
      for (let i = 0; i < 100; i++) {
        peer.request((id += 2), '/', true);
        peer.output.rstStream(id, ErrorCode.CANCEL);
      }
      peer.output.ping(Buffer.alloc(8), 0, false);
      const before = peer.frames.length;
      peer.flush();
      await peer.until(() => peer.frames.length > before);
    };
    for (let i = 0; i < 20; i++) await round();
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 100; i++) {
      await round();
      harness.log.length = 0;
    }
    gc();
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 20_000_000, `${grown} bytes more`);
    assert.equal(peer.of(FrameType.GOAWAY).length, 0);
    peer.destroy();
    await nothingLeft(harness);
  });

  it('that flood with frames which bring nothing are ended', async () => {
    const { harness } = await serve((request) => request.socket.write(ok()));
    const floods: Record<string, (peer: RawPeer) => void> = {
      SETTINGS: (peer) => peer.output.settings([[Setting.INITIAL_WINDOW_SIZE, 100]]),
      PING: (peer) => peer.output.ping(Buffer.alloc(8), 0, false),
      PRIORITY: (peer) => peer.frame(FrameType.PRIORITY, 0, 1, Buffer.from([0, 0, 0, 3, 0])),
      'empty DATA': (peer) => peer.output.data(1, Buffer.alloc(0), 0, 0, false),
      'small WINDOW_UPDATE': (peer) => peer.output.windowUpdate(0, 1),
      'RST_STREAM of a closed stream': (peer) => peer.output.rstStream(1, ErrorCode.CANCEL),
      'unknown frames': (peer) => peer.frame(0xee, 0, 0, Buffer.alloc(0)),
    };
    for (const [name, send] of Object.entries(floods)) {
      const peer = await peerOf(harness);
      peer.request(1, '/', false, {}, 'POST');
      for (let i = 0; i < 20_000 && !peer.closed; i++) {
        send(peer);
        if (i % 500 === 499) {
          peer.flush();
          await new Promise(setImmediate);
        }
      }
      peer.flush();
      assert.match(await peer.goaway(), /^(ENHANCE_YOUR_CALM|closed)$/, name);
      await peer.until(() => peer.closed);
    }
    await nothingLeft(harness);
  });

  it('that never end a header block are ended: CONTINUATION without end, and one that stops', async () => {
    const { harness } = await serve(() => {}, { timeouts: { headerMs: 300 } });
    const flood = await peerOf(harness);
    flood.frame(FrameType.HEADERS, 0, 1, literals({ ':method': 'GET' }));
    for (let i = 0; i < 1000 && !flood.closed; i++) flood.frame(FrameType.CONTINUATION, 0, 1, Buffer.from([0]));
    assert.match(await flood.goaway(), /^(ENHANCE_YOUR_CALM|closed)$/);
    const large = await peerOf(harness);
    large.frame(FrameType.HEADERS, 0, 1, literals({ ':method': 'GET' }));
    for (let i = 0; i < 10; i++) large.frame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(16_000));
    assert.match(await large.goaway(), /^(ENHANCE_YOUR_CALM|closed)$/);
    const stopped = await peerOf(harness);
    stopped.frame(FrameType.HEADERS, 0, 1, literals({ ':method': 'GET' }));
    assert.equal(await stopped.goaway(), 'ENHANCE_YOUR_CALM');
    const partial = await peerOf(harness);
    partial.socket.write(Buffer.from([0, 1, 0, FrameType.HEADERS, 5, 0, 0]));
    assert.equal(await partial.goaway(), 'ENHANCE_YOUR_CALM');
    await nothingLeft(harness);
  });

  it('that blow up a small block by its table get 431, and the connection goes on', async () => {
    const { harness } = await serve((request) => request.socket.write(ok()));
    const peer = await peerOf(harness);
    const value = 'x'.repeat(3900);
    const head = literals({ ':method': 'GET', ':scheme': 'http', ':path': '/', ':authority': 'a' });
    // With incremental indexing, then 10,000 times by its index: 39 MB from 14 kB.
    const entry = Buffer.concat([Buffer.from([0x40, 1, 0x62, 127, 0xbd, 0x1d]), Buffer.from(value)]);
    const bomb = Buffer.concat([head, entry, Buffer.alloc(10_000, 0x80 | 62)]);
    peer.output.headers(1, bomb, bomb.length, true);
    peer.flush();
    assert.equal((await peer.response(1))[0], ':status: 431');
    peer.request(3, '/', true);
    peer.flush();
    assert.equal((await peer.response(3))[0], ':status: 200');
  });

  it('that open no window are given up after timeouts.idle, and the endpoint is let go', async () => {
    const { harness, backend } = await serve((request) => request.socket.write(ok('x'.repeat(50_000))), {
      timeouts: { idleMs: 300 },
    });
    for (const window of [0, 1]) {
      const peer = await peerOf(harness, [[Setting.INITIAL_WINDOW_SIZE, window]]);
      for (let i = 0; i < 50; i++) peer.request(2 * i + 1, '/', true);
      peer.flush();
      await peer.until(() => peer.of(FrameType.RST_STREAM).length === 50);
      const bytes = peer.of(FrameType.DATA).reduce((sum, frame) => sum + frame.payload.length, 0);
      assert.equal(bytes, window * 50);
      peer.destroy();
    }
    await nothingLeft(harness);
    assert.ok(backend.requests.length > 0);
  });

  it('that do not read at all are given up after timeouts.idle', async () => {
    const { harness } = await serve((request) => request.socket.write(ok('x'.repeat(5_000_000))), {
      timeouts: { idleMs: 300 },
    });
    const peer = await peerOf(harness, [[Setting.INITIAL_WINDOW_SIZE, 0x7fff_ffff]]);
    peer.output.windowUpdate(0, 0x7fff_0000);
    for (let i = 0; i < 20; i++) peer.request(2 * i + 1, '/', true);
    peer.flush();
    peer.socket.pause();
    await nothingLeft(harness);
  });

  it('that send more than a window are stopped: of a stream, of the connection', async () => {
    const { harness } = await serve(() => {}, { awake: false });
    const peer = await peerOf(harness);
    peer.request(1, '/', false, {}, 'POST');
    const part = Buffer.alloc(16_384);
    for (let i = 0; i < 5; i++) peer.output.data(1, part, 0, part.length, false);
    peer.flush();
    await peer.until(() => peer.of(FrameType.RST_STREAM, 1).length > 0);
    assert.equal(peer.of(FrameType.RST_STREAM, 1)[0]!.payload.readUInt32BE(0), ErrorCode.FLOW_CONTROL_ERROR);
  });

  it('that stop in the middle of a body get 408 and a reset, those that say nothing are closed', async () => {
    const { harness } = await serve(() => {}, { timeouts: { bodyMs: 300, idleMs: 300, headerMs: 300 } });
    const peer = await peerOf(harness);
    peer.request(1, '/', false, {}, 'POST');
    peer.output.data(1, Buffer.from('some'), 0, 4, false);
    peer.flush();
    assert.equal((await peer.response(1))[0], ':status: 408');
    await peer.until(() => peer.of(FrameType.RST_STREAM, 1).length > 0);
    assert.equal(await peer.goaway(), 'NO_ERROR');
    const silent = await harness.connect();
    silent.send('PRI * HTTP/2.0\r\n');
    await silent.until((c) => c.closed || c.ended);
    await nothingLeft(harness);
  });

  it('that open more streams than allowed have those refused, not the connection', async () => {
    const { harness, backend } = await serve(() => {});
    const peer = await peerOf(harness);
    for (let i = 0; i < 200; i++) peer.request(2 * i + 1, '/', true);
    peer.flush();
    await peer.until(() => peer.of(FrameType.RST_STREAM).length === 72);
    for (const { payload } of peer.of(FrameType.RST_STREAM))
      assert.equal(payload.readUInt32BE(0), ErrorCode.REFUSED_STREAM);
    while (backend.requests.length < 128) await new Promise(setImmediate);
    assert.equal(backend.requests.length, 128);
  });

  it('that smuggle by what HTTP/1.1 would understand are reset', async () => {
    const { harness, backend } = await serve((request) => request.socket.write(ok()), { maxResetsPerSecond: 1000 });
    const peer = await peerOf(harness);
    const bad: Record<string, string>[] = [
      { 'transfer-encoding': 'chunked' },
      { connection: 'close' },
      { upgrade: 'h2c' },
      { 'x-a': 'b\r\nevil: 1' },
      { 'x-a\r\nevil': '1' },
      { 'X-Upper': '1' },
      { host: 'other.test' },
      { ':path': '' },
      { ':path': 'http://other.test/' },
      { ':path': '/ HTTP/1.1\r\nevil: 1' },
      { ':method': 'GET / HTTP/1.1\r\nevil: 1\r\n' },
      { ':authority': 'a\r\nevil: 1' },
      { 'content-length': '5' },
      { te: 'gzip' },
    ];
    for (const [i, fields] of bad.entries()) {
      const id = 2 * i + 1;
      peer.request(id, '/', true, fields);
      peer.flush();
      await peer.until(() => peer.of(FrameType.RST_STREAM, id).length > 0 || peer.of(FrameType.HEADERS, id).length > 0);
      const [reset] = peer.of(FrameType.RST_STREAM, id);
      assert.equal(reset?.payload.readUInt32BE(0), ErrorCode.PROTOCOL_ERROR, JSON.stringify(fields));
    }
    const id = 2 * bad.length + 1;
    peer.request(id, '/ok', false, { 'content-length': '3' }, 'POST');
    peer.output.data(id, Buffer.from('four'), 0, 4, true);
    peer.flush();
    await peer.until(() => peer.of(FrameType.RST_STREAM, id).length > 0);
    assert.deepEqual(
      backend.requests.filter(({ target }) => target !== '/ok'),
      [],
    );
  });

  // Early answer, then an end that makes the body shorter than promised: both sides had ended, so nobody told the exchange. It was in flight for ever, kept its backend
  // awake, and its place in a concurrency limit.
  it('whose body ends too short after its answer leave nothing in flight', async () => {
    const { harness } = await serve((request) => request.socket.write(ok()));
    const peer = await peerOf(harness);
    for (let id = 1; id < 200; id += 2) {
      peer.request(id, '/', false, { 'content-length': '10' }, 'POST');
      peer.flush();
      await peer.until(() => peer.of(FrameType.DATA, id).length > 0);
      peer.output.data(id, Buffer.from('12345'), 0, 5, true);
      peer.flush();
    }
    peer.request(201, '/', true);
    peer.flush();
    await peer.response(201);
    assert.equal(harness.log.length, 101);
    peer.destroy();
    await nothingLeft(harness);
  });
});
