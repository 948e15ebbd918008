import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import type { GatewayConfig } from '../link/messages.ts';
import type { ListenerConfig } from '../model/config.ts';
import type { ConnectionInfo } from './connection-info.ts';
import type { GatewayCounters } from './counters.ts';
import {
  backendConfig,
  gatewayConfig,
  GatewayHarness,
  listenerConfig,
  RawClient,
  routeConfig,
} from './fixtures/gateway-harness.ts';
import { ok, RawBackend } from './fixtures/raw-backend.ts';
import { KeptLog, TlsGateway } from './fixtures/tls-gateway.ts';
import { writeProxyHeader } from './proxy-protocol/write-header.ts';

/** A gateway, one backend that answers, and what both saw. */
class Place {
  readonly log = new KeptLog();
  backend!: RawBackend;
  harness!: GatewayHarness;

  static async start(
    listener: Parameters<typeof listenerConfig>[0],
    more: Partial<GatewayConfig> = {},
  ): Promise<Place> {
    const place = new Place();
    place.backend = await RawBackend.start((request) => request.socket.write(ok()));
    const config = gatewayConfig([backendConfig('app')], { listeners: [listenerConfig(listener)], ...more });
    place.harness = await GatewayHarness.start(config, { logger: place.log.logger });
    place.harness.update('app', [{ port: place.backend.port }]);
    return place;
  }

  get counters(): GatewayCounters {
    return this.harness.gateway.counters;
  }

  /** Writes, and tells what came until the connection was closed. */
  async saidTo(...parts: (string | Buffer)[]): Promise<string> {
    const socket = connect({ host: '127.0.0.1', port: this.harness.port, noDelay: true });
    const client = new RawClient(socket);
    await once(socket, 'connect');
    for (const part of parts) {
      socket.write(part);
      // Each part is a read of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.until(({ closed, ended }) => closed || ended);
    socket.destroy();
    return client.received;
  }

  async allClosed(): Promise<void> {
    const [listener] = this.harness.gateway['listeners'].values();
    const give = AbortSignal.timeout(10_000);
    while (listener!.connections.size > 0) {
      give.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness.close();
    await this.backend.close();
  }
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const fromProxies: Partial<ListenerConfig> = { proxyProtocol: { acceptFrom: ['127.0.0.0/8'] } };
const HEADERS = {
  v1: writeProxyHeader('v1', '203.0.113.9', 4711, '198.51.100.1', 80),
  v2: writeProxyHeader('v2', '2001:db8::9', 4711, '2001:db8::1', 80),
};

describe('a PROXY header', () => {
  test('says who the client is and where it connected to', async () => {
    await using place = await Place.start(fromProxies);
    for (const [version, client] of [
      ['v1', '203.0.113.9'],
      ['v2', '2001:db8::9'],
    ] as const) {
      assert.match(await place.saidTo(Buffer.concat([HEADERS[version], Buffer.from(GET)])), /^HTTP\/1\.1 200 /);
      const { head } = place.backend.requests.at(-1)!;
      assert.match(head, new RegExp(`\r\nX-Forwarded-For: ${client}\r\n`));
      assert.match(head, /\r\nX-Forwarded-Port: 80\r\n/);
    }
  });

  test('may come in any pieces', async () => {
    await using place = await Place.start(fromProxies);
    for (const header of Object.values(HEADERS)) {
      const bytes = Buffer.concat([header, Buffer.from(GET)]);
      const cuts = fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(cuts, async (at) => {
          const edges = [0, ...at.toSorted((a, b) => a - b), bytes.length];
          const parts = edges.slice(1).map((end, i) => bytes.subarray(edges[i], end));
          assert.match(await place.saidTo(...parts), /^HTTP\/1\.1 200 /);
          assert.match(place.backend.requests.at(-1)!.head, /\r\nX-Forwarded-For: (?:203\.0\.113\.9|2001:db8::9)\r\n/);
        }),
        { numRuns: 20 },
      );
      // And in two at each byte.
      for (let cut = 1; cut < header.length + 2; cut++)
        assert.match(await place.saidTo(bytes.subarray(0, cut), bytes.subarray(cut)), /^HTTP\/1\.1 200 /);
    }
    await place.allClosed();
  });

  test('of the proxy itself (LOCAL, UNKNOWN) leaves the addresses of the connection', async () => {
    await using place = await Place.start(fromProxies);
    for (const header of [Buffer.from('PROXY UNKNOWN\r\n'), Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')]) {
      assert.match(await place.saidTo(header, GET), /^HTTP\/1\.1 200 /);
      assert.match(place.backend.requests.at(-1)!.head, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/);
    }
  });

  test('of a client that is a trusted proxy lets it speak for others', async () => {
    await using place = await Place.start(fromProxies, {
      security: { trustedProxies: ['203.0.113.9'], clients: { allow: [], deny: [] } },
    });
    const said = GET.replace('\r\n\r\n', '\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n');
    await place.saidTo(HEADERS.v1, said);
    assert.match(place.backend.requests[0]!.head, /\r\nX-Forwarded-For: 192\.0\.2\.1, 203\.0\.113\.9\r\n/);
  });

  test('of anybody else is no header but a bad request', async () => {
    await using place = await Place.start({ proxyProtocol: { acceptFrom: ['192.0.2.0/24'] } });
    assert.match(await place.saidTo(HEADERS.v1, GET), /^HTTP\/1\.1 400 /);
    assert.match(await place.saidTo(GET), /^HTTP\/1\.1 200 /);
  });

  const wrong: [string, string | Buffer][] = [
    ['none at all', GET],
    ['rubbish', 'PROXY TCP4 here there 1 2\r\n'],
    ['one that is too long', `PROXY ${'x'.repeat(200)}`],
    ['bytes of TLS', Buffer.from('160301', 'hex')],
  ];
  test('that is wrong ends the connection without an answer: counted, and logged once', async () => {
    await using place = await Place.start(fromProxies);
    for (const [name, bytes] of wrong) assert.equal(await place.saidTo(bytes), '', name);
    assert.equal(place.counters.connectionsRefused['proxy-header'], wrong.length);
    const lines = place.log.lines.filter(({ level }) => level === 'warn');
    assert.equal(lines.length, 1);
    assert.equal(lines[0]!.fields.peer, '127.0.0.1');
    assert.equal(place.backend.requests.length, 0);
    await place.allClosed();
  });

  test('that does not come, or comes slowly, ends the connection when its time is over', async () => {
    await using place = await Place.start({ ...fromProxies, timeouts: { headerMs: 300 } });
    const slow = await place.harness.connect();
    let sent = 0;
    const drip = setInterval(() => slow.socket.write(HEADERS.v1.subarray(sent, ++sent)), 30);
    assert.equal(await place.saidTo('PROXY '), '');
    await slow.until(({ closed, ended }) => closed || ended);
    clearInterval(drip);
    assert.ok(sent < HEADERS.v1.length);
    assert.equal(place.counters.connectionsRefused['proxy-header'], 2);
  });

  test('of clients that leave in the middle of it leave nothing behind', async () => {
    await using place = await Place.start(fromProxies);
    await Promise.all(
      Array.from({ length: 20 }, async (_, start) => {
        for (let turn = start; turn < 2000; turn += 20) {
          const socket = connect({ host: '127.0.0.1', port: place.harness.port }).on('error', () => {});
          await once(socket, 'connect');
          socket.write(HEADERS.v1.subarray(0, turn % HEADERS.v1.length));
          if (turn % 2 === 0) socket.resetAndDestroy();
          else socket.destroy();
        }
      }),
    );
    const give = AbortSignal.timeout(10_000);
    while (place.counters.connections < 2000) {
      give.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await place.allClosed();
  });

  test('stands before TLS, whose clients it names', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }], { listener: fromProxies });
    for (const together of [true, false]) {
      const raw = connect({ host: '127.0.0.1', port: gateway.harness.port, noDelay: true });
      await once(raw, 'connect');
      raw.write(HEADERS.v2);
      // Otherwise the first bytes of TLS come in the read of the header.
      if (!together) await new Promise((resolve) => setTimeout(resolve, 20));
      const socket = connectTls({ socket: raw, servername: 'a.test', ca: gateway.authority.pem });
      await once(socket, 'secureConnect');
      socket.write(GET.replace('Host: a', 'Host: a.test'));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
      assert.match(gateway.backend.requests.at(-1)!.head, /\r\nX-Forwarded-For: 2001:db8::9\r\n/);
      socket.destroy();
    }
  });
});

describe('clients of a listener', () => {
  test('that are denied are closed at once', async () => {
    await using place = await Place.start({ clients: { allow: [], deny: ['127.0.0.1'] } });
    assert.equal(await place.saidTo(GET), '');
    assert.equal(place.counters.connectionsRefused.clients, 1);
    assert.equal(place.backend.requests.length, 0);
    await place.allClosed();
  });

  test('that are not allowed are closed at once, also by what is said for all listeners', async () => {
    const clients = { allow: ['192.0.2.0/24'], deny: [] };
    await using own = await Place.start({ clients });
    assert.equal(await own.saidTo(GET), '');
    await using every = await Place.start({}, { security: { trustedProxies: [], clients } });
    assert.equal(await every.saidTo(GET), '');
    await using both = await Place.start({ clients: { allow: ['127.0.0.1', '192.0.2.1'], deny: [] } });
    assert.match(await both.saidTo(GET), /^HTTP\/1\.1 200 /);
  });

  test('are those that the PROXY header names', async () => {
    await using place = await Place.start({ ...fromProxies, clients: { allow: ['203.0.113.0/24'], deny: [] } });
    assert.match(await place.saidTo(HEADERS.v1, GET), /^HTTP\/1\.1 200 /);
    assert.equal(await place.saidTo(HEADERS.v2, GET), '');
    assert.equal(place.counters.connectionsRefused.clients, 1);
  });

  test('are those that a trusted proxy names, each request of its connections by itself: 403', async () => {
    await using place = await Place.start(
      { clients: { allow: [], deny: ['203.0.113.0/24'] } },
      { security: { trustedProxies: ['127.0.0.1'], clients: { allow: [], deny: [] } } },
    );
    const client = await place.harness.connect();
    for (const [address, status] of [
      ['203.0.113.5', 403],
      ['192.0.2.5', 200],
      ['203.0.113.6', 403],
    ] as const) {
      client.send(`GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${address}\r\n\r\n`);
      const answer = await client.response();
      assert.equal(answer.status, status, address);
      if (status === 403) assert.match(answer.head, /application\/problem\+json/);
    }
  });

  test('change with a reload', async () => {
    await using place = await Place.start({});
    assert.match(await place.saidTo(GET), /^HTTP\/1\.1 200 /);
    await place.harness.configure(
      gatewayConfig([backendConfig('app')], {
        listeners: [listenerConfig({ clients: { allow: [], deny: ['0.0.0.0/0'] } })],
      }),
    );
    assert.equal(await place.saidTo(GET), '');
  });
});

/** An engine that keeps what it is given and says goodbye. */
function keepsWhatComes(
  place: { harness: GatewayHarness },
  got: { info: ConnectionInfo; bytes: string; backend?: string; route?: string }[],
): void {
  const take = (
    socket: Socket,
    listener: { onConnectionClosed(connection: never): void },
    info: ConnectionInfo,
    backend?: string,
    route?: string,
  ) => {
    const seen = { info, bytes: '', ...(backend === undefined ? {} : { backend, route: route! }) };
    got.push(seen);
    const connection = {
      idle: true,
      deadlineMs: Number.POSITIVE_INFINITY,
      onDeadline() {},
      checkProgress() {},
      finish: () => void socket.end(),
      destroy: () => void socket.destroy(),
    };
    socket.on('data', (chunk: Buffer) => {
      seen.bytes += chunk.toString('latin1');
      if (seen.bytes.includes('END')) socket.end('goodbye');
    });
    socket.on('end', () => socket.end());
    socket.on('close', () => listener.onConnectionClosed(connection as never));
    socket.resume();
    return connection;
  };
  place.harness.gateway.handlers.openHttp2 = take;
  place.harness.gateway.handlers.openStream = take;
}

describe('the preface of HTTP/2 on a plain connection', () => {
  const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nEND';

  test('in whatever pieces goes to the engine, with every byte', async () => {
    await using place = await Place.start({});
    const got: { info: ConnectionInfo; bytes: string }[] = [];
    keepsWhatComes(place, got);
    for (let cut = 1; cut < PREFACE.length; cut++) {
      assert.equal(await place.saidTo(PREFACE.slice(0, cut), PREFACE.slice(cut)), 'goodbye');
      assert.equal(got.at(-1)!.bytes, PREFACE);
    }
    assert.equal(await place.saidTo(...PREFACE), 'goodbye');
    assert.equal(got.at(-1)!.info.peer, '127.0.0.1');
    await place.allClosed();
  });

  test('is not mistaken for a method that begins like it', async () => {
    await using place = await Place.start({});
    keepsWhatComes(place, []);
    for (const method of ['POST', 'PUT', 'PATCH', 'PROPFIND', 'P', 'PR']) {
      const request = `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
      for (let cut = 1; cut < 5; cut++) {
        assert.match(await place.saidTo(request.slice(0, cut), request.slice(cut)), /^HTTP\/1\.1 200 /, method);
        assert.equal(place.backend.requests.at(-1)!.method, method);
      }
    }
  });

  test('is a bad request when there is no engine, and on a connection that has had a request', async () => {
    await using place = await Place.start({});
    keepsWhatComes(place, []);
    assert.match(await place.saidTo(GET.replace('Connection: close\r\n', ''), PREFACE), /HTTP\/1\.1 [45]\d\d /);
    place.harness.gateway.handlers.openHttp2 = null;
    assert.match(await place.saidTo(PREFACE), /^HTTP\/1\.1 [45]\d\d /);
  });
});

describe('a listener that passes TLS through', () => {
  const route = (name: string, hosts: string[], more = {}): GatewayConfig['routes'][number] => ({
    ...routeConfig('app'),
    name,
    hosts,
    listeners: ['web'],
    ...more,
  });

  async function passed(
    routes: GatewayConfig['routes'],
    names: string[],
  ): Promise<{ place: Place; got: { info: ConnectionInfo; bytes: string; backend?: string; route?: string }[] }> {
    const place = await Place.start({ protocol: 'tls' }, { routes });
    const got: { info: ConnectionInfo; bytes: string; backend?: string; route?: string }[] = [];
    keepsWhatComes(place, got);
    for (const servername of names) {
      const before = got.length;
      const refusedBefore = place.counters.connectionsRefused['no-route'] + place.counters.connectionsRefused.clients;
      const client = connectTls({ host: '127.0.0.1', port: place.harness.port, servername });
      client.on('error', () => {});
      const give = AbortSignal.timeout(5000);
      const { connectionsRefused } = place.counters;
      const isPassed = (): boolean => got.length > before && got.at(-1)!.bytes !== '';
      while (!isPassed() && connectionsRefused['no-route'] + connectionsRefused.clients === refusedBefore) {
        give.throwIfAborted();
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.destroy();
    }
    return { place, got };
  }

  test('chooses the route by the name of the ClientHello and passes every byte on', async () => {
    const { place, got } = await passed(
      [route('one', ['a.test']), route('wild', ['*.b.test']), route('rest', [])],
      ['a.test', 'x.b.test', 'y.x.b.test', 'b.test', ''],
    );
    await using _ = place;
    assert.deepEqual(
      got.map(({ route: name, info }) => [name, info.serverName]),
      [
        ['one', 'a.test'],
        ['wild', 'x.b.test'],
        ['wild', 'y.x.b.test'],
        ['rest', 'b.test'],
        ['rest', ''],
      ],
    );
    for (const { bytes, info, backend } of got) {
      assert.equal(bytes.charCodeAt(0), 22);
      assert.equal(bytes.length, 5 + bytes.charCodeAt(3) * 256 + bytes.charCodeAt(4));
      assert.equal(info.tls, null);
      assert.equal(backend, 'app');
    }
    await place.allClosed();
  });

  test('closes connections for names of nobody, from clients that may not, and those that are no TLS', async () => {
    const { place, got } = await passed(
      [route('one', ['a.test']), route('closed', ['c.test'], { clients: { allow: [], deny: ['127.0.0.1'] } })],
      ['b.test', '', 'c.test'],
    );
    await using _ = place;
    assert.equal(got.length, 0);
    assert.equal(await place.saidTo(GET), '');
    const { clients, 'no-route': noRoute, 'client-hello': noHello } = place.counters.connectionsRefused;
    assert.deepEqual({ clients, noRoute, noHello }, { clients: 1, noRoute: 2, noHello: 1 });
    await place.allClosed();
  });
});

describe('a tcp listener', () => {
  test('gives the connection away before the client has said anything', async () => {
    await using place = await Place.start({ protocol: 'tcp', backend: 'app' });
    const got: { info: ConnectionInfo; bytes: string; backend?: string }[] = [];
    keepsWhatComes(place, got);
    const client = await place.harness.connect();
    const give = AbortSignal.timeout(5000);
    while (got.length === 0) {
      give.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(got[0]!.backend, 'app');
    assert.equal(got[0]!.info.localAddress, '127.0.0.1');
    assert.equal(got[0]!.info.localPort, place.harness.port);
    client.send('hello END');
    assert.equal(await client.until(({ ended }) => ended), 'goodbye');
  });
});
