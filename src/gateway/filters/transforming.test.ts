/** The transforming filters in a gateway: with backends that sleep, clients that leave, endpoints that break off. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { brotliDecompressSync, createGunzip, gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { FilterConfig } from '../../model/config.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import { filter } from './filters.fixture.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

interface Setup {
  harness: GatewayHarness;
  app: http.Server;
  /** The backend `app` is awake from now on. */
  wake(): void;
  ask(options: http.RequestOptions, body?: string | Buffer): Promise<Answer>;
}

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

/** A gateway with these filters in front of `answer`, which sleeps until `wake`. */
async function setUp(filters: FilterConfig[], answer: http.RequestListener, more: object = {}): Promise<Setup> {
  const app = http.createServer(answer);
  app.listen(0, '127.0.0.1');
  await once(app, 'listening');
  open.push(() => {
    app.closeAllConnections();
    app.close();
  });
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app', more), backendConfig('next')], { routes: [routeConfig('app', { filters })] }),
  );
  open.push(() => harness.close());
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  open.push(() => agent.destroy());
  return {
    harness,
    app,
    wake: () => void harness.update('app', [{ port: (app.address() as AddressInfo).port }]),
    ask: (options, body) => ask({ agent, port: harness.port, ...options }, body),
  };
}

/** Rejects when the answer isn't complete. */
function ask(options: http.RequestOptions, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', ...options }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(parts) }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

const wakes = (harness: GatewayHarness): number => harness.messages.filter(({ type }) => type === 'wake').length;
const json =
  (body: object): http.RequestListener =>
  (_request, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(body));
  };
const LONG = Array.from({ length: 40_000 }, (_, i) => `line ${i * 7919}\n`).join('');

describe('in front of a backend that sleeps', () => {
  const schema = { type: 'object', required: ['name'], properties: { name: { type: 'string' } } };
  const filters = [
    filter('cors', { origins: ['https://app.test'] }),
    filter('validate', { methods: ['GET', 'POST'], path: {}, json: { schema } }),
    filter('rewrite', { path: { addPrefix: '/v2' }, query: { set: { from: 'gateway' } } }),
    filter('body', { request: { set: { tenant: 'blue' } }, response: { remove: ['secret'] } }),
    filter('compress', { minSize: 1 }),
    filter('errorPages', { pages: [{ status: '5xx', body: '<h1>Later</h1>' }] }),
    filter('mirror', { backend: 'next' }),
  ];

  test('what is refused or answered wakes nobody', async () => {
    const { harness, ask } = await setUp(filters, json({}));
    const post = { method: 'POST', headers: { 'Content-Type': 'application/json' } };
    assert.equal((await ask(post, '{"name":1}')).status, 422);
    assert.equal((await ask(post, '{"name"')).status, 400);
    assert.equal((await ask({ ...post, headers: { 'Content-Type': 'text/plain' } }, 'x')).status, 415);
    assert.equal((await ask({ method: 'DELETE' })).status, 405);
    assert.equal((await ask({ path: '/a/../b' })).status, 400);
    const preflight = { Origin: 'https://app.test', 'Access-Control-Request-Method': 'POST' };
    const answer = await ask({ method: 'OPTIONS', headers: preflight });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers['access-control-allow-origin'], 'https://app.test');
    const refused = await ask({ method: 'DELETE', headers: { Origin: 'https://app.test' } });
    assert.equal(refused.headers['access-control-allow-origin'], 'https://app.test', 'scripts may read the refusal');
    assert.equal(wakes(harness), 0);
  });

  test('what passes is held and woken for, then treated in the same way', async () => {
    let received = '';
    const { harness, ask, wake } = await setUp(filters, (request, response) => {
      request.on('data', (part: Buffer) => (received += part.toString()));
      request.on('end', () => {
        received = `${request.method} ${request.url} ${request.headers['content-length']} ${received}`;
        json({ id: 1, secret: 'x' })(request, response);
      });
    });
    const headers = { 'Content-Type': 'application/json', 'Accept-Encoding': 'gzip', Origin: 'https://app.test' };
    // In chunks: its new length is known all the same.
    const answer = ask(
      { method: 'POST', path: '/users?x=1', headers: { ...headers, 'Transfer-Encoding': 'chunked' } },
      '{"name":"ann"}',
    );
    await harness.nextOf('wake');
    wake();
    const { status, headers: got, body } = await answer;
    assert.equal(received, 'POST /v2/users?x=1&from=gateway 30 {"name":"ann","tenant":"blue"}');
    assert.equal(status, 200);
    assert.equal(gunzipSync(body).toString(), '{"id":1}');
    assert.equal(got['content-encoding'], 'gzip');
    assert.equal(got['x-cold-start'], 'true');
    assert.equal(got['access-control-allow-origin'], 'https://app.test');
    assert.equal(got['vary'], 'Accept-Encoding, Origin');
    assert.deepEqual(
      harness.messages.filter((message) => message.type === 'wake').map((message) => message.backend),
      ['app'],
      'the mirror sleeps on',
    );
  });

  test('who waits too long gets the page', async () => {
    const { ask } = await setUp(filters, json({}), { wake: { timeoutMs: 50 } });
    const { status, body, headers } = await ask({ headers: { Accept: 'text/html' } });
    assert.deepEqual([status, body.toString()], [504, '<h1>Later</h1>']);
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    const api = await ask({ headers: { Accept: 'application/json' } });
    assert.equal((JSON.parse(api.body.toString()) as { code: string }).code, 'hold-timeout');
  });
});

describe('validate', () => {
  test('a body without a length is counted while it passes', async () => {
    let broken = 0;
    const { harness, wake } = await setUp([filter('validate', { maxBody: '100kB' })], (request, response) => {
      request.on('error', () => broken++);
      request.on('aborted', () => response.destroy());
      request.on('end', () => response.end('ok'));
      request.resume();
    });
    wake();
    const send = async (chunks: number): Promise<number> => {
      const client = await harness.connect();
      client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
      const chunk = `2710\r\n${'x'.repeat(10_000)}\r\n`;
      for (let i = 0; i < chunks; i++) client.send(chunk);
      client.send('0\r\n\r\n');
      return (await client.response()).status;
    };
    assert.equal(await send(10), 200);
    for (let i = 0; i < 20; i++) assert.equal(await send(11), 413);
  });
});

describe('compress', () => {
  const DECODE = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync } as const;
  const html =
    (write: (response: http.ServerResponse, request: http.IncomingMessage) => void): http.RequestListener =>
    (request, response) => {
      response.setHeader('Content-Type', 'text/html');
      write(response, request);
    };

  for (const coding of ['gzip', 'br', 'zstd'] as const) {
    test(`${coding}: small, long, in chunks, for HEAD, one after the other on one connection`, async () => {
      const { ask, wake } = await setUp(
        [filter('compress', {})],
        html((response, request) => {
          if (request.url === '/small') response.end('x'.repeat(2000));
          else if (request.url === '/long') response.setHeader('Content-Length', LONG.length).end(LONG);
          else {
            for (let i = 0; i < LONG.length; i += 50_000) response.write(LONG.slice(i, i + 50_000));
            response.end();
          }
        }),
      );
      wake();
      const headers = { 'Accept-Encoding': coding };
      for (const [path, expected] of [
        ['/small', 'x'.repeat(2000)],
        ['/long', LONG],
        ['/chunks', LONG],
        ['/small', 'x'.repeat(2000)],
      ] as const) {
        const answer = await ask({ path, headers });
        assert.equal(answer.headers['content-encoding'], coding);
        // What was there at once goes with its length.
        const length = path === '/small' ? String(answer.body.length) : undefined;
        assert.equal(answer.headers['content-length'], length);
        assert.ok(DECODE[coding](answer.body).toString() === expected, path);
        const head = await ask({ path, headers, method: 'HEAD' });
        assert.equal(head.headers['content-encoding'], coding);
        assert.equal(head.headers['content-length'], undefined);
        assert.equal(head.body.length, 0);
      }
    });
  }

  test('events are flushed one by one when they are to be encoded, and left alone otherwise', async () => {
    for (const options of [{ types: ['text/event-stream'] }, {}]) {
      let send = (_text: string): void => {};
      const { harness, wake } = await setUp([filter('compress', options)], (_request, response) => {
        response.setHeader('Content-Type', 'text/event-stream');
        response.flushHeaders();
        send = (text) => void response.write(text);
        send('data: 0\n\n');
      });
      wake();
      const request = http.get({ port: harness.port, headers: { 'Accept-Encoding': 'gzip' } });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      const encoded = response.headers['content-encoding'] === 'gzip';
      assert.equal(encoded, 'types' in options);
      let text = '';
      for await (const part of encoded ? response.pipe(createGunzip()) : response) {
        text += String(part);
        const events = text.match(/data: \d\n\n/g)?.length ?? 0;
        if (events === 5) break;
        if (/data: \d\n\n$/.test(text)) send(`data: ${events}\n\n`);
      }
      request.destroy();
    }
  });

  test('an endpoint that breaks off in the middle is seen by the client', async () => {
    const { harness, wake, ask } = await setUp(
      [filter('compress', {})],
      html((response) => {
        response.write(LONG);
        setImmediate(() => response.destroy());
      }),
    );
    wake();
    for (let i = 0; i < 30; i++) {
      await assert.rejects(
        ask({ agent: false, headers: { 'Accept-Encoding': ['gzip', 'br', 'zstd'][i % 3] } }),
        (error: NodeJS.ErrnoException) => error.code === 'ECONNRESET',
      );
    }
    await harness.next(
      (message) => message.type === 'demand' && message.windows.every(({ inFlight }) => inFlight === 0),
    );
  });

  test('clients that leave in the middle leave nothing behind', async () => {
    const { harness, wake, app } = await setUp(
      [filter('compress', { maxConcurrent: 3 })],
      html((response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(LONG));
        };
        response.on('drain', more);
        more();
      }),
    );
    wake();
    const leave = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const request = http.get({
          port: harness.port,
          agent: false,
          headers: { 'Accept-Encoding': ['gzip', 'br', 'zstd'][i % 3] },
        });
        const [response] = (await once(request, 'response')) as [http.IncomingMessage];
        // The count of encoders went back each time: otherwise bodies would go as they are from the fourth on.
        assert.ok(response.headers['content-encoding'] !== undefined, `exchange ${i}`);
        if (i % 2 === 0) await once(response, 'data');
        request.destroy();
        await once(request, 'close');
        await harness.next(
          (message) => message.type === 'demand' && message.windows.every(({ inFlight }) => inFlight === 0),
        );
      }
    };
    await leave(30);
    const connections = await new Promise<number>((resolve) => app.getConnections((_error, count) => resolve(count)));
    assert.equal(connections, 0);
  });

  test('a client that reads slowly gets it all, and holds the endpoint back', async () => {
    let written = 0;
    const { harness, wake } = await setUp(
      [filter('compress', { encodings: ['gzip'], levels: { gzip: 1 } })],
      html((response) => {
        let left = 400;
        const more = (): void => {
          while (left > 0) {
            left--;
            // Hardly smaller when encoded.
            const part = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)));
            written += part.length;
            if (!response.write(part)) return;
          }
          response.end();
        };
        response.on('drain', more);
        more();
      }),
    );
    wake();
    const request = http.get({ port: harness.port, headers: { 'Accept-Encoding': 'gzip' } });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    // Not reading: what is between the endpoint and here fills up, and no more.
    let before = -1;
    while (written !== before) {
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(written < 400 * 65_536, 'the endpoint could send everything');
    let decoded = 0;
    for await (const part of response.pipe(createGunzip())) decoded += (part as Buffer).length;
    assert.equal(decoded, 400 * 65_536);
  });
});

describe('body', () => {
  test('JSON that turns out to be broken or too long breaks the transfer off', async () => {
    const { ask, wake } = await setUp(
      [filter('body', { response: { remove: ['a'], maxBody: '50kB' } })],
      (request, response) => {
        response.setHeader('Content-Type', 'application/json');
        response.write(request.url === '/broken' ? '{"a":' : `["${'x'.repeat(60_000)}`);
        setTimeout(() => response.end('"]'), 5);
      },
    );
    wake();
    for (let i = 0; i < 10; i++) {
      for (const path of ['/broken', '/long'])
        await assert.rejects(
          ask({ agent: false, path }),
          (error: NodeJS.ErrnoException) => error.code === 'ECONNRESET',
        );
    }
  });

  test('what is known to be too long, or encoded, is answered 502', async () => {
    const { ask, wake } = await setUp(
      [filter('body', { response: { remove: ['a'], maxBody: '1kB' } })],
      (request, response) => {
        response.setHeader('Content-Type', 'application/json');
        if (request.url === '/coded') response.setHeader('Content-Encoding', 'gzip');
        response.end(request.url === '/coded' ? 'xx' : JSON.stringify('x'.repeat(100_000)));
      },
    );
    wake();
    for (const path of ['/coded', '/long', '/coded']) {
      const { status, headers, body } = await ask({ path });
      assert.equal(status, 502);
      assert.equal(headers['content-encoding'], undefined);
      assert.equal((JSON.parse(body.toString()) as { code: string }).code, 'body-unreadable');
    }
  });

  test('a request beyond the bound is answered 413', async () => {
    let asked = 0;
    const { ask, wake } = await setUp(
      [filter('body', { request: { set: { a: 1 }, maxBody: '1kB' } })],
      (_request, response) => {
        asked++;
        response.end();
      },
    );
    wake();
    const headers = { 'Content-Type': 'application/json' };
    assert.equal((await ask({ method: 'POST', headers, agent: false }, JSON.stringify('x'.repeat(2000)))).status, 413);
    const chunked = { ...headers, 'Transfer-Encoding': 'chunked' };
    assert.equal(
      (await ask({ method: 'POST', headers: chunked, agent: false }, JSON.stringify('x'.repeat(2000)))).status,
      413,
    );
    assert.equal(asked, 0);
    assert.equal((await ask({ method: 'POST', headers }, '{}')).status, 200);
  });
});

describe('a response that a filter breaks off at its end', () => {
  const refuses = [filter('body', { response: { set: { a: 1 } } })];
  // In two parts, since a whole answer takes another way.
  const broken: http.RequestListener = (_request, response) => {
    response.setHeader('Content-Type', 'application/json');
    response.write('{{{');
    response.end();
  };

  // It was ended twice: counted and logged so over HTTP/2, and over HTTP/1.1 the next pipelined request was sent to the endpoint for a client that had been reset.
  test('is counted once, and nothing is done for its client any more', async () => {
    const asked: string[] = [];
    const { harness, wake } = await setUp(refuses, (request, response) => {
      asked.push(request.url!);
      if (request.url === '/last') json({})(request, response);
      else broken(request, response);
    });
    wake();
    const client = await harness.connect();
    client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until(({ closed }) => closed);
    const session = http2.connect(`http://127.0.0.1:${harness.port}`);
    open.push(() => session.destroy());
    const stream = session.request({ ':path': '/3' });
    await assert.rejects(once(stream.resume(), 'end'));
    const last = await harness.connect();
    last.send('GET /last HTTP/1.1\r\nHost: a\r\n\r\n');
    await last.until(({ received }) => received.endsWith('{"a":1}'));
    assert.deepEqual(asked, ['/1', '/3', '/last']);
    assert.deepEqual(
      harness.log.map(({ target, outcome }) => [target, outcome]),
      [
        ['/1', 'filter-failed'],
        ['/3', 'filter-failed'],
        ['/last', ''],
      ],
    );
  });
});
