import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { afterEach, describe, it } from 'node:test';
import { HTTP2 } from '../../../model/access.ts';
import { backendConfig, gatewayConfig, GatewayHarness } from '../../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../../fixtures/raw-backend.ts';
import type { RawRequest } from '../../fixtures/raw-backend.ts';

const open: { close(): Promise<void> | void }[] = [];

async function serve(answer: (request: RawRequest, index: number) => void, awake = true) {
  const backend = await RawBackend.start(answer);
  const harness = await GatewayHarness.start(gatewayConfig([backendConfig('app')]));
  open.push(harness, backend);
  if (awake) harness.update('app', [{ port: backend.port }]);
  const session = connectHttp2(`http://127.0.0.1:${harness.port}`);
  session.on('error', () => {});
  open.unshift({ close: () => session.destroy() });
  return { backend, harness, session };
}

interface Answer {
  headers: IncomingHttpHeaders & { ':status'?: number };
  body: string;
  trailers: IncomingHttpHeaders;
}

function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    const answer: Answer = { headers: {}, body: '', trailers: {} };
    stream.on('response', (received) => (answer.headers = received));
    stream.on('trailers', (received) => (answer.trailers = received));
    stream.on('data', (chunk: Buffer) => (answer.body += chunk.toString('latin1')));
    stream.on('error', reject);
    stream.on('end', () => resolve(answer));
    if (body !== undefined) stream.end(body);
  });
}

describe('HTTP/2 clients', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('are answered, head and body, many at once', async () => {
    const { session, harness, backend } = await serve((request) =>
      request.socket.write(ok(request.target, 'X-A: b\r\n')),
    );
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => ask(session, { ':path': `/${i}`, 'x-mine': 'yes', cookie: 'a=1; b=2' })),
    );
    for (const [i, answer] of answers.entries()) {
      assert.equal(answer.headers[':status'], 200);
      assert.equal(answer.headers['x-a'], 'b');
      assert.equal(answer.body, `/${i}`);
    }
    const { head } = backend.requests[0]!;
    assert.match(head, /^GET \/\d+ HTTP\/1\.1\r\n/);
    assert.match(head, new RegExp(`\r\nhost: 127.0.0.1:${harness.port}\r\n`));
    assert.match(head, /\r\nx-mine: yes\r\n/);
    assert.match(head, /\r\ncookie: a=1; b=2\r\n/);
    assert.equal(harness.log.length, 200);
    assert.equal(harness.log[0]!.outcome, '');
    assert.equal(harness.log[0]!.minor, HTTP2);
    assert.match(head, /\r\nVia: 2\.0 dormouse\r\n/);
  });

  it('are held while the backend wakes, with their bodies', async () => {
    const { session, harness, backend } = await serve(
      (request) =>
        void request
          .bodyUntil((body) => body.endsWith('0\r\n\r\n'))
          .then((body) => request.socket.write(ok(body.replaceAll(/[^x]/g, '')))),
      false,
    );
    const body = 'x'.repeat(300_000);
    const answer = ask(session, { ':path': '/', ':method': 'POST' }, body);
    await harness.nextOf('wake');
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await answer).body.length, body.length);
  });

  it('send and get trailers and interim responses', async () => {
    const { session, backend } = await serve((request) => {
      request.socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
      void request
        .bodyUntil((body) => body.endsWith('\r\n\r\n'))
        .then(() =>
          request.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n'),
        );
    });
    const stream = session.request({ ':path': '/', ':method': 'POST', te: 'trailers' }, { endStream: false });
    const hints = once(stream, 'headers') as Promise<[IncomingHttpHeaders]>;
    const response = once(stream, 'response') as Promise<[IncomingHttpHeaders]>;
    const trailers = once(stream, 'trailers') as Promise<[IncomingHttpHeaders]>;
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-mine': 'after' }));
    stream.end('body');
    stream.resume();
    assert.equal((await hints)[0].link, '</a>');
    assert.equal((await response)[0]['transfer-encoding'], undefined);
    assert.equal((await trailers)[0]['x-sum'], '1');
    assert.match(backend.requests[0]!.head, /\r\nTE: trailers\r\nConnection: TE\r\n/);
  });

  it('get HEAD, 204 and 304 without a body', async () => {
    const { session } = await serve((request) => {
      const status = request.target.slice(1);
      request.socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: ${status === '204' ? 0 : 5}\r\n\r\n`);
    });
    const head = await ask(session, { ':path': '/200', ':method': 'HEAD' });
    assert.equal(head.headers['content-length'], '5');
    assert.equal(head.body, '');
    const none = await ask(session, { ':path': '/204' });
    assert.equal(none.headers[':status'], 204);
    assert.equal(none.headers['content-length'], undefined);
    assert.equal((await ask(session, { ':path': '/304' })).headers[':status'], 304);
  });

  it('get a large body as fast as they read, while others on the connection are answered', async () => {
    const size = 30_000_000;
    const { session, backend } = await serve((request) => {
      if (request.target === '/small') request.socket.write(ok('small'));
      else request.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`);
    });
    const slow = session.request({ ':path': '/large' });
    slow.pause();
    await once(slow, 'response');
    assert.equal((await ask(session, { ':path': '/small' })).body, 'small');
    // What the windows and sockets between the two hold is far less than the body.
    const [upstream] = backend.sockets;
    assert.ok(upstream!.writableLength > 0, 'the gateway took all of it');
    let got = 0;
    for await (const chunk of slow) got += (chunk as Buffer).length;
    assert.equal(got, size);
  });

  it('are not read while an endpoint does not take their body', async () => {
    const { session, harness } = await serve((request) => request.socket.pause());
    const stream = session.request({ ':path': '/', ':method': 'POST' });
    stream.on('error', () => {});
    let sent = 0;
    while (stream.write(Buffer.alloc(100_000))) sent += 100_000;
    for (let turns = 0; turns < 400 && sent < 100_000_000; turns++) {
      const drained = await Promise.race([
        once(stream, 'drain').then(() => true),
        new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500)),
      ]);
      if (!drained) break;
      while (stream.write(Buffer.alloc(100_000))) sent += 100_000;
    }
    assert.ok(sent < 50_000_000, 'the gateway went on reading');
    stream.close();
    await harness.next(
      (message) => message.type === 'demand' && message.windows.some((window) => window.requests >= 0),
    );
  });

  it('are heard when they reset a stream, held or not, and the endpoint is too', async () => {
    const { session, harness, backend } = await serve(() => {}, false);
    const held = session.request({ ':path': '/held' });
    held.on('error', () => {});
    await harness.nextOf('wake');
    held.close(8);
    while (harness.log.length < 1) await new Promise(setImmediate);
    assert.equal(harness.log[0]!.outcome, 'client-gone');
    harness.update('app', [{ port: backend.port }]);
    const sent = session.request({ ':path': '/sent' });
    sent.on('error', () => {});
    while (backend.requests.length === 0) await new Promise(setImmediate);
    assert.equal(backend.requests[0]!.target, '/sent');
    const closed = once(backend.requests[0]!.socket, 'close');
    sent.close(8);
    await closed;
    while (harness.log.length < 2) await new Promise(setImmediate);
    assert.equal(harness.log[1]!.outcome, 'client-gone');
  });

  it('see a broken transfer when the endpoint breaks off', async () => {
    const { session } = await serve((request) => {
      request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
      setImmediate(() => request.socket.destroy());
    });
    await assert.rejects(ask(session, { ':path': '/' }), /INTERNAL_ERROR/);
  });

  it('get an early answer to a long upload, and no more of it is read', async () => {
    const { session } = await serve((request) => request.socket.write(ok('enough')));
    const stream = session.request({ ':path': '/', ':method': 'POST', 'content-length': '100000000' });
    let body = '';
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
    stream.write('some');
    await once(stream, 'close');
    assert.equal(body, 'enough');
    assert.equal(stream.rstCode, 0);
    assert.equal((await ask(session, { ':path': '/' })).body, 'enough');
  });

  it('get GOAWAY when the gateway drains, and what they had asked for', async () => {
    let answer = (): void => {};
    const { session, harness, backend } = await serve((request) => {
      answer = () => request.socket.write(ok('late'));
    });
    const late = ask(session, { ':path': '/' });
    while (backend.requests.length === 0) await new Promise(setImmediate);
    const goaways: number[] = [];
    session.on('goaway', (_code, lastId) => {
      goaways.push(lastId);
      if (goaways.length === 2) answer();
    });
    const closed = once(session, 'close');
    harness.link.send({ type: 'shutdown', drainMs: 5000 });
    assert.equal((await late).body, 'late');
    await closed;
    assert.deepEqual(goaways.slice(0, 2), [0x7fff_ffff, 1]);
    await harness.gateway.closed;
  });

  it('open a WebSocket by an extended CONNECT (RFC 8441)', async () => {
    const { session, backend } = await serve((request) => {
      const key = /\r\nsec-websocket-key: (\S+)\r\n/i.exec(request.head)![1]!;
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      request.socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n`,
      );
      request.socket.write(Buffer.from([0x81, 2, 0x68, 0x69]));
    });
    if (session.remoteSettings?.enableConnectProtocol !== true) await once(session, 'remoteSettings');
    assert.equal(session.remoteSettings.enableConnectProtocol, true);
    const stream = session.request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/chat',
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'chat',
    });
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status': number }];
    assert.equal(headers[':status'], 200);
    assert.equal(headers['sec-websocket-protocol'], 'chat');
    assert.equal(headers['sec-websocket-accept'], undefined);
    assert.equal(headers.upgrade, undefined);
    const [first] = (await once(stream, 'data')) as [Buffer];
    assert.deepEqual([...first], [0x81, 2, 0x68, 0x69]);
    const { head } = backend.requests[0]!;
    assert.match(head, /^GET \/chat HTTP\/1\.1\r\n/);
    assert.match(head, /\r\nUpgrade: websocket\r\n/);
    const masked = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x6f]);
    stream.write(masked);
    await backend.requests[0]!.bodyUntil((body) => body.endsWith('ho'));
    stream.end();
    const [request] = backend.requests;
    if (!request!.socket.readableEnded) await once(request!.socket, 'end');
  });

  it('open a WebSocket while the backend sleeps, get all of it, and leave nothing behind', async () => {
    const size = 400_000;
    const { session, harness, backend } = await serve((request) => {
      const key = /\r\nsec-websocket-key: (\S+)\r\n/i.exec(request.head)![1]!;
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      request.socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      const frames = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 6, 0x1a, 0x80]), Buffer.alloc(size)]);
      assert.equal(frames.readUInt32BE(6), size);
      // All, and then the end at once.
      request.socket.end(Buffer.concat([frames, Buffer.from([0x88, 2, 0x03, 0xe8])]));
    }, false);
    if (session.remoteSettings?.enableConnectProtocol !== true) await once(session, 'remoteSettings');
    const connect = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', 'sec-websocket-version': '13' };
    const sizes = Array.from({ length: 20 }, async () => {
      const stream = session.request(connect);
      stream.on('error', () => {});
      let got = 0;
      stream.on('data', (chunk: Buffer) => (got += chunk.length));
      stream.on('end', () => stream.end());
      await once(stream, 'close');
      return got;
    });
    await harness.nextOf('wake');
    harness.update('app', [{ port: backend.port }]);
    for (const got of await Promise.all(sizes)) assert.equal(got, size + 14);
    while (harness.log.length < 20) await new Promise(setImmediate);
    assert.ok(harness.log.every(({ outcome, responseBytes }) => outcome === 'tunnel' && responseBytes === size + 14));
    harness.link.send({ type: 'collect', id: 1 });
    const { status } = await harness.nextOf('collected');
    assert.deepEqual(status.backends, []);
  });

  it('get 502 when what answers the upgrade does not speak WebSocket', async () => {
    const { session } = await serve((request) =>
      request.socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n\r\n',
      ),
    );
    if (session.remoteSettings?.enableConnectProtocol !== true) await once(session, 'remoteSettings');
    const answer = await ask(session, { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/' });
    assert.equal(answer.headers[':status'], 502);
  });

  it('get 501 for an extended CONNECT of another protocol, 405 for an ordinary one', async () => {
    const { session } = await serve(() => {});
    if (session.remoteSettings?.enableConnectProtocol !== true) await once(session, 'remoteSettings');
    const other = await ask(session, { ':method': 'CONNECT', ':protocol': 'connect-udp', ':path': '/' });
    assert.equal(other.headers[':status'], 501);
    const plain = await ask(session, { ':method': 'CONNECT', ':authority': 'a.test:443' });
    assert.equal(plain.headers[':status'], 405);
  });

  it('get 431 when their head is too large, 400 when it makes no sense', async () => {
    const { session } = await serve((request) => request.socket.write(ok()));
    const large = await ask(session, { ':path': '/', 'x-large': 'x'.repeat(40_000) });
    assert.equal(large.headers[':status'], 431);
    assert.equal((await ask(session, { ':path': '/a b' })).headers[':status'], 400);
    assert.equal((await ask(session, { ':path': '/', ':authority': 'a b' })).headers[':status'], 400);
    assert.equal((await ask(session, { ':path': '/', ':authority': 'user@a.test' })).headers[':status'], 400);
    assert.equal((await ask(session, { ':path': '/' })).headers[':status'], 200);
  });
});
