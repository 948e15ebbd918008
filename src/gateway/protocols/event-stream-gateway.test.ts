import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import type { RuleConfig } from '../../model/config.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import { RawBackend } from '../fixtures/raw-backend.ts';
import type { RawRequest } from '../fixtures/raw-backend.ts';

const open: { close(): Promise<void> }[] = [];

async function serve(answer: (request: RawRequest) => void, rule: Partial<RuleConfig> = {}, asleep = false) {
  const backend = await RawBackend.start(answer);
  const sse = { heartbeatMs: 0, retryMs: 0 };
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app')], { routes: [routeConfig('app', { sse, ...rule })] }),
  );
  open.push(harness, backend);
  const wakeUp = (): number => harness.update('app', [{ port: backend.port }]);
  if (!asleep) wakeUp();
  return { backend, harness, wakeUp, client: await harness.connect() };
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n';
const GET = 'GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nLast-Event-ID: 41\r\n\r\n';
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const withHead = (text: string): RegExp => new RegExp(`\\r\\n\\r\\n${text}$`);

describe('event streams', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('the head and each event pass at once, and Last-Event-ID goes to the application', async () => {
    const { client, backend } = await serve(({ socket }) => socket.write(HEAD));
    client.send(GET);
    await client.until(({ received }) => received.endsWith('\r\n\r\n'));
    assert.match(backend.requests[0]!.head, /\r\nLast-Event-ID: 41\r\n/);
    const [socket] = backend.sockets;
    for (const event of ['data: 1\n\n', 'data: 2\r\n\r\n', 'data: half']) {
      client.received = '';
      socket!.write(chunk(event));
      await client.until(({ received }) => received === chunk(event));
    }
  });

  it('a stream whose end is the end of the connection', async () => {
    const { client } = await serve(({ socket }) =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: all\n\n'),
    );
    client.send(GET);
    await client.until(({ received }) => received.endsWith(`${chunk('data: all\n\n')}0\r\n\r\n`));
  });

  it('heartbeats in a silence, retry at the beginning', async () => {
    const { client } = await serve(({ socket }) => socket.write(HEAD + chunk('data: 1\n\n')), {
      sse: { heartbeatMs: 200, retryMs: 3000 },
    });
    client.send(GET);
    await client.until(({ received }) => received.split(chunk(': \n\n')).length === 3);
    assert.match(client.received, withHead(`${chunk('retry: 3000\n\ndata: 1\n\n')}(?:${chunk(': \n\n')}){2}`));
  });

  it('no heartbeat into an event', async () => {
    const { client, backend, harness } = await serve(({ socket }) => socket.write(HEAD + chunk('data: 1')), {
      sse: { heartbeatMs: 100, retryMs: 0 },
    });
    client.send(GET);
    // A second stream, whose heartbeats show that the time has come.
    const other = await harness.connect();
    await client.until(({ received }) => received.endsWith(chunk('data: 1')));
    other.send(GET);
    await other.until(({ received }) => received.endsWith(chunk('data: 1')));
    backend.requests[1]!.socket.write(chunk('\n\n'));
    await other.until(({ received }) => received.split(chunk(': \n\n')).length === 4);
    assert.match(client.received, withHead(chunk('data: 1')));
  });

  it('compressed streams and those of a known length are left alone', async () => {
    const { client } = await serve(
      ({ socket, target }) =>
        socket.write(
          target === '/gzip'
            ? `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n${chunk('\x1f\x8b')}0\r\n\r\n`
            : 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n',
          'latin1',
        ),
      { sse: { heartbeatMs: 100, retryMs: 3000 } },
    );
    client.send('GET /gzip HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await client.response()).body, '2\r\n\x1f\x8b\r\n');
    client.send('GET /short HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await client.response()).body, 'data: 1\n\n');
  });

  it('timeouts of the route end with its head: it may last and be silent', async () => {
    const { client, backend } = await serve(({ socket }) => socket.write(HEAD + chunk('data: 1\n\n')), {
      timeouts: { requestMs: 300, perTryMs: 300, idleMs: 300 },
      sse: { heartbeatMs: 900, retryMs: 0 },
    });
    client.send(GET);
    await client.until(({ received }) => received.endsWith(chunk(': \n\n')));
    backend.requests[0]!.socket.write(chunk('data: 2\n\n'));
    await client.until(({ received }) => received.endsWith(chunk('data: 2\n\n')));
  });

  it('a client that leaves: the endpoint sees it at once', async () => {
    const { client, backend } = await serve(({ socket }) => socket.write(HEAD + chunk('data: 1\n\n')));
    client.send(GET);
    await client.until(({ received }) => received.includes('data: 1'));
    const [socket] = backend.sockets;
    const gone = once(socket!, 'close');
    client.socket.destroy();
    await gone;
  });

  it('an endpoint that breaks off: the client sees a broken transfer', async () => {
    const { client, backend } = await serve(({ socket }) => socket.write(HEAD + chunk('data: 1\n\n')), {
      sse: { heartbeatMs: 15_000, retryMs: 3000 },
    });
    client.send(GET);
    await client.until(({ received }) => received.includes('data: 1'));
    [...backend.sockets][0]!.resetAndDestroy();
    await client.until(({ closed }) => closed);
    assert.doesNotMatch(client.received, /0\r\n\r\n$/);
  });

  it('is held while the backend wakes', async () => {
    const { client, harness, wakeUp } = await serve(
      ({ socket }) => socket.write(HEAD + chunk('data: 1\n\n')),
      { sse: { heartbeatMs: 15_000, retryMs: 3000 } },
      true,
    );
    const woken = harness.nextOf('wake');
    client.send(GET);
    await woken;
    wakeUp();
    await client.until(({ received }) => received.endsWith(chunk('retry: 3000\n\ndata: 1\n\n')));
    assert.match(client.received, /x-cold-start: true/);
  });

  it('a slow reader holds the endpoint back, and gets no heartbeats on top', async () => {
    let sent = 0;
    let left = 20_000_000;
    const part = chunk(`data: ${'x'.repeat(60_000)}\n\n`);
    const { client, harness } = await serve(
      ({ socket }) => {
        socket.write(HEAD);
        const more = (): void => {
          while (left > 0) {
            left -= part.length;
            sent += part.length;
            if (!socket.write(part)) {
              socket.once('drain', more);
              return;
            }
          }
          socket.write('0\r\n\r\n');
        };
        more();
      },
      { sse: { heartbeatMs: 50, retryMs: 0 } },
    );
    client.socket.pause();
    client.send(GET);
    for (let before = -1; before !== sent;) {
      before = sent;
      for (let i = 0; i < 3; i++) await harness.nextOf('demand');
    }
    assert.ok(left > 0, 'all of it was taken though nobody reads');
    client.socket.resume();
    await client.until(({ received }) => received.endsWith('0\r\n\r\n'));
  });

  it('a thousand streams that end in every way leave nothing behind', { timeout: 60_000 }, async () => {
    const { harness, backend } = await serve(
      ({ socket, target }) => {
        socket.write(HEAD + chunk('data: 1\n\n'));
        if (target === '/reset') socket.resetAndDestroy();
        if (target === '/end') socket.write('0\r\n\r\n');
      },
      { sse: { heartbeatMs: 1000, retryMs: 3000 } },
    );
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        ['/reset', '/end', '/leave', '/reset-by-client', '/leave'].flatMap((path) =>
          Array.from({ length: 10 }, async () => {
            const client = await harness.connect();
            client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
            if (path === '/reset') await client.until(({ closed }) => closed);
            else await client.until(({ received }) => received.includes('data: 1'));
            if (path === '/reset-by-client') client.socket.resetAndDestroy();
            else client.socket.destroy();
          }),
        ),
      );
    }
    while (backend.sockets.size > 64) await once([...backend.sockets][0]!, 'close');
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.inFlight === 0 && w.requests === 0));
  });
});
