import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import type { GatewayBackendConfig, UpMessage } from '../../link/messages.ts';
import type { ListenerConfig } from '../../model/config.ts';
import {
  backendConfig,
  gatewayConfig,
  GatewayHarness,
  listenerConfig,
  RawClient,
} from '../fixtures/gateway-harness.ts';

const open: (() => Promise<unknown> | void)[] = [];

/** A server of raw bytes. */
class RawServer {
  readonly sockets = new Set<Socket>();
  connections = 0;
  private readonly server: Server;

  constructor(work: (socket: Socket) => void) {
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.connections++;
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
      work(socket);
    });
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1', 2048);
    await once(this.server, 'listening');
    open.push(() => this.close());
    return this;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

/** Says hello at once, gives back what it gets, and ends when its client has. */
const polite = (socket: Socket): void => {
  socket.write('hello\n');
  socket.pipe(socket);
};

async function serve(
  options: {
    work?: (socket: Socket) => void;
    backend?: Parameters<typeof backendConfig>[1];
    listener?: Partial<Omit<ListenerConfig, 'timeouts'>> & { timeouts?: Partial<ListenerConfig['timeouts']> };
    asleep?: boolean;
  } = {},
) {
  const server = await new RawServer(options.work ?? polite).start();
  const config = gatewayConfig([backendConfig('db', options.backend)], {
    listeners: [listenerConfig({ name: 'raw', protocol: 'tcp', backend: 'db', ...options.listener })],
    routes: [],
  });
  const harness = await GatewayHarness.start(config);
  open.push(() => harness.close());
  if (options.asleep !== true) harness.update('db', [{ port: server.port }]);
  return { server, harness, config };
}

/** A client that remembers whether its connection was reset, be it before its `connect` was seen. */
function dial(harness: GatewayHarness): RawClient & { reset?: boolean } {
  const socket = connect({ port: harness.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const client: RawClient & { reset?: boolean } = new RawClient(socket);
  socket.on('error', (error: NodeJS.ErrnoException) => (client.reset = error.code === 'ECONNRESET'));
  open.push(() => void socket.destroy());
  return client;
}

async function isReset(client: RawClient & { reset?: boolean }): Promise<void> {
  await client.until(({ closed }) => closed);
  assert.equal(client.reset, true);
}

async function quiet(harness: GatewayHarness): Promise<void> {
  const isQuiet = (m: UpMessage | undefined): boolean =>
    m?.type === 'demand' &&
    m.windows.some((w) => w.tunnels === 0 && w.inFlight === 0 && w.held === 0 && w.requests === 0);
  if (!isQuiet(harness.messages.findLast((m) => m.type === 'demand'))) await harness.next(isQuiet);
}

async function refusals(harness: GatewayHarness): Promise<Record<string, number>> {
  harness.link.send({ type: 'collect', id: 1 });
  const { metrics } = await harness.nextOf('collected');
  const family = metrics.find(({ name }) => name === 'dormouse_raw_connections_refused_total')!;
  return Object.fromEntries(family.series.map(({ labels, value }) => [labels['reason']!, value!]));
}

describe('raw TCP', () => {
  afterEach(async () => {
    for (const end of open.splice(0)) await end();
  });

  it('the server may speak first; bytes pass both ways; each side may close its half', async () => {
    const { harness } = await serve();
    const client = dial(harness);
    await client.until(({ received }) => received === 'hello\n');
    client.send('one');
    await client.until(({ received }) => received === 'hello\none');
    client.send('two');
    client.socket.end();
    await client.until(({ ended }) => ended);
    assert.equal(client.received, 'hello\nonetwo');
    await quiet(harness);
    const entry = harness.log.at(-1)!;
    assert.deepEqual(
      [entry.outcome, entry.backend, entry.requestBytes, entry.responseBytes, entry.attempts],
      ['tunnel', 'db', 6, 12, 1],
    );
  });

  it('the server ends first, and still hears the client', async () => {
    let heard = '';
    const { harness, server } = await serve({
      work: (socket) => {
        socket.end('bye');
        socket.on('data', (chunk) => (heard += String(chunk)));
      },
    });
    const client = dial(harness);
    await client.until(({ ended }) => ended);
    client.send('after your end');
    client.socket.end();
    const [socket] = server.sockets;
    await once(socket!, 'close');
    assert.equal(heard, 'after your end');
  });

  it('a connection wakes the backend and is held; what was said meanwhile arrives, in order', async () => {
    const { harness, server } = await serve({ asleep: true });
    const woken = harness.nextOf('wake');
    const client = dial(harness);
    const wake = await woken;
    assert.deepEqual([wake.backend, wake.client, wake.method], ['db', '127.0.0.1', '']);
    client.send('early ');
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 1));
    client.send('words');
    client.socket.end();
    harness.update('db', [{ port: server.port }]);
    await client.until(({ ended }) => ended);
    assert.equal(client.received, 'hello\nearly words');
    await quiet(harness);
    assert.equal(harness.log.at(-1)!.coldStart, true);
    assert.ok(harness.log.at(-1)!.heldMs > 0);
  });

  it('an open connection counts as a tunnel, so that it keeps its backend awake', async () => {
    const { harness, server } = await serve();
    const client = dial(harness);
    await client.until(({ received }) => received !== '');
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.tunnels === 1 && w.inFlight === 0));
    const drained = harness.nextOf('drained');
    harness.update('db', [{ port: server.port, state: 'draining' }]);
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.tunnels === 1));
    assert.equal(
      harness.messages.some((m) => m.type === 'drained'),
      false,
    );
    client.socket.destroy();
    await drained;
  });

  it('a client that leaves while it is held leaves the queue: with a reset, and with an end before it said anything', async () => {
    const { harness, server } = await serve({ asleep: true });
    const silent = dial(harness);
    const resetting = dial(harness);
    resetting.send('something');
    await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.held === 2));
    silent.socket.end();
    resetting.socket.resetAndDestroy();
    await quiet(harness);
    assert.deepEqual(
      harness.log.map(({ outcome }) => outcome),
      ['client-gone', 'client-gone'],
    );
    harness.update('db', [{ port: server.port }]);
    const later = dial(harness);
    await later.until(({ received }) => received === 'hello\n');
    assert.equal(server.connections, 1);
  });

  it('a client that says much while it is held is read to a bound only, and loses nothing', async () => {
    const { harness, server } = await serve({ asleep: true });
    const woken = harness.nextOf('wake');
    const client = dial(harness);
    const said = Buffer.alloc(8_000_000, 'abcdefgh');
    client.socket.write(said);
    client.socket.end();
    await woken;
    harness.link.send({ type: 'collect', id: 7 });
    const held = await harness.nextOf('collected');
    assert.ok((held.status.backends[0]?.heldBytes ?? 0) < 300_000);
    harness.update('db', [{ port: server.port }]);
    await client.until(({ ended }) => ended);
    assert.equal(client.received.length, 6 + said.length);
    assert.equal(client.received, `hello\n${said.toString('latin1')}`);
  });

  it('no room to wait, and waiting in vain: reset', async () => {
    const { harness } = await serve({ asleep: true, backend: { wake: { maxHeld: 1, timeoutMs: 300 } } });
    const woken = harness.nextOf('wake');
    const first = dial(harness);
    await woken;
    await isReset(dial(harness));
    await isReset(first);
    assert.deepEqual(await refusals(harness), { 'hold-full': 1, 'hold-timeout': 1 });
    await quiet(harness);
  });

  it('a backend that crashes: reset at once, and so are those that come while it is given up', async () => {
    const { harness } = await serve({ asleep: true });
    const woken = harness.nextOf('wake');
    const client = dial(harness);
    await woken;
    const now = Date.now();
    harness.update('db', [], {
      crash: { reason: 'exited with 1', atMs: now, retryAtMs: now + 60_000, attempts: 1, lastLogLines: [] },
    });
    await isReset(client);
    await isReset(dial(harness));
    assert.deepEqual(await refusals(harness), { crashing: 2 });
  });

  it('no connection to one endpoint: the next one has it; to none: reset', async () => {
    const gone = await new RawServer(polite).start();
    const { port } = gone;
    gone.close();
    const { harness, server } = await serve({
      asleep: true,
      backend: { driver: 'static' } as Partial<GatewayBackendConfig>,
    });
    harness.update('db', [{ port }, { port: server.port }]);
    for (let i = 0; i < 4; i++) {
      const client = dial(harness);
      await client.until(({ received }) => received === 'hello\n');
    }
    harness.update('db', [{ id: 'x', port }]);
    await isReset(dial(harness));
    assert.deepEqual(await refusals(harness), { 'connect-failed': 1 });
  });

  it('an instance that does not listen yet is waited for', async () => {
    const gone = await new RawServer(polite).start();
    const { port } = gone;
    gone.close();
    const { harness, server } = await serve({ asleep: true });
    harness.update('db', [{ port }]);
    const told = harness.nextOf('suspect');
    const client = dial(harness);
    const suspect = await told;
    assert.equal(suspect.reason, 'ECONNREFUSED');
    harness.update('db', [{ id: 'other', port: server.port }]);
    await client.until(({ received }) => received === 'hello\n');
  });

  it('resets are carried both ways', async () => {
    const { harness, server } = await serve();
    const client = dial(harness);
    await client.until(({ received }) => received !== '');
    [...server.sockets][0]!.resetAndDestroy();
    await isReset(client);
    assert.equal(harness.log.at(-1)!.outcome, 'upstream-aborted');
    const other = dial(harness);
    await other.until(({ received }) => received !== '');
    const [socket] = server.sockets;
    const error = once(socket!, 'error');
    other.socket.resetAndDestroy();
    assert.equal((await error)[0].code, 'ECONNRESET');
    await quiet(harness);
  });

  it('a slow reader slows the sender down, and gets everything', async () => {
    const bytes = 30_000_000;
    let sent = 0;
    const { harness } = await serve({
      work: (socket) => {
        const part = Buffer.alloc(65_536, 'x');
        const more = (): void => {
          while (sent < bytes) {
            sent += part.length;
            if (!socket.write(part)) {
              socket.once('drain', more);
              return;
            }
          }
          socket.end();
        };
        more();
      },
    });
    const socket = connect({ port: harness.port, host: '127.0.0.1' });
    open.push(() => void socket.destroy());
    await once(socket, 'connect');
    socket.pause();
    // Until nothing moves any more.
    for (let before = -1; before !== sent;) {
      before = sent;
      await harness.next((m) => m.type === 'demand' && m.windows.some((w) => w.tunnels === 1));
      await harness.next((m) => m.type === 'demand');
    }
    assert.ok(sent < 25_000_000, `${sent} bytes were taken though nobody reads`);
    let received = 0;
    socket.on('data', (chunk) => (received += chunk.length));
    socket.resume();
    await once(socket, 'end');
    assert.equal(received, sent);
  });

  it('nothing passes for timeouts.idle: both sides are reset', async () => {
    const { harness, server } = await serve({ listener: { timeouts: { idleMs: 300 } } });
    const client = dial(harness);
    await client.until(({ received }) => received !== '');
    const [socket] = server.sockets;
    const error = once(socket!, 'error');
    await isReset(client);
    assert.equal((await error)[0].code, 'ECONNRESET');
    await quiet(harness);
    assert.equal(harness.log.at(-1)!.outcome, 'idle');
  });

  it('shutdown lets a connection end, and cuts it when the bound has passed', async () => {
    const { harness } = await serve();
    const ending = dial(harness);
    const staying = dial(harness);
    await ending.until(({ received }) => received !== '');
    await staying.until(({ received }) => received !== '');
    harness.link.send({ type: 'shutdown', drainMs: 500 });
    ending.send('still served');
    ending.socket.end();
    await ending.until(({ ended }) => ended);
    assert.equal(ending.received, 'hello\nstill served');
    await isReset(staying);
    await harness.gateway.closed;
    assert.equal(harness.log.at(-1)!.outcome, 'shutdown');
  });

  it('clients that the backend does not let in are reset', async () => {
    const { harness, server } = await serve({ backend: { clients: { allow: [], deny: ['127.0.0.0/8'] } } });
    await isReset(dial(harness));
    assert.equal(server.connections, 0);
    assert.deepEqual(await refusals(harness), { 'client-refused': 1 });
  });

  it('ten thousand connections leave nothing behind', { timeout: 60_000 }, async () => {
    const { harness, server } = await serve();
    for (let round = 0; round < 100; round++) {
      await Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const socket = connect({ port: harness.port, host: '127.0.0.1' });
          socket.on('error', () => {});
          await once(socket, 'connect');
          if (i % 3 === 0) socket.resetAndDestroy();
          else if (i % 3 === 1) socket.destroy();
          else socket.end('x').resume();
          await once(socket, 'close');
        }),
      );
    }
    await quiet(harness);
    while (server.sockets.size > 0) await once([...server.sockets][0]!, 'close');
    harness.link.send({ type: 'collect', id: 1 });
    const { metrics, status } = await harness.nextOf('collected');
    const value = (name: string): number =>
      metrics.find((one) => one.name === name)!.series.reduce((sum, one) => sum + one.value!, 0);
    assert.equal(value('dormouse_upstream_connections'), 0);
    assert.equal(value('dormouse_tunnels_open'), 0);
    assert.equal(status.connections, 0);
    assert.deepEqual(status.backends, []);
  });
});
