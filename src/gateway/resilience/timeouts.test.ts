/** What ends a request that takes too long, and what its client gets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import type { UpMessage } from '../../link/messages.ts';
import type { RuleConfig } from '../../model/config.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../fixtures/raw-backend.ts';
import type { RawRequest } from '../fixtures/raw-backend.ts';

const open: { close(): Promise<void> }[] = [];
const GET = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';

async function serve(answer: (request: RawRequest) => void, timeouts: Partial<RuleConfig['timeouts']>, awake = true) {
  const backend = await RawBackend.start(answer);
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app')], {
      routes: [routeConfig('app', { timeouts: { requestMs: 0, perTryMs: 0, idleMs: 0, ...timeouts } })],
    }),
  );
  open.push(harness, backend);
  if (awake) harness.update('app', [{ port: backend.port }]);
  return { backend, harness, client: await harness.connect() };
}

describe('timeouts of a route', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('request: 504 when the answer doesn’t come, and the endpoint is let go', async () => {
    const { client, backend, harness } = await serve(() => {}, { requestMs: 50 });
    client.send(GET);
    const response = await client.response();
    assert.equal(response.status, 504);
    assert.equal(JSON.parse(response.body).code, 'request-timeout');
    for (const socket of backend.sockets) if (!socket.closed) await once(socket, 'close');
    assert.equal(harness.log[0]!.outcome, 'request-timeout');
    client.send(GET);
    assert.equal((await client.response()).status, 504, 'the connection goes on');
  });

  it('request: 408 when the client doesn’t send its body', async () => {
    const { client, harness } = await serve(() => {}, { requestMs: 50 });
    client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
    const response = await client.response();
    assert.equal(response.status, 408);
    assert.equal(JSON.parse(response.body).code, 'request-timeout');
    assert.match(response.head, /\r\nConnection: close\r\n/i);
    await client.until((one) => one.closed || one.ended);
    assert.equal(harness.log[0]!.status, 408);
  });

  it('request: a transfer that has begun breaks', async () => {
    const { client } = await serve(
      ({ socket }) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome'),
      { requestMs: 50 },
    );
    client.send(GET);
    await client.until((one) => one.closed);
    assert.ok(client.received.endsWith('some'));
  });

  it('request: the time of a hold is not part of it', async () => {
    const { client, backend, harness } = await serve(
      ({ socket }) => socket.write(ok('late')),
      { requestMs: 100 },
      false,
    );
    const wake = harness.nextOf('wake');
    client.send(GET);
    await wake;
    await new Promise((resolve) => setTimeout(resolve, 250));
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await client.response()).body, 'late');
    assert.ok(harness.log[0]!.heldMs >= 200);
  });

  it('idle: 504 when nothing passes before the answer', async () => {
    const { client, harness } = await serve(() => {}, { idleMs: 100 });
    client.send(GET);
    const response = await client.response();
    assert.equal(response.status, 504);
    assert.equal(JSON.parse(response.body).code, 'idle-timeout');
    assert.equal(harness.log[0]!.outcome, 'idle-timeout');
  });

  it('idle: an answer that stops in the middle breaks', async () => {
    const { client, harness } = await serve(
      ({ socket }) => void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n'),
      { idleMs: 100 },
    );
    client.send(GET);
    await client.until((one) => one.closed);
    assert.doesNotMatch(client.received, /0\r\n\r\n$/);
    // It was called the client's departure in the access log.
    while (harness.log.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(harness.log[0]!.outcome, 'idle-timeout');
  });

  it('idle: an answer of which a part comes now and then goes on', async () => {
    const { client } = await serve(
      ({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        let left = 12;
        const timer = setInterval(() => {
          if (left-- > 0) socket.write('1\r\nx\r\n');
          else {
            clearInterval(timer);
            socket.write('0\r\n\r\n');
          }
        }, 100);
        socket.on('close', () => clearInterval(timer));
      },
      { idleMs: 600 },
    );
    client.send(GET);
    assert.equal((await client.response()).body.replaceAll(/1\r\nx\r\n/g, 'x'), 'xxxxxxxxxxxx');
  });

  const gone = async (harness: GatewayHarness): Promise<void> => {
    const scrape = async (): Promise<Extract<UpMessage, { type: 'collected' }>> => {
      const collected = harness.nextOf('collected');
      harness.link.send({ type: 'collect', id: 1 });
      return collected;
    };
    const value = async (name: string): Promise<number | undefined> =>
      (await scrape()).metrics.find((family) => family.name === name)?.series.reduce((sum, one) => sum + one.value!, 0);
    // The ends of connections reach the gateway a moment later than the test.
    for (const name of ['dormouse_upstream_connections', 'dormouse_requests_in_flight', 'dormouse_held_requests'])
      while ((await value(name)) !== 0) await new Promise(setImmediate);
    assert.deepEqual((await scrape()).status.backends, []);
  };

  it('ten thousand of them leave nothing behind', { timeout: 60_000 }, async () => {
    const { backend, harness } = await serve(() => {}, { requestMs: 10, perTryMs: 1000 });
    const clients = await Promise.all(Array.from({ length: 100 }, () => harness.connect()));
    for (let round = 0; round < 100; round++) {
      for (const client of clients) client.send(GET);
      for (const client of clients) assert.equal((await client.response()).status, 504);
    }
    for (const socket of backend.sockets) if (!socket.closed) await once(socket, 'close');
    await gone(harness);
    assert.equal(harness.log.filter(({ outcome }) => outcome === 'request-timeout').length, 10_000);
  });

  it(
    'two thousand endpoints that reset in the middle of a body leave nothing behind, and no client takes it for whole',
    { timeout: 60_000 },
    async () => {
      const { harness } = await serve(
        ({ socket }) =>
          void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n', () =>
            socket.resetAndDestroy(),
          ),
        { requestMs: 5000 },
      );
      for (let round = 0; round < 20; round++) {
        const clients = await Promise.all(Array.from({ length: 100 }, () => harness.connect()));
        for (const client of clients) client.send(GET);
        for (const client of clients) {
          await client.until((one) => one.closed);
          assert.doesNotMatch(client.received, /\r\n0\r\n/);
        }
      }
      await gone(harness);
      assert.equal(harness.log.filter(({ outcome }) => outcome === 'upstream-aborted').length, 2000);
    },
  );
});
