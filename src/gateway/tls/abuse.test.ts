import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { TlsGateway } from '../fixtures/tls-gateway.ts';

const ABORTED = 10_000;
const AT_ONCE = 50;

const asked = [{ names: ['a.test'] }];

/** What the listener has open is nothing in the end. */
async function allClosed(gateway: TlsGateway): Promise<void> {
  const [listener] = gateway.harness.gateway['listeners'].values();
  const give = AbortSignal.timeout(10_000);
  while (listener!.connections.size > 0) {
    give.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Bytes of the process after what is garbage has gone. */
function memory(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage.rss();
}

function openHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => /TCP|TLS/.test(name)).length;
}

function dial(gateway: TlsGateway): Socket {
  return connect({ host: '127.0.0.1', port: gateway.harness.port }).on('error', () => {});
}

/** The ClientHello of a real client. */
async function hello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const client = connectTls({
    host: '127.0.0.1',
    port: (server.address() as { port: number }).port,
    servername: 'a.test',
  });
  client.on('error', () => {});
  const [socket] = (await accepted) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

describe('TLS that is not meant well', () => {
  test('ten thousand handshakes that are broken off leave nothing behind', async () => {
    await using gateway = await TlsGateway.start(asked);
    const bytes = await hello();
    const abort = async (turn: number): Promise<void> => {
      const socket = dial(gateway);
      await once(socket, 'connect');
      // Before, within and after the ClientHello; after the answer; by FIN and by RST; and nonsense.
      if (turn % 5 === 1) socket.write(bytes.subarray(0, turn % bytes.length));
      else if (turn % 5 === 2) socket.write(bytes);
      else if (turn % 5 === 3) {
        socket.write(bytes);
        await once(socket, 'data');
      } else if (turn % 5 === 4) {
        socket.write('GET / HTTP/1.1\r\n\r\n');
        await once(socket, 'close');
        return;
      }
      if (turn % 2 === 0) socket.resetAndDestroy();
      else socket.destroy();
      await once(socket, 'close');
    };
    let made = 0;
    const rounds = async (count: number): Promise<void> => {
      let turn = 0;
      made += count;
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          while (turn < count) await abort(turn++);
        }),
      );
      // Clients are faster than handshakes: those that have left wait to be accepted.
      const give = AbortSignal.timeout(20_000);
      while (gateway.harness.gateway.counters.connections < made) {
        give.throwIfAborted();
        await new Promise((resolve) => setImmediate(resolve));
      }
      await allClosed(gateway);
    };
    // The first ones fill caches and pools.
    await rounds(ABORTED / 2);
    const before = memory();
    const handles = openHandles();
    await rounds(ABORTED / 2);
    const grown = memory() - before;
    // Each connection that stayed would keep some 30 kB, most of it OpenSSL's: 150 MB together.
    assert.ok(grown < 40 << 20, `${Math.round(grown / 1024)} kB more after ${ABORTED} handshakes`);
    assert.equal(openHandles(), handles);
    const { full, resumed, failed, aborted } = gateway.handshakes;
    assert.deepEqual([full, resumed], [0, 0]);
    assert.ok(
      failed >= ABORTED / 5 && aborted > 0 && failed + aborted <= ABORTED,
      `${failed} failed, ${aborted} aborted`,
    );
    assert.equal((await gateway.get('a.test')).status, 200);
  });

  test('a client that says nothing, or a byte now and then, is closed when its time is over', async () => {
    for (const certificates of [asked, [...asked, { names: ['b.test'] }]]) {
      // A handshake of a busy machine takes less.
      await using gateway = await TlsGateway.start(certificates, { listener: { timeouts: { headerMs: 1000 } } });
      const bytes = await hello();
      const silent = dial(gateway);
      const slow = dial(gateway);
      let at = 0;
      const drip = setInterval(() => slow.write(bytes.subarray(at, ++at)), 20);
      try {
        await Promise.all([once(silent, 'close'), once(slow, 'close')]);
      } finally {
        clearInterval(drip);
      }
      await allClosed(gateway);
      assert.equal(gateway.handshakes.timeout, 2);
      assert.ok(at < bytes.length, 'long before its hello was complete');
      // The same after the handshake, before the first request.
      const done = await gateway.connect('a.test');
      done.resume();
      await once(done, 'close');
      await allClosed(gateway);
    }
  });

  test('renegotiation is not offered', async () => {
    await using gateway = await TlsGateway.start(asked);
    const socket = await gateway.connect('a.test', { maxVersion: 'TLSv1.2' });
    const refused = new Promise<Error | null>((resolve) => {
      socket.once('error', resolve);
      socket.renegotiate({}, resolve);
    });
    assert.match(String(await refused), /NO_RENEGOTIATION|no renegotiation|ECONNRESET|disconnected/i);
    socket.destroy();
  });

  test('bytes that are no TLS in the middle of a connection end it', async () => {
    await using gateway = await TlsGateway.start(asked);
    const raw = dial(gateway);
    await once(raw, 'connect');
    const socket = connectTls({ socket: raw, servername: 'a.test', ca: gateway.authority.pem });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await once(socket, 'data');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    raw.write('hello hello hello hello');
    await closed;
    await allClosed(gateway);
  });

  test('of too many connections the last ones are closed, and counted', async () => {
    await using gateway = await TlsGateway.start(asked, { listener: { limits: { connections: 2 } } });
    const open = [await gateway.connect('a.test'), await gateway.connect('a.test')];
    await assert.rejects(gateway.connect('a.test'), /ECONNRESET|disconnected/);
    assert.equal(gateway.harness.gateway.counters.connectionsRefused.limit, 1);
    for (const socket of open) socket.destroy();
    await allClosed(gateway);
    assert.equal((await gateway.get('a.test')).status, 200);
  });

  test('a response that breaks off is seen to be incomplete, though nothing says its length', async () => {
    await using gateway = await TlsGateway.start(asked, {
      answer: (request) => {
        request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome of it');
        setImmediate(() => request.socket.resetAndDestroy());
      },
    });
    const socket = await gateway.connect('a.test');
    let error: Error | null = null;
    socket.on('error', (raised) => (error = raised));
    socket.on('data', () => {});
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('GET / HTTP/1.0\r\nHost: a.test\r\n\r\n');
    await closed;
    assert.match(String(error), /ECONNRESET/);
  });
});
