/** Clients that misbehave: they cost a bounded amount, get what they deserve, and nobody else notices. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ask, RawClient } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };

describe('clients that misbehave', { concurrency: 3 }, () => {
  let place: Place;
  let up: Dormouse;
  let port = 0;

  before(async () => {
    place = new Place(
      configuration({
        listeners: [
          {
            name: 'web',
            address: '127.0.0.1:0',
            timeouts: { header: '600ms', body: '600ms', idle: '700ms' },
            limits: { headerBytes: '8kB', uriBytes: '1kB', bodyBytes: '1MB' },
          },
          { name: 'few', address: '127.0.0.1:0', limits: { connections: 2 } },
        ],
        backends: {
          app: backend(),
          late: backend({ delayMs: 1200 }),
          sleepy: backend({ never: true }, { wake: { maxHeld: 3 } }),
          // Never woken: its short idle time makes the gateways report twenty times a second.
          pace: backend({}, { scale: { idleAfter: '200ms' } }),
          alone: backend(),
          busy: backend({ delayMs: 1500 }),
        },
      }),
    );
    up = await place.start().up();
    port = await up.port();
    assert.equal((await ask(port, '/app/pid')).status, 200);
  });

  after(() => place[Symbol.asyncDispose]());

  it(
    'a head that comes a byte at a time is answered 408 and closed; others are answered meanwhile',
    BOUND,
    async () => {
      using slow = await RawClient.connect(port);
      const bytes = 'GET /app/pid HTTP/1.1\r\nHost: x\r\n';
      let sent = 0;
      const drip = setInterval(() => slow.send(bytes[sent++] ?? 'x'), 40);
      const others = await Promise.all(Array.from({ length: 10 }, () => ask(port, '/app/pid')));
      await slow.until(/^HTTP\/1\.1 408 [^]*Connection: close\r\n/i);
      clearInterval(drip);
      await slow.closed();
      assert.ok(sent < bytes.length + 10);
      assert.ok(others.every(({ status }) => status === 200));
    },
  );

  it('a body that stops is answered 408; one that comes slowly but steadily is served', BOUND, async () => {
    using stops = await RawClient.connect(port);
    stops.send('POST /app/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1234');
    using steady = await RawClient.connect(port);
    steady.send('POST /app/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n');
    let left = 20;
    const drip = setInterval(() => {
      if (left-- > 0) steady.send('a');
      else clearInterval(drip);
    }, 60);
    // The application has begun to answer (it echoes); what comes then is an end that can't be mistaken for a complete answer.
    await until('it was ended', () => stops.received.startsWith('HTTP/1.1 408 ') || stops.isClosed);
    assert.doesNotMatch(stops.received, /\r\n0\r\n\r\n$/);
    await steady.until(/^HTTP\/1\.1 200 /);
    await until(
      'all of it came back',
      () => (steady.received.split('\r\n\r\n').slice(1).join('').match(/a/g) ?? []).length === 20,
    );
  });

  it('a body that stops before the application answers is answered 408', BOUND, async () => {
    using stops = await RawClient.connect(port);
    stops.send('POST /app/digest HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1234');
    await stops.until(/^HTTP\/1\.1 408 [^]*"body-timeout"/);
    await stops.closed();
  });

  it(
    'a large body whose backend is still starting is waited with, however short the timeout of the body',
    BOUND,
    async () => {
      // Beyond 64 kB the gateway leaves it in the socket: it is not the client that pauses.
      const body = 'x'.repeat(300_000);
      const answer = await ask(port, { path: '/busy/digest', body });
      assert.equal(answer.status, 200, answer.body);
      assert.equal(answer.body, createHash('sha256').update(body).digest('hex'));
    },
  );

  it('a client that opens a connection and says nothing is closed', BOUND, async () => {
    using silent = await RawClient.connect(port);
    await silent.closed();
    assert.equal(silent.received, '');
  });

  it('a client that never reads costs a bounded buffer, and keeps nobody from being served', BOUND, async () => {
    const memory = async (): Promise<number> => (await up.status()).workers[0]!.rssBytes;
    const before = await memory();
    using greedy = await RawClient.connect(port);
    greedy.socket.pause();
    greedy.send('GET /app/big?bytes=2000000000 HTTP/1.1\r\nHost: x\r\n\r\n');
    await up.backendWhen('app', 'busy', ({ demand }) => demand.inFlight >= 1);
    for (let turn = 0; turn < 30; turn++) assert.equal((await ask(port, '/app/pid')).status, 200);
    const grownMb = ((await memory()) - before) / 1e6;
    assert.ok(grownMb < 60, `${grownMb} MB more`);
    greedy.destroy();
  });

  it('clients that vanish while they are held free their place', BOUND, async () => {
    const held = (count: number) => up.backendWhen('sleepy', `holding ${count}`, ({ demand }) => demand.held === count);
    const clients = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect(port)));
    for (const client of clients) client.send('GET /sleepy/ HTTP/1.1\r\nHost: x\r\n\r\n');
    await held(3);
    const refused = await ask(port, '/sleepy/');
    assert.equal(refused.status, 503);
    assert.ok(Number(refused.headers['retry-after']) >= 1);
    assert.match(refused.body, /"hold-full"/);
    clients[1]!.reset();
    await held(2);
    using next = await RawClient.connect(port);
    next.send('POST /sleepy/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab');
    await held(3);
    for (const client of [...clients, next]) client.reset();
    await held(0);
  });

  it('a client that vanishes while held is not sent on; who stays is answered in order', BOUND, async () => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(port)));
    for (const [index, client] of clients.entries()) {
      client.send(`GET /late/pid?number=${index} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await up.backendWhen('late', `holding ${index + 1}`, ({ demand }) => demand.held === index + 1);
    }
    clients[1]!.reset();
    clients[3]!.reset();
    const served: { number: number; requests: number }[] = [];
    for (const number of [0, 2, 4]) {
      const [, requests = '0'] = await clients[number]!.until(/"requests":(\d+)/);
      served.push({ number, requests: Number(requests) });
    }
    assert.deepEqual(served, [
      { number: 0, requests: 1 },
      { number: 2, requests: 2 },
      { number: 4, requests: 3 },
    ]);
    for (const client of clients) client.destroy();
  });

  it('what is too long is refused with the right status', BOUND, async () => {
    assert.equal((await ask(port, `/app/${'x'.repeat(2000)}`)).status, 414);
    assert.equal((await ask(port, { path: '/app/pid', headers: { x: 'y'.repeat(10_000) } })).status, 431);
    assert.equal((await ask(port, { path: '/app/echo', body: Buffer.alloc(1_100_000) })).status, 413);
    using client = await RawClient.connect(port);
    client.send('POST /app/digest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (let part = 0; part < 12; part++) client.send(`186a0\r\n${'x'.repeat(100_000)}\r\n`);
    await client.until(/^HTTP\/1\.1 413 /);
  });

  it('what is ambiguous is refused and never reaches the application', BOUND, async () => {
    for (const head of [
      'POST /alone/pid HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'GET /alone/pid HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
      'GET /alone/pid HTTP/1.1\r\nHost : x\r\n\r\n',
      'GET /alone/pid HTTP/1.1\nHost: x\n\n',
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    ]) {
      using client = await RawClient.connect(port);
      client.send(head);
      await client.until(/^HTTP\/1\.1 400 /);
      await client.closed();
    }
    // The first that it ever sees.
    assert.match((await ask(port, '/alone/pid')).body, /"requests":1\}/);
  });

  it('more connections than the listener may have are told so', BOUND, async () => {
    const few = await up.port('few');
    const first = await RawClient.connect(few);
    const second = await RawClient.connect(few);
    for (const client of [first, second]) {
      client.send('GET /app/pid HTTP/1.1\r\nHost: x\r\n\r\n');
      await client.until(/^HTTP\/1\.1 200 /);
    }
    using third = await RawClient.connect(few);
    await third.until(/^HTTP\/1\.1 503 [^]*Retry-After: 1\r\n[^]*too-many-connections/);
    first.destroy();
    second.destroy();
    await until('there is room again', async () => (await ask(few, '/app/pid')).status === 200);
  });
});
