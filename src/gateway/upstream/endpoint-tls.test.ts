import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpsServer, type Server } from 'node:https';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TLSSocket, TlsOptions } from 'node:tls';
import type { EndpointTlsConfig } from '../../model/config.ts';
import { Authority, writePem } from '../fixtures/certificates.ts';
import { backendConfig, gatewayConfig, GatewayHarness } from '../fixtures/gateway-harness.ts';
import { KeptLog } from '../fixtures/tls-gateway.ts';
import { readProxyHeader } from '../proxy-protocol/read-header.ts';

/** An application behind TLS: tells how it was spoken to. */
class SecureApplication {
  readonly folder = mkdtempSync(join(tmpdir(), 'dormouse-endpoint-'));
  readonly log = new KeptLog();
  readonly served: { name: string; resumed: boolean; client: string; alpn: string }[] = [];
  authority!: Authority;
  server!: Server;
  harness!: GatewayHarness;

  static async start(options: {
    names: string[];
    server?: (authority: Authority) => TlsOptions;
    tls?: (application: SecureApplication) => Partial<EndpointTlsConfig>;
    /** Its connection is closed after each answer. */
    closing?: boolean;
    asleep?: boolean;
  }): Promise<SecureApplication> {
    const application = new SecureApplication();
    application.authority = await Authority.create();
    const pem = await application.authority.issue({ names: options.names });
    writeFileSync(application.file('ca.pem'), application.authority.pem);
    application.server = createHttpsServer({
      ...pem,
      ALPNProtocols: ['http/1.1'],
      ...options.server?.(application.authority),
    });
    application.server.on('request', (request, response) => {
      const socket = request.socket as TLSSocket;
      const { subject } = socket.getPeerCertificate();
      application.served.push({
        name: String(socket.servername),
        resumed: socket.isSessionReused(),
        client: String(subject?.CN ?? ''),
        alpn: String(socket.alpnProtocol),
      });
      if (options.closing === true) response.setHeader('Connection', 'close');
      response.end('secure');
    });
    application.server.listen(0, '127.0.0.1');
    await once(application.server, 'listening');
    const tls: EndpointTlsConfig = {
      caFile: application.file('ca.pem'),
      serverName: null,
      certFile: null,
      keyFile: null,
      insecure: false,
      ...options.tls?.(application),
    };
    application.harness = await GatewayHarness.start(gatewayConfig([backendConfig('app', { tls })]), {
      logger: application.log.logger,
    });
    if (options.asleep !== true) application.wake();
    return application;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  wake(): void {
    this.harness.update('app', [{ port: this.port }]);
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  async status(): Promise<number> {
    const client = await this.harness.connect();
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const { status, body } = await client.response();
    if (status === 200) assert.equal(body, 'secure');
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.harness.close();
    this.server.closeAllConnections();
    this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe('TLS towards endpoints', () => {
  test('asks for and verifies serverName', async () => {
    await using application = await SecureApplication.start({
      names: ['api.internal'],
      tls: () => ({ serverName: 'api.internal' }),
    });
    assert.equal(await application.status(), 200);
    assert.deepEqual(application.served, [{ name: 'api.internal', resumed: false, client: '', alpn: 'http/1.1' }]);
  });

  test('without serverName: a certificate for the name of the backend or for the address', async () => {
    for (const name of ['app', '127.0.0.1']) {
      await using application = await SecureApplication.start({ names: [name] });
      assert.equal(await application.status(), 200, name);
      assert.equal(application.served[0]!.name, 'app');
    }
  });

  const refused: [string, Parameters<typeof SecureApplication.start>[0]][] = [
    ['a certificate for somebody else', { names: ['else.internal'] }],
    ['another serverName', { names: ['api.internal'], tls: () => ({ serverName: 'app' }) }],
    ['an authority that is not known', { names: ['app'], tls: () => ({ caFile: null }) }],
    [
      'an application that wants a certificate and gets none',
      { names: ['app'], server: (authority) => ({ requestCert: true, rejectUnauthorized: true, ca: authority.pem }) },
    ],
  ];
  for (const [name, options] of refused) {
    const logged = options.server === undefined;
    test(`${name}: 502, and no request was sent`, async () => {
      await using application = await SecureApplication.start(options);
      assert.equal(await application.status(), 502);
      assert.equal(application.served.length, 0);
      if (logged) assert.match(String(application.log.lines[0]?.fields.reason), /CERT|ISSUER|ALTNAME|UNABLE_TO_VERIFY/);
    });
  }

  test('insecure takes any certificate', async () => {
    await using application = await SecureApplication.start({
      names: ['else.internal'],
      tls: () => ({ caFile: null, insecure: true }),
    });
    assert.equal(await application.status(), 200);
  });

  test('shows its own certificate to applications that ask, a new one when the files change', async () => {
    const clients = await Authority.create('Clients');
    const first = await clients.issue({ names: ['gateway one'] });
    await using application = await SecureApplication.start({
      names: ['app'],
      closing: true,
      server: () => ({ requestCert: true, rejectUnauthorized: true, ca: clients.pem }),
      tls: ({ folder }) => writePem(folder, 'gateway', first),
    });
    assert.equal(await application.status(), 200);
    const inForce = application.log.next('files have changed and are in force');
    writePem(application.folder, 'gateway', await clients.issue({ names: ['gateway two'] }));
    await inForce;
    assert.equal(await application.status(), 200);
    assert.deepEqual(
      application.served.map(({ client }) => client),
      ['gateway one', 'gateway two'],
    );
  });

  test('a configuration whose files cannot be used is refused', async () => {
    await using application = await SecureApplication.start({ names: ['app'] });
    const { certFile, keyFile } = writePem(application.folder, 'gateway', {
      ...(await application.authority.issue({ names: ['one'] })),
      key: (await application.authority.issue({ names: ['two'] })).key,
    });
    const tls = { caFile: null, serverName: null, certFile, keyFile, insecure: false };
    const answer = await application.harness.configure(gatewayConfig([backendConfig('app', { tls })]));
    assert.ok(answer.type === 'refused');
    assert.match(answer.reason, /^backends\.app\.tls: .*gateway\.key: the key is not the one of the certificate/);
    assert.equal(await application.status(), 200);
  });

  test('a reload that changes how endpoints are spoken to: what runs is spoken to as before until others take its place', async () => {
    await using application = await SecureApplication.start({ names: ['app'] });
    assert.equal(await application.status(), 200);
    const tls = { caFile: null, serverName: null, certFile: null, keyFile: null, insecure: false };
    assert.equal(
      (await application.harness.configure(gatewayConfig([backendConfig('app', { tls })]))).type,
      'configured',
    );
    assert.equal(await application.status(), 200);
    // As the controller does next.
    application.harness.update('app', [{ id: 'app-of-the-new', port: application.port }]);
    assert.equal(await application.status(), 502);
  });

  test('a session is taken up by the next connection', async () => {
    await using application = await SecureApplication.start({ names: ['app'], closing: true });
    for (let turn = 0; turn < 3; turn++) assert.equal(await application.status(), 200);
    assert.deepEqual(
      application.served.map(({ resumed }) => resumed),
      [false, true, true],
    );
  });

  test('a request waits for an application that sleeps', async () => {
    await using application = await SecureApplication.start({ names: ['app'], asleep: true });
    const status = application.status();
    await application.harness.nextOf('wake');
    application.wake();
    assert.equal(await status, 200);
  });
});

describe('PROXY headers towards endpoints', () => {
  test('stand before everything else, one connection for each client', async () => {
    for (const version of ['v1', 'v2'] as const) {
      const seen: Buffer[] = [];
      const sockets = new Set<Socket>();
      const server = createServer((socket) => {
        const at = seen.push(Buffer.alloc(0)) - 1;
        sockets.add(socket.on('error', () => {}));
        socket.on('data', (chunk: Buffer) => {
          seen[at] = Buffer.concat([seen[at]!, chunk]);
          if (seen[at].toString('latin1').endsWith('\r\n\r\n'))
            socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        });
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const harness = await GatewayHarness.start(gatewayConfig([backendConfig('app', { proxyProtocol: version })]));
      harness.update('app', [{ port: (server.address() as AddressInfo).port }]);
      const ports: number[] = [];
      for (let turn = 0; turn < 2; turn++) {
        const client = await harness.connect();
        ports.push(client.socket.localPort!);
        client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.equal((await client.response()).status, 200);
      }
      assert.equal(seen.length, 2);
      for (const [index, bytes] of seen.entries()) {
        const header = readProxyHeader(bytes);
        assert.ok(header.kind === 'header');
        assert.deepEqual(header.told, {
          peer: '127.0.0.1',
          peerPort: ports[index],
          localAddress: '127.0.0.1',
          localPort: harness.port,
        });
        assert.match(bytes.subarray(header.size).toString('latin1'), /^GET \/ HTTP\/1\.1\r\n/);
      }
      await harness.close();
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });
});
