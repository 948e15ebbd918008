import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { FrameType, PREFACE, Setting } from '../../../http2/constants.ts';
import { FrameOutput } from '../../../http2/frame-output.ts';
import { FrameReader } from '../../../http2/frame-reader.ts';
import { backendConfig, gatewayConfig, GatewayHarness, listenerConfig } from '../../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../../fixtures/raw-backend.ts';
import { literals, RawPeer } from './raw-peer.fixture.ts';

const open: { close(): Promise<void> | void }[] = [];

interface Sent {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

const id = fc.constantFrom(0, 1, 3, 5, 7, 9, 2, 0x7fff_ffff);
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const uint32 = fc.constantFrom(0, 1, 100, 65_535, 0x7fff_ffff, 0xffff_ffff).map((value) => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return payload;
});
const block = fc
  .record(
    {
      ':method': fc.constantFrom('GET', 'POST', 'CONNECT', 'HEAD'),
      ':path': fc.constantFrom('/', '/a', '*', ''),
      ':scheme': fc.constantFrom('http', 'https'),
      ':authority': fc.constantFrom('a.test', 'a b', ''),
      ':protocol': fc.constantFrom('websocket', 'other'),
      'content-length': fc.constantFrom('0', '5', 'x'),
      cookie: fc.constant('a=b'),
      te: fc.constantFrom('trailers', 'gzip'),
      'grpc-timeout': fc.constantFrom('1m', '5S'),
    },
    { requiredKeys: [':method', ':path', ':scheme'] },
  )
  .map((fields) => literals(fields as Record<string, string>));
const flags = fc.constantFrom(0, 1, 4, 5, 5, 5, 4, 8, 13, 32, 45, 255);
const settings = fc
  .array(
    fc.tuple(
      fc.constantFrom(...Object.values(Setting), 99),
      fc.constantFrom(0, 1, 100, 65_535, 0x7fff_ffff, 0xffff_ffff),
    ),
    { maxLength: 4 },
  )
  .map((pairs) =>
    Buffer.concat(
      pairs.map(([name, value]) => {
        const pair = Buffer.alloc(6);
        pair.writeUInt16BE(name);
        pair.writeUInt32BE(value, 2);
        return pair;
      }),
    ),
  );
const frame: fc.Arbitrary<Sent> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant(FrameType.HEADERS as number), flags, id, payload: block }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant(FrameType.DATA as number), flags, id, payload: bytes(300) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom<number>(FrameType.RST_STREAM, FrameType.WINDOW_UPDATE),
      flags: fc.constant(0),
      id,
      payload: uint32,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant(FrameType.SETTINGS as number),
      flags: fc.constantFrom(0, 1),
      id: fc.constantFrom(0, 0, 0, 1),
      payload: settings,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant(FrameType.CONTINUATION as number), flags, id, payload: bytes(50) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.nat(12), flags: fc.nat(255), id, payload: bytes(60) }) },
);

function wire({ type, flags, id, payload }: Sent): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

describe('frames at random', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('come out of the reader the same, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (frames, cuts) => {
          const whole = Buffer.concat(frames.map(wire));
          const seen: Sent[] = [];
          const reader = new FrameReader({
            stopped: false,
            onFrameTooLarge: () => assert.fail(),
            onFrame: (type, flags, id, chunk, start, end) => {
              seen.push({ type, flags, id, payload: Buffer.from(chunk.subarray(start, end)) });
            },
          });
          for (let at = 0, i = 0; at < whole.length; i++) {
            const end = Math.min(whole.length, at + cuts[i % cuts.length]!);
            reader.execute(Buffer.from(whole.subarray(at, end)));
            at = end;
          }
          assert.deepEqual(
            seen,
            frames.map((one) => ({ ...one })),
          );
          assert.equal(reader.partial, false);
        },
      ),
    );
  });

  it('from clients leave the gateway as it was', { timeout: 60_000 }, async () => {
    const backend = await RawBackend.start((request) => {
      if (request.target === '/a') request.socket.write(ok('x'.repeat(2000)));
      else request.socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`);
    });
    const harness = await GatewayHarness.start(
      gatewayConfig([backendConfig('app')], {
        listeners: [listenerConfig({ timeouts: { idleMs: 500, bodyMs: 500, headerMs: 500 } })],
      }),
    );
    open.push(harness, backend);
    harness.update('app', [{ port: backend.port }]);
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 30 }), fc.boolean(), async (frames, resets) => {
        const peer = await RawPeer.open(harness.port);
        for (const one of frames) peer.socket.write(wire(one));
        const before = peer.frames.length;
        peer.output.ping(Buffer.alloc(8), 0, false);
        peer.flush();
        await peer.until(() => peer.closed || peer.frames.length > before);
        if (resets) peer.socket.resetAndDestroy();
        else peer.socket.end();
        await peer.until(() => peer.closed);
      }),
      { numRuns: 400 },
    );
    for (let i = 0; ; i++) {
      harness.link.send({ type: 'collect', id: i });
      const { status } = await harness.next<Extract<Awaited<ReturnType<typeof harness.nextOf>>, { type: 'collected' }>>(
        (message) => message.type === 'collected' && message.id === i,
      );
      if (status.connections === 0 && status.backends.length === 0) break;
      assert.ok(i < 200, JSON.stringify(status));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const client = await harness.connect();
    client.send('GET /a HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await client.response()).status, 200);
  });

  it('from endpoints leave the gateway as it was', { timeout: 60_000 }, async () => {
    let answer = Buffer.alloc(0);
    const endpoint = createServer((socket) => {
      socket.on('error', () => {});
      let bytes = '';
      socket.on('data', (chunk) => {
        bytes += chunk.toString('latin1');
        if (!bytes.startsWith(PREFACE) || bytes.length < 60) return;
        bytes = '';
        const output = new FrameOutput();
        output.settings([]);
        socket.write(Buffer.concat([...output.take(), answer]));
        socket.end();
      });
    });
    endpoint.listen(0, '127.0.0.1');
    await once(endpoint, 'listening');
    const harness = await GatewayHarness.start(
      gatewayConfig([backendConfig('app', { driver: 'static', endpoints: { protocol: 'h2c' } })]),
    );
    open.push(harness, { close: () => void endpoint.close() });
    harness.update('app', [{ port: (endpoint.address() as AddressInfo).port }]);
    const response = fc
      .record(
        {
          ':status': fc.constantFrom('200', '204', '103', '101', 'x'),
          'content-length': fc.constantFrom('0', '3', 'x'),
          'x-a': fc.constant('b'),
        },
        { requiredKeys: [':status'] },
      )
      .map((fields) => literals(fields as Record<string, string>));
    const fromEndpoint = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          type: fc.constant(FrameType.HEADERS as number),
          flags: fc.constantFrom(4, 5),
          id: fc.constant(1),
          payload: response,
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          type: fc.constant(FrameType.DATA as number),
          flags: fc.constantFrom(0, 1),
          id: fc.constant(1),
          payload: fc.constantFrom(Buffer.from('abc'), Buffer.alloc(0)),
        }),
      },
      { weight: 3, arbitrary: frame },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fromEndpoint, { maxLength: 8 }), async (frames) => {
        answer = Buffer.concat(frames.map(wire));
        const client = await harness.connect();
        client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
        // Answered or broken off, never left alone.
        await client.until((c) => c.closed || c.ended);
        client.socket.destroy();
      }),
      { numRuns: 400 },
    );
    harness.link.send({ type: 'collect', id: 1 });
    const { status } = await harness.nextOf('collected');
    assert.deepEqual(status.backends, []);
  });
});
