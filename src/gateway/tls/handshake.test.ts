import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { describe, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { shownTo, TlsGateway } from '../fixtures/tls-gateway.ts';

const rejects = (attempt: Promise<unknown>, code: RegExp): Promise<void> =>
  assert.rejects(attempt, (error: NodeJS.ErrnoException) => code.test(error.code ?? error.message));

describe('which certificate a client is shown', () => {
  test('an exact name before a wildcard before the first of the file', async () => {
    await using gateway = await TlsGateway.start([
      { names: ['first.test'] },
      { names: ['*.shop.test'] },
      { names: ['shop.test', 'www.shop.test'] },
    ]);
    const cases: [string, string][] = [
      ['first.test', 'first.test'],
      ['www.shop.test', 'shop.test'],
      ['SHOP.test', 'shop.test'],
      ['pay.shop.test', '*.shop.test'],
      // A wildcard stands for one label.
      ['a.pay.shop.test', 'first.test'],
      ['unknown.test', 'first.test'],
      ['', 'first.test'],
    ];
    for (const [asked, expected] of cases) {
      const socket = await gateway.connect(asked, { rejectUnauthorized: false });
      assert.equal(shownTo(socket), expected, asked);
      socket.destroy();
    }
  });

  test('one with an RSA key to a client that can use no other for the same name', async () => {
    await using gateway = await TlsGateway.start([{ names: ['both.test'] }, { names: ['both.test'], kind: 'rsa' }]);
    const keyOf = async (options: ConnectionOptions): Promise<string> => {
      const socket = await gateway.connect('both.test', options);
      const { asn1Curve, modulus } = socket.getPeerCertificate();
      socket.destroy();
      return asn1Curve !== undefined ? 'ec' : modulus !== undefined ? 'rsa' : '';
    };
    assert.equal(await keyOf({}), 'ec');
    assert.equal(await keyOf({ sigalgs: 'RSA-PSS+SHA256' }), 'rsa');
    assert.equal(await keyOf({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }), 'rsa');
  });

  test('never one for another name, whatever key the client likes best', async () => {
    await using gateway = await TlsGateway.start([
      { names: ['a.test'] },
      { names: ['a.test'], kind: 'rsa' },
      { names: ['b.test'] },
      { names: ['c.test'], kind: 'rsa' },
      { names: ['d.test'], kind: 'rsa' },
      { names: ['d.test'] },
    ]);
    const shown = async (servername: string, sigalgs: string): Promise<string> => {
      const socket = await gateway.connect(servername, { sigalgs });
      const { subject, asn1Curve } = socket.getPeerCertificate();
      socket.destroy();
      return `${subject.CN} ${asn1Curve === undefined ? 'rsa' : 'ec'}`;
    };
    const [ec, rsa] = ['ECDSA+SHA256:RSA-PSS+SHA256', 'RSA-PSS+SHA256:ECDSA+SHA256'] as const;
    for (const [name, likesEc, likesRsa] of [
      ['a.test', 'ec', 'rsa'],
      ['b.test', 'ec', 'ec'],
      ['c.test', 'rsa', 'rsa'],
      ['d.test', 'ec', 'rsa'],
    ] as const) {
      assert.equal(await shown(name, ec), `${name} ${likesEc}`);
      assert.equal(await shown(name, rsa), `${name} ${likesRsa}`);
    }
  });

  test('without alternative names it is known by its common name', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }, { names: ['b.test'], commonNameOnly: true }]);
    const socket = await gateway.connect('b.test', { rejectUnauthorized: false });
    assert.equal(shownTo(socket), 'b.test');
    socket.destroy();
  });
});

describe('what is agreed on', () => {
  test('TLS 1.2 is the floor, or 1.3', async () => {
    await using from12 = await TlsGateway.start([{ names: ['a.test'] }]);
    const socket = await from12.connect('a.test', { maxVersion: 'TLSv1.2' });
    assert.equal(socket.getProtocol(), 'TLSv1.2');
    socket.destroy();
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    await rejects(from12.connect('a.test', old), /ALERT_PROTOCOL_VERSION/);
    await using from13 = await TlsGateway.start([{ names: ['a.test'] }], { tls: () => ({ minVersion: '1.3' }) });
    await rejects(from13.connect('a.test', { maxVersion: 'TLSv1.2' }), /ALERT_PROTOCOL_VERSION/);
    assert.deepEqual([from12.handshakes.failed, from13.handshakes.failed], [1, 1]);
  });

  test('HTTP/1.1 by ALPN or without it; HTTP/2 only when there is an engine for it; nothing else', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }]);
    gateway.harness.gateway.handlers.openHttp2 = null;
    const alpnOf = async (...protocols: string[]): Promise<string | false | null> => {
      const socket = await gateway.connect('a.test', { ALPNProtocols: protocols });
      socket.destroy();
      return socket.alpnProtocol;
    };
    assert.equal(await alpnOf('h2', 'http/1.1'), 'http/1.1');
    assert.equal(await alpnOf(), false);
    await rejects(gateway.connect('a.test', { ALPNProtocols: ['h2'] }), /NO_APPLICATION_PROTOCOL/);
    const engines: string[] = [];
    const opening = Promise.withResolvers<void>();
    gateway.harness.gateway.handlers.openHttp2 = (opened, listener, info) => {
      engines.push(`${info.tls?.alpn} ${info.scheme} ${info.tls?.serverName} ${info.tls?.version}`);
      opening.resolve();
      const connection = {
        idle: true,
        deadlineMs: Number.POSITIVE_INFINITY,
        onDeadline() {},
        checkProgress() {},
        finish: () => void opened.end(),
        destroy: () => void opened.destroy(),
      };
      opened.on('close', () => listener.onConnectionClosed(connection));
      opened.resume();
      return connection;
    };
    const socket = await gateway.connect('a.test', { ALPNProtocols: ['http/1.1', 'h2'] });
    assert.equal(socket.alpnProtocol, 'h2');
    await opening.promise;
    socket.destroy();
    assert.deepEqual(engines, ['h2 https a.test TLSv1.3']);
  });

  test('a request over it is answered, the endpoint is told, and HSTS stands on every answer', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }], {
      tls: () => ({ hsts: { maxAgeSeconds: 15_552_000, includeSubdomains: true, preload: false } }),
    });
    const line = /\r\nStrict-Transport-Security: max-age=15552000; includeSubDomains\r\n/;
    const answer = await gateway.get('a.test');
    assert.equal(answer.status, 200);
    assert.match(answer.head, line);
    assert.match(gateway.backend.requests[0]!.head, /\r\nX-Forwarded-Proto: https\r\n/);
    const port = gateway.harness.port;
    assert.match(gateway.backend.requests[0]!.head, new RegExp(`\r\nX-Forwarded-Port: ${port}\r\n`));
    const client = await gateway.client('a.test');
    client.send('GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n');
    const refused = await client.response();
    assert.equal(refused.status, 400);
    assert.match(refused.head, line);
  });

  test('a request waits for a backend that sleeps, as it does in the clear', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }], { asleep: true });
    const answer = gateway.get('a.test');
    assert.equal((await gateway.harness.nextOf('wake')).backend, 'app');
    gateway.wake();
    assert.equal((await answer).status, 200);
  });
});

describe('over HTTP/2', () => {
  test('hosts, HSTS and where the request came from are as over HTTP/1.1', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }, { names: ['b.test'] }], {
      tls: () => ({ hsts: { maxAgeSeconds: 60, includeSubdomains: false, preload: false } }),
    });
    const socket = await gateway.connect('a.test', { ALPNProtocols: ['h2'] });
    const session = connectHttp2('https://a.test', { createConnection: () => socket });
    for (const [authority, status] of [
      ['a.test', 200],
      ['b.test', 421],
    ] as const) {
      const stream = session.request({ ':path': '/', ':authority': authority });
      const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
      assert.equal(headers[':status'], status);
      assert.equal(headers['strict-transport-security'], 'max-age=60');
      stream.resume();
      await once(stream, 'end');
    }
    assert.match(gateway.backend.requests[0]!.head, /\r\nX-Forwarded-Proto: https\r\n/);
    session.destroy();
  });
});

describe('421', () => {
  test('answers a host for which another certificate would have been shown', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test', 'b.test'] }, { names: ['c.test'] }]);
    const statusOf = async (servername: string, host: string): Promise<number> =>
      (await gateway.get(servername, { host })).status;
    assert.equal(await statusOf('a.test', 'b.test:443'), 200);
    assert.equal(await statusOf('a.test', 'c.test'), 421);
    assert.equal(await statusOf('c.test', 'c.test'), 200);
    // Nobody is it for: the first would have been shown, which is not the one that was.
    assert.equal(await statusOf('c.test', 'unknown.test'), 421);
    assert.equal(await statusOf('a.test', 'unknown.test'), 200);
    // A client that names nobody can't do better.
    const socket = await gateway.client('', { rejectUnauthorized: false });
    socket.send('GET / HTTP/1.1\r\nHost: c.test\r\n\r\n');
    assert.equal((await socket.response()).status, 200);
  });

  test('leaves the connection open for hosts that it is for', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }, { names: ['c.test'] }]);
    const client = await gateway.client('a.test');
    for (const [host, status] of [
      ['c.test', 421],
      ['a.test', 200],
      ['c.test', 421],
      ['c.test', 421],
      ['a.test', 200],
    ] as const) {
      client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      assert.equal((await client.response()).status, status);
    }
  });

  test('is never given where there is one certificate', async () => {
    await using gateway = await TlsGateway.start([{ names: ['a.test'] }]);
    assert.equal((await gateway.get('a.test', { host: 'elsewhere.test' })).status, 200);
  });
});

describe('a session is taken up again', () => {
  /** The ticket that comes after the handshake, and whether the session was taken up. */
  async function visit(gateway: TlsGateway, options: ConnectionOptions): Promise<{ session: Buffer; reused: boolean }> {
    const socket = await gateway.connect('a.test', options);
    socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await once(socket, 'data');
    // Of TLS 1.3 it has the ticket only after the first data.
    const session = socket.getSession()!;
    const reused = socket.isSessionReused();
    socket.destroy();
    return { session, reused };
  }

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${maxVersion}: by another gateway that has the same keys, until they are changed`, async () => {
      const asked = [{ names: ['a.test'] }, { names: ['b.test'] }];
      await using one = await TlsGateway.start(asked);
      await using other = await TlsGateway.start(asked);
      other.authority = one.authority;
      await other.write('0', asked[0]!);
      const keys = Buffer.alloc(48, 7).toString('base64');
      for (const gateway of [one, other]) gateway.harness.link.send({ type: 'ticket-keys', keys });
      const options: ConnectionOptions = { maxVersion, rejectUnauthorized: false };
      const first = await visit(one, options);
      assert.equal(first.reused, false);
      const second = await visit(other, { ...options, session: first.session });
      assert.equal(second.reused, true);
      assert.deepEqual([other.handshakes.full, other.handshakes.resumed], [0, 1]);
      other.harness.link.send({ type: 'ticket-keys', keys: Buffer.alloc(48, 8).toString('base64') });
      assert.equal((await visit(other, { ...options, session: first.session })).reused, false);
      assert.equal((await visit(one, { ...options, session: first.session })).reused, true);
    });
  }
});
