import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { TunnelCounters } from './tunnel-counters.ts';
import { WebSocketTunnel } from './websocket.ts';
import type { WebSocketOptions } from './websocket.ts';
import { frame } from './websocket.fixture.ts';

/** One side: what was written to it is kept. */
class Side extends Duplex {
  got = Buffer.alloc(0);

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.got = Buffer.concat([this.got, chunk]);
    done();
  }

  taken(): Buffer {
    const { got } = this;
    this.got = Buffer.alloc(0);
    return got;
  }
}

function open(options: Partial<WebSocketOptions> = {}, extended = false) {
  const client = new Side();
  const upstream = new Side();
  const owner = { leaving: false };
  const counters = new TunnelCounters('websocket', 'route', 'app');
  const tunnel = new WebSocketTunnel(
    client,
    upstream,
    extended,
    { idleMs: 0, pingMs: 0, ...options },
    { owner, random: () => 0.5, counters, nowMs: 0 },
  );
  return {
    client,
    upstream,
    owner,
    counters,
    tunnel,
    fromClient: (bytes: Buffer) => tunnel.fromClient(bytes),
    fromUpstream: (bytes: Buffer) => tunnel.fromUpstream(bytes, 0, bytes.length),
  };
}

const text = (body: string, masked = false): Buffer => frame({ opcode: 1, masked, body: Buffer.from(body) });
const closing = (code: number): Buffer => frame({ opcode: 8, body: Buffer.from([code >> 8, code & 255]) });
const PING = frame({ opcode: 9, body: Buffer.from('dormouse-ping') });
const OWN_PONG = frame({ opcode: 10, masked: true, body: Buffer.from('dormouse-ping') });

/** The status code of a masked Close frame. */
function maskedCode(bytes: Buffer): number {
  assert.deepEqual([...bytes.subarray(0, 2)], [0x88, 0x82]);
  assert.equal(bytes.length, 8);
  return ((bytes[6]! ^ bytes[2]!) << 8) | (bytes[7]! ^ bytes[3]!);
}

test('bytes pass as they are: fragments, invalid UTF-8, control frames', () => {
  const it = open();
  const said = Buffer.concat([
    frame({ opcode: 1, fin: false, masked: true, body: Buffer.from([0xff, 0xfe]) }),
    frame({ opcode: 9, masked: true, body: Buffer.from('?') }),
    frame({ opcode: 0, masked: true, body: Buffer.from([0xc0]) }),
  ]);
  for (const byte of said) it.fromClient(Buffer.from([byte]));
  assert.deepEqual(it.upstream.taken(), said);
  const answered = Buffer.concat([text('a'), text('b')]);
  it.fromUpstream(answered);
  assert.deepEqual(it.client.taken(), answered);
  assert.deepEqual([it.counters.clientBytes, it.counters.upstreamBytes], [said.length, answered.length]);
});

test('a silent client is asked, and its answer is life but no activity', () => {
  const it = open({ pingMs: 1000, idleMs: 10_000 });
  it.tunnel.sweep(1000);
  assert.deepEqual(it.client.taken(), PING);
  it.fromClient(OWN_PONG);
  assert.deepEqual(it.upstream.taken(), OWN_PONG, 'the endpoint sees a pong that it need not expect (RFC 6455 5.5.3)');
  for (let now = 1250; now < 10_000; now += 250) {
    it.tunnel.sweep(now);
    if (it.client.taken().length > 0) it.fromClient(OWN_PONG);
  }
  assert.equal(it.counters.timedOut, 0);
  it.upstream.taken();
  it.tunnel.sweep(10_000);
  assert.deepEqual(it.client.taken(), closing(1001));
  assert.equal(maskedCode(it.upstream.taken()), 1001);
  assert.equal(it.counters.timedOut, 1);
});

test('a client that answers no ping is gone', () => {
  const it = open({ pingMs: 1000 });
  it.tunnel.sweep(1000);
  assert.deepEqual(it.client.taken(), PING);
  it.tunnel.sweep(1999);
  assert.equal(it.client.destroyed, false);
  it.tunnel.sweep(2000);
  assert.equal(it.client.destroyed, true);
  assert.equal(maskedCode(it.upstream.taken()), 1001);
});

test('any frame of the client is an answer, those of the endpoint are none', () => {
  const it = open({ pingMs: 1000 });
  for (let now = 900; now < 9000; now += 900) {
    it.fromClient(text('still here', true));
    it.tunnel.sweep(now);
  }
  assert.equal(it.client.got.length, 0);
  it.upstream.taken();
  it.fromUpstream(text('news'));
  it.tunnel.sweep(9000);
  assert.deepEqual(it.client.taken(), text('news'));
  it.tunnel.sweep(9100);
  assert.deepEqual(it.client.taken(), PING);
});

test('our frames go between frames, never into one', () => {
  const it = open({ pingMs: 1000 });
  const message = text('a message that takes its time');
  it.fromUpstream(message.subarray(0, 7));
  it.tunnel.sweep(1000);
  assert.deepEqual(it.client.taken(), message.subarray(0, 7));
  // The ping waits, and so does the time for its answer.
  for (let now = 1250; now < 9000; now += 250) it.tunnel.sweep(now);
  assert.equal(it.client.destroyed, false);
  it.fromUpstream(Buffer.concat([message.subarray(7), text('next')]));
  assert.deepEqual(it.client.taken(), Buffer.concat([message.subarray(7), PING, text('next')]));
});

test('going away: the client is told at the next boundary, and its own Close still goes to the endpoint', () => {
  const it = open();
  const message = text('half of it');
  it.fromUpstream(message.subarray(0, 5));
  it.owner.leaving = true;
  it.tunnel.sweep(250);
  it.fromUpstream(Buffer.concat([message.subarray(5), text('too late')]));
  assert.deepEqual(it.client.taken(), Buffer.concat([message, closing(1001)]));
  it.fromUpstream(text('too late as well'));
  assert.equal(it.client.taken().length, 0);
  const answer = frame({ opcode: 8, masked: true, body: Buffer.from([3, 0xe9]) });
  it.fromClient(Buffer.concat([text('last words', true), answer]));
  assert.deepEqual(it.upstream.taken(), Buffer.concat([text('last words', true), answer]));
  it.tunnel.onUpstreamEnd();
  assert.equal(it.client.writableEnded, true);
});

test('whoever does not end in time is cut', () => {
  const it = open();
  it.owner.leaving = true;
  it.tunnel.sweep(1000);
  it.tunnel.sweep(1250);
  it.tunnel.sweep(3200);
  assert.equal(it.client.destroyed, false);
  it.tunnel.sweep(3250);
  assert.equal(it.client.destroyed, true);
});

test('both have closed, nobody ends the connection: it is cut as well', () => {
  const it = open();
  it.fromClient(frame({ opcode: 8, masked: true, body: Buffer.from([3, 0xe8]) }));
  it.fromUpstream(closing(1000));
  it.tunnel.sweep(1000);
  it.tunnel.sweep(3000);
  assert.equal(it.client.destroyed, true);
  assert.deepEqual(it.client.taken(), closing(1000), 'and no second Close frame');
});

test('a violation of the client: 1002 to it, 1001 to the endpoint, and the bad frame goes no further', () => {
  const it = open();
  const good = text('good', true);
  it.fromClient(Buffer.concat([good, text('without a mask')]));
  assert.deepEqual(it.upstream.got.subarray(0, good.length), good);
  assert.equal(maskedCode(it.upstream.got.subarray(good.length)), 1001);
  assert.deepEqual(it.client.taken(), closing(1002));
  it.fromClient(text('more', true));
  assert.equal(it.upstream.got.length, good.length + 8);
});

test('a violation in a head that was passed on in part: no frame of ours into the middle of it', () => {
  const it = open();
  it.fromClient(Buffer.from([0x81]));
  it.fromClient(Buffer.from([0x01, 0x61]));
  assert.deepEqual(it.upstream.taken(), Buffer.from([0x81]));
  assert.deepEqual(it.client.taken(), closing(1002));
  it.tunnel.sweep(1000);
  it.tunnel.sweep(3000);
  assert.equal(it.client.destroyed, true);
});

test('a violation of the endpoint: 1002 to it, 1001 to the client', () => {
  const it = open();
  it.fromUpstream(text('masked', true));
  assert.equal(maskedCode(it.upstream.taken()), 1002);
  assert.deepEqual(it.client.taken(), closing(1001));
});

test('after our Close the client is read on, and its answer ends the connection', () => {
  const it = open({ idleMs: 1000 });
  it.tunnel.sweep(1000);
  it.client.taken();
  it.upstream.taken();
  it.fromClient(frame({ opcode: 8, masked: true, body: Buffer.from([3, 0xe9]) }));
  assert.equal(it.client.writableEnded, true);
  assert.equal(it.upstream.taken().length, 0, 'the endpoint has had its Close');
});

test('each side may close its half', () => {
  const it = open({ pingMs: 1000, idleMs: 0 });
  it.tunnel.onUpstreamEnd();
  assert.equal(it.client.writableEnded, true);
  it.fromClient(text('still said', true));
  assert.deepEqual(it.upstream.taken(), text('still said', true));
  for (let now = 1000; now < 9000; now += 250) it.tunnel.sweep(now);
  assert.equal(it.client.destroyed, false, 'nobody can be asked any more');
});
