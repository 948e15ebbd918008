import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../fixtures/raw-backend.ts';
import type { RawRequest } from '../fixtures/raw-backend.ts';

const open: { close(): Promise<void> }[] = [];
const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

async function sleeping(
  config = backendConfig('app'),
  answer: (request: RawRequest, index: number) => void = (r) => r.socket.write(ok(r.target)),
) {
  const backend = await RawBackend.start(answer);
  const harness = await GatewayHarness.start(gatewayConfig([config]));
  open.push(harness, backend);
  return { backend, harness };
}

describe('holding', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('asks for a wake once, at once, and answers in the order of arrival', async () => {
    const { backend, harness } = await sleeping();
    const clients = [];
    for (let i = 0; i < 20; i++) {
      const client = await harness.connect();
      client.send(request(`/${i}`));
      clients.push(client);
      if (i === 0) {
        const wake = await harness.nextOf('wake');
        assert.deepEqual(
          { backend: wake.backend, route: wake.route, method: wake.method, path: wake.path },
          { backend: 'app', route: 'app', method: 'GET', path: '/0' },
        );
      }
    }
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 20));
    harness.update('app', [{ port: backend.port }]);
    for (const [i, client] of clients.entries()) {
      const answer = await client.response();
      assert.equal(answer.body, `/${i}`);
      assert.match(answer.head, /\r\nx-cold-start: true\r\n/);
    }
    assert.deepEqual(
      backend.requests.map((r) => r.target),
      clients.map((_, i) => `/${i}`),
    );
    clients[0]!.send(request('/warm'));
    assert.doesNotMatch((await clients[0]!.response()).head, /cold/);
    assert.ok(harness.messages.filter((m) => m.type === 'wake').length <= 2, 'one wake, or a second after a second');
  });

  it('answers 503 with Retry-After when the queue is full', async () => {
    const { harness } = await sleeping(backendConfig('app', { wake: { maxHeld: 2 } }));
    for (let i = 0; i < 2; i++) (await harness.connect()).send(request('/'));
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 2));
    const third = await harness.connect();
    third.send(request('/'));
    const answer = await third.response();
    assert.equal(answer.status, 503);
    assert.match(answer.head, /Retry-After: 1/);
    assert.match(answer.body, /hold-full/);
  });

  it('refuses the newest when the controller has no more to give', async () => {
    const { harness } = await sleeping();
    const first = await harness.connect();
    first.send(request('/'));
    const ask = await harness.nextOf('lease-ask');
    assert.ok(ask.holds >= 1);
    harness.link.send({ type: 'lease', backend: 'app', holds: 1, bytes: 1 << 20 });
    const second = await harness.connect();
    second.send(request('/'));
    await harness.nextOf('lease-ask');
    harness.link.send({ type: 'lease', backend: 'app', holds: 0, bytes: 0 });
    assert.equal((await second.response()).status, 503);
    assert.equal(first.received, '');
  });

  it('answers 504 when the backend does not wake in time', async () => {
    const { harness } = await sleeping(backendConfig('app', { wake: { timeoutMs: 150 } }));
    const client = await harness.connect();
    client.send(request('/'));
    const answer = await client.response();
    assert.equal(answer.status, 504);
    assert.match(answer.body, /wake\.timeout/);
  });

  it('forgets a client that leaves, so that the endpoint never sees its request', async () => {
    const { backend, harness } = await sleeping();
    const leaving = await harness.connect();
    leaving.send(request('/gone'));
    await harness.nextOf('wake');
    const staying = await harness.connect();
    staying.send(request('/stays'));
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 2));
    leaving.socket.resetAndDestroy();
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 1));
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await staying.response()).body, '/stays');
    assert.deepEqual(
      backend.requests.map((r) => r.target),
      ['/stays'],
    );
    assert.equal(harness.log.find((entry) => entry.target === '/gone')!.outcome, 'client-gone');
  });

  it('answers a held client that has closed its sending side', async () => {
    const { backend, harness } = await sleeping();
    const client = await harness.connect();
    client.socket.end(request('/half'), 'latin1');
    await harness.nextOf('wake');
    harness.update('app', [{ port: backend.port }]);
    await client.until((c) => c.ended);
    assert.match(client.received, /\/half$/);
  });

  it('reads a bounded part of a held body and sends the whole of it later', async () => {
    const { backend, harness } = await sleeping(
      backendConfig('app'),
      (r) => void r.bodyUntil((body) => body.length === 5_000_000).then((body) => r.socket.write(ok(`${body.length}`))),
    );
    const client = await harness.connect();
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n${'x'.repeat(5_000_000)}`);
    const report = await harness.next<Extract<Awaited<ReturnType<GatewayHarness['nextOf']>>, { type: 'demand' }>>(
      (m) => m.type === 'demand' && m.windows.some((w) => w.held === 1),
    );
    assert.equal(report.windows[0]!.held, 1);
    harness.link.send({ type: 'collect', id: 1 });
    const status = await harness.nextOf('collected');
    assert.ok(status.status.backends[0]!.heldBytes < 300_000, `${status.status.backends[0]!.heldBytes} bytes held`);
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await client.response()).body, '5000000');
  });

  // A body whose last chunk filled the read-ahead left the socket paused: the connection's next request was never read.
  it('reads the next request of a connection whose held body filled the read-ahead', async () => {
    const { backend, harness } = await sleeping(
      backendConfig('app'),
      (r) =>
        void r
          .bodyUntil((body) => body.length >= Number(/content-length: (\d+)/i.exec(r.head)?.[1] ?? 0))
          .then(() => r.socket.write(ok(r.target))),
    );
    for (const size of [65_536, 70_000, 131_072]) {
      harness.update('app', []);
      const client = await harness.connect();
      client.send(`POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`);
      await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 1));
      harness.update('app', [{ port: backend.port }]);
      assert.equal((await client.response()).body, '/held');
      client.send(request('/next'));
      assert.equal((await client.response()).body, '/next');
    }
  });

  it('notices at the release that a client left whose body was not read to its end', async () => {
    const { backend, harness } = await sleeping();
    const client = await harness.connect();
    client.send(`POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n${'x'.repeat(66_000)}`);
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 1));
    client.socket.destroy();
    const staying = await harness.connect();
    staying.send(request('/stays'));
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held >= 1 && w.requests === 1));
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await staying.response()).body, '/stays');
    assert.deepEqual(
      backend.requests.map((r) => r.target),
      ['/stays'],
    );
  });

  it('holds an upgrade', async () => {
    const { backend, harness } = await sleeping(backendConfig('app'), (r) => {
      r.socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      r.socket.on('data', (chunk) => r.socket.write(chunk));
    });
    const client = await harness.connect();
    client.send('GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst');
    await harness.nextOf('wake');
    harness.update('app', [{ port: backend.port }]);
    const text = await client.until((c) => c.received.endsWith('first'));
    assert.match(text, /^HTTP\/1\.1 101 [\s\S]*x-cold-start: true/);
  });

  it('answers 503 with the reason while the backend crashes, and tries again after its back-off', async () => {
    const { backend, harness } = await sleeping();
    const client = await harness.connect();
    client.send(request('/'));
    await harness.nextOf('wake');
    harness.update('app', [], {
      crash: {
        reason: 'exited with code 3',
        atMs: Date.now(),
        retryAtMs: Date.now() + 300,
        attempts: 1,
        lastLogLines: [],
      },
    });
    const answer = await client.response();
    assert.equal(answer.status, 503);
    assert.match(answer.body, /exited with code 3/);
    assert.match(answer.head, /Retry-After: 1\r\n/);
    const again = await harness.connect();
    const woken = harness.nextOf('wake').then(() => null);
    let pending;
    do {
      again.send(request('/again'));
      pending = again.response();
    } while ((await Promise.race([woken, pending])) !== null);
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await pending).body, '/again');
  });

  it('waits again when the endpoint refuses the connection', async () => {
    const { backend, harness } = await sleeping();
    const gone = await RawBackend.start(() => {});
    const port = gone.port;
    await gone.close();
    const client = await harness.connect();
    client.send('POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi');
    await harness.nextOf('wake');
    harness.update('app', [{ id: 'old', port }]);
    const suspect = await harness.nextOf('suspect');
    assert.equal(suspect.endpoint, 'old');
    harness.update('app', [{ id: 'new', port: backend.port }]);
    assert.equal((await client.response()).body, '/p');
  });

  it('shows browsers a waiting page where that is on, and holds everybody else', async () => {
    const { backend, harness } = await sleeping(backendConfig('app', { wake: { page: true } }));
    const browser = await harness.connect();
    browser.send('GET /shop HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*;q=0.8\r\n\r\n');
    await harness.nextOf('wake');
    const page = await browser.response();
    assert.equal(page.status, 503);
    assert.match(page.head, /text\/html/);
    assert.match(page.body, /app is waking up/);
    browser.send('GET /shop HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nx-dormouse-wait: 1\r\n\r\n');
    assert.equal((await browser.response()).status, 503);
    const curl = await harness.connect();
    curl.send('GET /curl HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n');
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 1));
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await curl.response()).body, '/curl');
    browser.send('GET /shop HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nx-dormouse-wait: 1\r\n\r\n');
    assert.equal((await browser.response()).status, 204);
    browser.send('GET /shop HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n\r\n');
    assert.equal((await browser.response()).body, '/shop');
    assert.ok(backend.requests.every((r) => !r.head.includes('x-dormouse-wait')));
  });

  it('says drained when nothing is in flight, and holds what comes after', async () => {
    let finish: () => void = () => {};
    const { backend, harness } = await sleeping(backendConfig('app'), (r) => {
      if (r.target === '/slow') finish = () => r.socket.write(ok('slow'));
      else r.socket.write(ok(r.target));
    });
    harness.update('app', [{ port: backend.port }]);
    const client = await harness.connect();
    client.send(request('/slow'));
    while (backend.requests.length === 0) await new Promise(setImmediate);
    const version = harness.update('app', [{ port: backend.port, state: 'draining' }], { phase: 'falling-asleep' });
    const late = await harness.connect();
    late.send(request('/late'));
    await harness.nextOf('wake');
    assert.equal(
      harness.messages.some((m) => m.type === 'drained'),
      false,
    );
    const drained = harness.nextOf('drained');
    finish();
    assert.equal((await client.response()).body, 'slow');
    assert.deepEqual(
      { ...(await drained), lastActivityMs: 0 },
      { type: 'drained', backend: 'app', version, endpoint: 'app-0', held: 1, lastActivityMs: 0 },
    );
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await late.response()).body, '/late');
  });

  it('lets many go without flooding a fresh instance', async () => {
    let atOnce = 0;
    let most = 0;
    const { backend, harness } = await sleeping(backendConfig('app', { wake: { maxHeld: 1000 } }), (r) => {
      most = Math.max(most, ++atOnce);
      setImmediate(() => {
        atOnce--;
        r.socket.write(ok(r.target));
      });
    });
    const clients = await Promise.all(Array.from({ length: 400 }, () => harness.connect()));
    clients.forEach((client, i) => client.send(request(`/${i}`)));
    const grant = harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 400));
    harness.link.send({ type: 'lease', backend: 'app', holds: 1000, bytes: 1 << 26 });
    await grant;
    harness.update('app', [{ port: backend.port }]);
    const answers = await Promise.all(clients.map((client) => client.response()));
    assert.deepEqual(
      answers.map((a) => a.body),
      clients.map((_, i) => `/${i}`),
    );
    assert.ok(most <= 128, `${most} at once`);
  });
});

describe('endpoints with a bound on connections', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('takes the next one as soon as one is answered, in order', async () => {
    const { backend, harness } = await sleeping(backendConfig('app', { endpoints: { maxConnections: 1 } }));
    const clients = await Promise.all(Array.from({ length: 300 }, () => harness.connect()));
    const held = harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 300));
    clients.forEach((client, i) => client.send(request(`/${i}`)));
    harness.link.send({ type: 'lease', backend: 'app', holds: 1000, bytes: 1 << 26 });
    await held;
    // Were it let go by the tick (every 100 ms), this would take 30 s.
    harness.update('app', [{ port: backend.port }]);
    await Promise.all(clients.map((client) => client.response()));
    assert.deepEqual(
      backend.requests.map((r) => r.target),
      clients.map((_, i) => `/${i}`),
    );
    assert.equal(backend.connections, 1);
  });
});

describe('shutdown and reload of a gateway', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('finishes what was accepted, held requests too', async () => {
    const { backend, harness } = await sleeping();
    const client = await harness.connect();
    client.send(request('/held'));
    await harness.nextOf('wake');
    harness.link.send({ type: 'shutdown', drainMs: 5000 });
    harness.update('app', [{ port: backend.port }]);
    const answer = await client.response();
    assert.equal(answer.body, '/held');
    assert.match(answer.head, /connection: close/i);
    await harness.gateway.closed;
  });

  it('keeps requests in flight over a new configuration, and refuses a bad one as a whole', async () => {
    let finish: () => void = () => {};
    const { backend, harness } = await sleeping(backendConfig('app'), (r) => {
      if (r.target === '/slow') finish = () => r.socket.write(ok('slow'));
      else r.socket.write(ok(r.target));
    });
    harness.update('app', [{ port: backend.port }]);
    const client = await harness.connect();
    client.send(request('/slow'));
    while (backend.requests.length === 0) await new Promise(setImmediate);
    const bad = gatewayConfig([
      backendConfig('app', { balance: { strategy: 'no-such', hash: null, sticky: null, slowStartMs: 0 } }),
    ]);
    const refused = await harness.configure(bad);
    assert.equal(refused.type, 'refused');
    const port = harness.port;
    const good = gatewayConfig([backendConfig('app'), backendConfig('second')]);
    good.listeners[0]!.address.port = 0;
    assert.equal((await harness.configure(good)).type, 'configured');
    assert.equal(harness.port, port);
    finish();
    assert.equal((await client.response()).body, 'slow');
    client.send(request('/after'));
    assert.equal((await client.response()).body, '/after');
  });

  // The key of the refused log was kept: a later configuration with that same log went on writing to the old one.
  it('writes to the access log of the configuration in force, also after one was refused', async () => {
    const { backend, harness } = await sleeping();
    harness.update('app', [{ port: backend.port }]);
    const other = gatewayConfig([backendConfig('app')]);
    other.telemetry.accessLog.file = '/other.log';
    const path = { kind: 'regex', value: '(' } as const;
    const matches = [{ path, methods: [], headers: [], query: [] }];
    const bad = { ...other, routes: [routeConfig('app', { matches })] };
    const client = await harness.connect();
    assert.equal((await harness.configure(bad)).type, 'refused');
    client.send(request('/old'));
    await client.response();
    assert.equal((await harness.configure(other)).type, 'configured');
    client.send(request('/new'));
    await client.response();
    assert.deepEqual(harness.loggedTo, ['stdout', '/other.log']);
  });
});
