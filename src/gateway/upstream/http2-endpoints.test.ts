import assert from 'node:assert/strict';
import { constants, createSecureServer, createServer } from 'node:http2';
import type {
  Http2SecureServer,
  Http2Server,
  ServerHttp2Session,
  ServerHttp2Stream,
  IncomingHttpHeaders,
  SessionOptions,
} from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import { once } from 'node:events';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, it } from 'node:test';
import { FrameOutput } from '../../http2/frame-output.ts';
import { Authority, type Pem } from '../fixtures/certificates.ts';
import type { EndpointsConfig } from '../../model/config.ts';
import { backendConfig, gatewayConfig, GatewayHarness } from '../fixtures/gateway-harness.ts';

const open: { close(): Promise<void> | void }[] = [];

class H2Endpoint {
  readonly server: Http2Server | Http2SecureServer;
  readonly sessions = new Set<ServerHttp2Session>();
  opened = 0;

  constructor(
    answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
    options: SessionOptions = {},
    server?: Http2SecureServer,
  ) {
    this.server = server ?? createServer(options);
    this.server.on('session', (session) => {
      this.opened++;
      this.sessions.add(session);
      session.on('error', () => {});
      session.on('close', () => this.sessions.delete(session));
    });
    this.server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      answer(stream as ServerHttp2Stream, headers);
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

async function serve(
  answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  more: { options?: SessionOptions; endpoints?: Partial<EndpointsConfig>; awake?: boolean } = {},
) {
  const endpoint = new H2Endpoint(answer, more.options);
  endpoint.server.listen(0, '127.0.0.1');
  await once(endpoint.server, 'listening');
  const config = gatewayConfig([backendConfig('app', { endpoints: { protocol: 'h2c', ...more.endpoints } })]);
  const harness = await GatewayHarness.start(config);
  open.push(harness, endpoint);
  if (more.awake !== false) harness.update('app', [{ port: endpoint.port }]);
  return { endpoint, harness };
}

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${more}\r\n`;

describe('HTTP/2 endpoints', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('get requests of HTTP/1.1 clients', async () => {
    const seen: IncomingHttpHeaders[] = [];
    const { harness } = await serve((stream, headers) => {
      seen.push(headers);
      stream.respond({ ':status': 200, 'content-type': 'text/plain', 'content-length': '5' });
      stream.end('hello');
    });
    const client = await harness.connect();
    client.send(get('/a?b=c', 'X-Mine: yes\r\nConnection: x-drop\r\nX-Drop: 1\r\n'));
    const answer = await client.response();
    assert.equal(answer.status, 200);
    assert.equal(answer.body, 'hello');
    assert.match(answer.head, /\r\ncontent-type: text\/plain\r\n/);
    const [headers] = seen;
    assert.equal(headers![':path'], '/a?b=c');
    assert.equal(headers![':method'], 'GET');
    assert.equal(headers![':scheme'], 'http');
    assert.equal(headers![':authority'], 'app.test');
    assert.equal(headers!['x-mine'], 'yes');
    assert.equal(headers!['x-drop'], undefined);
    assert.equal(headers!['x-forwarded-for'], '127.0.0.1');
  });

  it('share one connection, and bodies pass both ways with their trailers', async () => {
    const { harness, endpoint } = await serve((stream) => {
      let size = 0;
      let trailers = '';
      stream.on('data', (chunk: Buffer) => (size += chunk.length));
      stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = String(received['x-sum'])));
      stream.on('end', () => {
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-after': trailers }));
        stream.end('y'.repeat(size));
      });
    });
    const sizes = Array.from({ length: 40 }, (_, i) => i * 20_000);
    await Promise.all(
      sizes.map(async (size) => {
        const client = await harness.connect();
        client.send(
          'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-sum\r\n\r\n',
        );
        if (size > 0) client.send(`${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`);
        client.send('0\r\nX-Sum: s\r\n\r\n');
        const text = await client.until((c) => /\r\n0\r\n.*\r\n\r\n$/s.test(c.received));
        assert.equal(text.split('y').length - 1, size);
        assert.match(text, /\r\n0\r\nx-after: s\r\n\r\n$/);
      }),
    );
    assert.equal(endpoint.opened, 1);
  });

  it('are held for and woken like any other, HTTP/2 on both sides', async () => {
    const { harness, endpoint } = await serve(
      (stream) => {
        stream.respond({ ':status': 200 });
        stream.pipe(stream);
      },
      { awake: false },
    );
    const session = connectHttp2(`http://127.0.0.1:${harness.port}`);
    open.unshift({ close: () => session.destroy() });
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    stream.write('before ');
    await harness.nextOf('wake');
    harness.update('app', [{ port: endpoint.port }]);
    await once(stream, 'response');
    stream.write('between ');
    stream.end('after');
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    assert.equal(text, 'before between after');
  });

  it('that allow few streams get more connections, up to maxConnections, and the rest waits its turn', async () => {
    let running = 0;
    let most = 0;
    const { harness, endpoint } = await serve(
      (stream, headers) => {
        most = Math.max(most, ++running);
        setImmediate(() => {
          running--;
          stream.respond({ ':status': 200 });
          stream.end(String(headers[':path']));
        });
      },
      { options: { settings: { maxConcurrentStreams: 2 } }, endpoints: { maxConnections: 3 } },
    );
    const bodies = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const client = await harness.connect();
        client.send(get(`/${i}`));
        const text = await client.until((c) => c.received.endsWith('0\r\n\r\n'));
        return text.includes(`/${i}\r\n`);
      }),
    );
    assert.ok(bodies.every(Boolean));
    assert.ok(endpoint.opened <= 3, `${endpoint.opened} connections`);
    assert.ok(most <= 6, `${most} at once`);
  });

  it('that refuse a stream get it once more, also a POST', async () => {
    let refused = 0;
    const { harness } = await serve((stream) => {
      if (refused++ === 0) {
        stream.close(constants.NGHTTP2_REFUSED_STREAM);
        return;
      }
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    const client = await harness.connect();
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
    const text = await client.until((c) => c.received.endsWith('0\r\n\r\n'));
    assert.match(text, /^HTTP\/1.1 200 .*hello/s);
    assert.equal(refused, 2);
  });

  // Its client had been told to hold back by the window of the first stream, and nobody told it to go on: it waited for ever.
  it('that refuse an upload they took nothing of get all of it elsewhere', async () => {
    const { harness, endpoint } = await serve((stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    let refuse: () => void = () => {};
    const asked = Promise.withResolvers<void>();
    let connections = 0;
    const front = createTcpServer((socket) => {
      socket.on('error', () => {});
      if (++connections > 1) {
        const behind = connect(endpoint.port, '127.0.0.1');
        behind.on('error', () => {});
        socket.pipe(behind).pipe(socket);
        return;
      }
      const output = new FrameOutput();
      const flush = (): void => {
        for (const piece of output.take()) socket.write(piece);
      };
      // A window of nothing.
      output.settings([[4, 0]]);
      flush();
      let received = '';
      socket.on('data', (chunk) => {
        received += chunk.toString('latin1');
        if (received.includes('/upload')) asked.resolve();
      });
      refuse = () => {
        output.goaway(0, 0);
        flush();
      };
    });
    front.listen(0, '127.0.0.1');
    await once(front, 'listening');
    open.push({ close: () => void front.close() });
    harness.update('app', [{ id: 'front', port: (front.address() as AddressInfo).port }]);
    const client = await harness.connect();
    client.send('POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n');
    client.send('a'.repeat(20_000));
    await asked.promise;
    client.send('b'.repeat(20_000));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    refuse();
    client.send('c'.repeat(10_000));
    const text = await client.until((c) => c.received.endsWith('0\r\n\r\n'));
    assert.deepEqual(
      ['a', 'b', 'c'].map((letter) => text.slice(text.indexOf('\r\n\r\n')).split(letter).length > 9000),
      [true, true, true],
    );
  });

  it('that go have what they did not look at sent elsewhere, and get nothing more', async () => {
    const { harness, endpoint } = await serve((stream) => {
      stream.respond({ ':status': 200 });
      stream.pipe(stream);
    });
    let connections = 0;
    const going = createTcpServer((socket) => {
      connections++;
      socket.on('error', () => {});
      socket.once('data', () => {
        const output = new FrameOutput();
        output.settings([]);
        output.goaway(0, 0);
        for (const piece of output.take()) socket.write(piece);
      });
    });
    going.listen(0, '127.0.0.1');
    await once(going, 'listening');
    open.push({ close: () => void going.close() });
    const port = (going.address() as AddressInfo).port;
    harness.update('app', [{ id: 'going', port }]);
    const client = await harness.connect();
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
    // It is refused four times, and then given up.
    assert.equal((await client.response()).status, 502);
    assert.equal(connections, 4);
    harness.update('app', [{ id: 'well', port: endpoint.port }]);
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
    assert.match(await client.until((c) => c.received.endsWith('0\r\n\r\n')), /hello/);
  });

  it('that reset in the middle of a body break the transfer off for both kinds of clients', async () => {
    const { harness } = await serve((stream) => {
      stream.respond({ ':status': 200 });
      stream.write('half');
      setImmediate(() => stream.destroy(new Error('broken off')));
    });
    const client = await harness.connect();
    let reset = false;
    client.socket.on('error', (error: NodeJS.ErrnoException) => (reset = error.code === 'ECONNRESET'));
    client.send(get('/'));
    await client.until((c) => c.closed);
    assert.ok(reset);
    const session = connectHttp2(`http://127.0.0.1:${harness.port}`);
    open.unshift({ close: () => session.destroy() });
    const stream = session.request({ ':path': '/' });
    stream.resume();
    const [error] = (await once(stream, 'error')) as [NodeJS.ErrnoException];
    assert.match(error.message, /INTERNAL_ERROR/);
    assert.equal(harness.log[0]!.outcome, 'upstream-aborted');
    assert.equal(harness.log[1]!.outcome, 'upstream-aborted');
  });

  it('hear of a client that left', async () => {
    let told: (code: number) => void;
    const code = new Promise<number>((resolve) => (told = resolve));
    let seen: () => void;
    const arrived = new Promise<void>((resolve) => (seen = resolve));
    const { harness } = await serve((stream) => {
      stream.on('close', () => told(stream.rstCode));
      seen();
    });
    const client = await harness.connect();
    client.send(get('/'));
    await arrived;
    client.socket.resetAndDestroy();
    assert.equal(await code, 8);
  });

  it('are closed when idle', async () => {
    const { harness, endpoint } = await serve(
      (stream) => {
        stream.respond({ ':status': 204 });
        stream.end();
      },
      { endpoints: { idleTimeoutMs: 50 } },
    );
    const client = await harness.connect();
    client.send(get('/'));
    assert.equal((await client.response()).status, 204);
    const [session] = endpoint.sessions;
    await once(session!, 'close');
    client.send(get('/'));
    assert.equal((await client.response()).status, 204);
  });

  // The bytes went to HTTP/1.1 clients in front of the head of our 502: whoever made the endpoint say them wrote the answer's head.
  it('that send a body before its head are a bad gateway, and nothing of the body passes', async () => {
    for (const interim of [false, true]) {
      const output = new FrameOutput();
      const server = createTcpServer((socket) => {
        socket.on('error', () => {});
        output.settings([]);
        // :status 103
        if (interim) output.headers(1, Buffer.from([0x08, 3, 0x31, 0x30, 0x33]), 5, false);
        const body = Buffer.from('HTTP/1.1 200 OK\r\n\r\n');
        output.data(1, body, 0, body.length, true);
        socket.once('data', () => {
          for (const piece of output.take()) socket.write(piece);
        });
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      open.push({ close: () => void server.close() });
      const harness = await GatewayHarness.start(
        gatewayConfig([backendConfig('app', { endpoints: { protocol: 'h2c' } })]),
      );
      open.push(harness);
      harness.update('app', [{ port: (server.address() as AddressInfo).port }]);
      const client = await harness.connect();
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const text = await client.until(({ received }) => received.includes('upstream-'));
      assert.match(text, interim ? /^HTTP\/1\.1 103 [^]*\r\nHTTP\/1\.1 502 / : /^HTTP\/1\.1 502 /);
      assert.doesNotMatch(text, /200 OK/);
    }
  });

  it('that speak something else are a bad gateway', async () => {
    const { harness } = await serve(() => {}, {});
    const { RawBackend, ok } = await import('../fixtures/raw-backend.ts');
    const backend = await RawBackend.start((request) => request.socket.write(ok()));
    open.push(backend);
    harness.update('app', [{ id: 'other', port: backend.port }]);
    const client = await harness.connect();
    client.send(get('/'));
    assert.equal((await client.response()).status, 502);
  });

  it('over TLS are those that agree on h2 by ALPN', async () => {
    const pem = await (await Authority.create()).issue({ names: ['app.test'] });
    const answer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
      stream.respond({ ':status': 200, 'content-length': '5' });
      stream.end(String(headers[':scheme']));
    };
    const { harness, secure } = await serveTls(pem, answer);
    const client = await harness.connect();
    client.send(get('/'));
    assert.equal((await client.response()).body, 'https');
    assert.equal(secure.sessions.size, 1);
    const old = createTlsServer(pem, (socket) => socket.on('error', () => {}));
    old.listen(0, '127.0.0.1');
    await once(old, 'listening');
    open.push({ close: () => void old.close() });
    harness.update('app', [{ id: 'old', port: (old.address() as AddressInfo).port }]);
    client.send(get('/'));
    assert.equal((await client.response()).status, 502);
  });
});

async function serveTls(pem: Pem, answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void) {
  const secure = new H2Endpoint(answer, {}, createSecureServer(pem));
  secure.server.listen(0, '127.0.0.1');
  await once(secure.server, 'listening');
  const tls = { caFile: null, serverName: 'app.test', certFile: null, keyFile: null, insecure: true };
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app', { driver: 'static', tls, endpoints: { protocol: 'h2' } })]),
  );
  open.push(harness, secure);
  harness.update('app', [{ port: secure.port }]);
  return { harness, secure };
}
