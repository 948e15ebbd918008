import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { backendConfig, gatewayConfig, GatewayHarness, listenerConfig } from './fixtures/gateway-harness.ts';
import { ok, RawBackend } from './fixtures/raw-backend.ts';
import type { RawRequest } from './fixtures/raw-backend.ts';

const open: { close(): Promise<void> }[] = [];
const timeouts = { headerMs: 1000, bodyMs: 500, idleMs: 1000 };

async function serve(answer: (request: RawRequest, index: number) => void, awake = true) {
  const backend = await RawBackend.start(answer);
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app')], { listeners: [listenerConfig({ timeouts })] }),
  );
  open.push(harness, backend);
  if (awake) harness.update('app', [{ port: backend.port }]);
  return { backend, harness, client: await harness.connect() };
}

describe('peers that stall, pile up or leave', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  // The end of an answer was cut, with a clean FIN, when the client of a closing connection needed longer than the linger time to read it.
  it('delivers the whole answer to a slow reader before it closes', async () => {
    const size = 6_000_000;
    const { harness } = await serve((request) => request.socket.end(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(size)}`));
    const socket = connect(harness.port, '127.0.0.1');
    let received = 0;
    const done = new Promise<void>((resolve, reject) => socket.once('close', resolve).once('error', reject));
    socket.write('GET / HTTP/1.0\r\n\r\n');
    // 40 steps of 75 ms: longer than the linger time of 2 s.
    const timer = setInterval(() => {
      const chunk = socket.read(Math.min(socket.readableLength, 160_000)) as Buffer | null;
      received += chunk?.length ?? 0;
    }, 75);
    socket.on('readable', () => {});
    await done;
    clearInterval(timer);
    received += (socket.read() as Buffer | null)?.length ?? 0;
    assert.ok(received > size, `${received} of ${size} bytes came`);
  });

  it('stops reading requests of a client that does not take its answers', async () => {
    const { harness } = await serve((request) => request.socket.write(ok('x'.repeat(1000))));
    const socket = connect(harness.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    const many = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000);
    let blocked = false;
    // 100 MB of requests would be 2 GB of answers; the kernel's buffers take a few MB of each.
    for (let i = 0; i < 3000 && !blocked; i++) {
      if (socket.write(many, 'latin1')) continue;
      blocked = await Promise.race([
        new Promise<boolean>((resolve) => socket.once('drain', () => resolve(false))),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 300)),
      ]);
    }
    assert.ok(blocked, 'the gateway went on reading');
    socket.destroy();
  });

  it('answers every request that came whole before a half-close', async () => {
    const { client } = await serve((request) => setImmediate(() => request.socket.write(ok(request.target))));
    client.socket.end([1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''), 'latin1');
    await client.until((c) => c.ended);
    assert.deepEqual(client.received.match(/\/\d$|\/\d(?=HTTP)/g), ['/1', '/2', '/3']);
  });

  it('does not expect the body of a request that is held and waits for 100 Continue', async () => {
    const { client, backend, harness } = await serve((request) => {
      request.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      void request.bodyUntil((body) => body === 'hello').then(() => request.socket.write(ok('thanks')));
    }, false);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
    await harness.nextOf('wake');
    // timeouts.body is 500 ms; the second wake message comes a second after the first.
    await harness.nextOf('wake');
    harness.update('app', [{ port: backend.port }]);
    await client.until((c) => c.received.includes('100 Continue'));
    client.send('hello');
    await client.until((c) => c.received.endsWith('thanks'));
  });

  it('bounds the number of interim responses', async () => {
    const { client } = await serve((request) => request.socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1000)));
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const text = await client.until((c) => c.received.includes('502'));
    assert.ok(text.split('103 Early Hints').length < 40);
  });

  it('ends an upload that the endpoint stopped reading, and says so', async () => {
    const { client, harness } = await serve((request) => request.socket.pause());
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n`);
    client.socket.write(Buffer.alloc(30_000_000));
    const answer = await client.response();
    assert.equal(answer.status, 504);
    assert.equal(harness.log[0]!.outcome, 'upstream-stalled');
  });

  it('counts Max-Forwards down, and answers OPTIONS itself at 0', async () => {
    const { client, backend } = await serve((request) => request.socket.write(ok()));
    client.send(
      'OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\nOPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n',
    );
    assert.equal((await client.response()).status, 200);
    assert.equal((await client.response()).status, 204);
    assert.match(backend.requests[0]!.head, /\r\nMax-Forwards: 2\r\n/);
    assert.equal(backend.requests.length, 1);
  });

  it('refuses a switch of protocols that was not passed on', async () => {
    const { client } = await serve((request) =>
      request.socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'),
    );
    client.send(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n',
    );
    assert.equal((await client.response()).status, 502);
  });

  // A client that closed its side inside a body, or during an event stream, was counted and logged twice: on its FIN, and when its socket had closed.
  for (const [what, text] of [
    ['a body', 'POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12'],
    ['an event stream', 'GET /events HTTP/1.1\r\nHost: a\r\n\r\n'],
  ] as const) {
    it(`counts and logs a request once whose client leaves in the middle of ${what}`, async () => {
      const { client, harness } = await serve((request) =>
        request.socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:\n\n'),
      );
      client.send(text);
      await client.until((c) => c.received.includes(':\n'));
      client.socket.end();
      await client.until((c) => c.closed);
      const next = await harness.connect();
      next.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await next.until((c) => c.received.includes(':\n'));
      assert.deepEqual(
        harness.log.map(({ outcome }) => outcome),
        ['client-gone'],
      );
    });
  }

  // Over HTTP/1.1 each was counted twice: as it was found, and when its answer had gone out.
  it('counts a head that is no request, and one that never ends, once', async () => {
    const { client, harness } = await serve(() => {});
    client.send('GET / HTTP/1.1\r\nBad Header\r\n\r\n');
    assert.equal((await client.response()).status, 400);
    const slow = await harness.connect();
    slow.send('GET / HTTP/1.1\r\n');
    assert.equal((await slow.response()).status, 408);
    assert.deepEqual(
      [...(harness.gateway.counters.refused.get('') ?? [])],
      [
        [400, 1],
        [408, 1],
      ],
    );
  });

  // The end of a body that lay in the same read as what it was refused for ended the request a second time.
  it('counts and logs a request once that is refused in the middle of its body', async () => {
    // Later than the client's FIN.
    const backend = await RawBackend.start(({ socket }) => setTimeout(() => socket.write(ok()), 30));
    const harness = await GatewayHarness.start(
      gatewayConfig([backendConfig('app')], { listeners: [listenerConfig({ limits: { bodyBytes: 4 } })] }),
    );
    open.push(harness, backend);
    harness.update('app', [{ port: backend.port }]);
    const client = await harness.connect();
    client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n');
    assert.equal((await client.response()).status, 413);
    client.socket.end();
    await client.until((c) => c.closed);
    // The client's side is closed already when the request before it is answered.
    const pipelined = await harness.connect();
    pipelined.socket.end(
      'GET /first HTTP/1.1\r\nHost: a\r\n\r\nPOST /second HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n',
    );
    await pipelined.until((c) => c.ended);
    assert.deepEqual(
      harness.log.map(({ target, status }) => [target, status]),
      [
        ['/', 413],
        ['/first', 200],
        ['/second', 413],
      ],
    );
  });
});
