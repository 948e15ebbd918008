/** Each example of docs/tls.md runs in a gateway and does what the page says of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, before, test } from 'node:test';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig, toGatewayConfig } from '../../src/config/index.ts';
import { Authority, writePem } from '../../src/gateway/fixtures/certificates.ts';
import { GatewayHarness, RawClient } from '../../src/gateway/fixtures/gateway-harness.ts';
import { readProxyHeader } from '../../src/gateway/proxy-protocol/read-header.ts';
import { writeProxyHeader } from '../../src/gateway/proxy-protocol/write-header.ts';
import type { Config } from '../../src/model/config.ts';

const page = readFileSync(new URL('../../docs/tls.md', import.meta.url), 'utf8');
const open: (() => unknown)[] = [];
let authority: Authority;
let partners: Authority;

before(async () => {
  authority = await Authority.create();
  partners = await Authority.create('Partners');
});

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

/** A folder with the files that the examples name. */
async function folder(): Promise<string> {
  const path = mkdtempSync(join(tmpdir(), 'dormouse-docs-tls-'));
  open.push(() => rmSync(path, { recursive: true }));
  const tls = join(path, 'tls');
  mkdirSync(tls);
  const shop = ['shop.example', 'www.shop.example'];
  writePem(tls, 'shop', await authority.issue({ names: shop }));
  writePem(tls, 'shop-rsa', await authority.issue({ names: shop, kind: 'rsa' }));
  writePem(tls, 'tenants', await authority.issue({ names: ['*.tenants.example'] }));
  writePem(tls, 'gateway', await authority.issue({ names: ['gateway.internal'] }));
  writeFileSync(join(tls, 'partners.pem'), partners.pem);
  writeFileSync(join(tls, 'internal.pem'), authority.pem);
  return path;
}

interface Running {
  config: Config;
  harness: GatewayHarness;
  port(listener: string): number;
}

/** A gateway with the example under this heading; every backend's servers are `application`. */
async function run(
  heading: string,
  application: Server,
  change: (text: string) => string = (text) => text,
): Promise<Running> {
  const section = page.slice(page.indexOf(`# ${heading}\n`));
  const text = change(/```yaml\n([\s\S]*?)```/.exec(section)![1]!);
  const file = join(await folder(), 'dormouse.yaml');
  const config = structuredClone(parseConfig(text, { file, env: {}, registry: defaultRegistry(), cores: 2 }));
  for (const listener of config.listeners) listener.address = { host: '127.0.0.1', port: 0 };
  const harness = await GatewayHarness.start(toGatewayConfig(config));
  open.push(() => harness.close());
  for (const { name } of config.backends) harness.update(name, [{ port: (application.address() as AddressInfo).port }]);
  return { config, harness, port: (name) => harness.gateway.addresses().get(name)!.port };
}

async function listening<T extends Server>(server: T): Promise<T> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(() => void server.close());
  return server;
}

/** An application that answers with the header lines that it got. */
async function plainApplication(): Promise<http.Server> {
  const server = await listening(
    http.createServer((request, response) => response.end(JSON.stringify(request.headers))),
  );
  open.push(() => server.closeAllConnections());
  return server;
}

async function secured(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ host: '127.0.0.1', port, ca: authority.pem, ...options });
  open.push(() => socket.destroy());
  await once(socket, 'secureConnect');
  socket.on('error', () => {});
  return socket;
}

async function get(
  socket: RawClient['socket'],
  host: string,
  more = '',
): Promise<{ status: number; head: string; body: string }> {
  const client = new RawClient(socket);
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`);
  return client.response();
}

async function plain(port: number): Promise<RawClient['socket']> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  open.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

test('HTTPS: plain requests are sent there, answers over it carry HSTS', async () => {
  const { port } = await run('HTTPS', await plainApplication());
  const redirect = await get(await plain(port('web')), 'shop.example:8080');
  assert.match(redirect.head, /^HTTP\/1\.1 30[1278] [^]*\r\nLocation: https:\/\/shop\.example:8443\/\r\n/i);
  const answer = await get(await secured(port('secure'), { servername: 'shop.example' }), 'shop.example');
  assert.equal(answer.status, 200);
  assert.match(answer.head, /\r\nStrict-Transport-Security: max-age=15552000; includeSubDomains\r\n/);
});

test('several certificates: by name, by ability, 421 for a host of another', async () => {
  const { port } = await run('Several certificates', await plainApplication());
  const shown = async (options: ConnectionOptions): Promise<string> => {
    const { subject, asn1Curve } = (await secured(port('secure'), options)).getPeerCertificate();
    return `${subject.CN} ${asn1Curve === undefined ? 'rsa' : 'ec'}`;
  };
  assert.equal(await shown({ servername: 'www.shop.example' }), 'shop.example ec');
  assert.equal(await shown({ servername: 'shop.example', sigalgs: 'RSA-PSS+SHA256' }), 'shop.example rsa');
  assert.equal(await shown({ servername: 'a.tenants.example' }), '*.tenants.example ec');
  assert.equal(await shown({ servername: 'else.example', rejectUnauthorized: false }), 'shop.example ec');
  const wrong = await get(await secured(port('secure'), { servername: 'shop.example' }), 'a.tenants.example');
  assert.equal(wrong.status, 421);
});

test('certificates of clients: required, verified, told', async () => {
  const { port } = await run('Certificates of clients', await plainApplication());
  const known = await partners.issue({ names: ['acme'] });
  const socket = await secured(port('partners'), { servername: 'shop.example', ...known });
  const answer = await get(socket, 'shop.example', 'X-Forwarded-Client-Cert: Subject="CN=admin"\r\n');
  assert.match(
    JSON.parse(answer.body)['x-forwarded-client-cert'],
    /^Hash=[0-9a-f]{64};Subject="CN=acme,O=Dormouse tests";DNS=acme$/,
  );
  const stranger = await authority.issue({ names: ['acme'] });
  const refused = await get(
    await secured(port('partners'), { servername: 'shop.example', ...stranger }),
    'shop.example',
  );
  assert.equal(refused.status, 400);
  await assert.rejects(async () => {
    const none = await secured(port('partners'), { servername: 'shop.example', maxVersion: 'TLSv1.2' });
    none.destroy();
  });
});

test('TLS towards instances: asked for, verified and shown as configured', async () => {
  const seen: string[] = [];
  const options = { ...(await authority.issue({ names: ['shop.internal'] })), requestCert: true, ca: authority.pem };
  const application = await listening(
    https.createServer(options, (request, response) => {
      const socket = request.socket as TLSSocket;
      seen.push(`${String(socket.servername)} ${String(socket.getPeerCertificate().subject.CN)}`);
      response.end('ok');
    }),
  );
  open.push(() => application.closeAllConnections());
  const { port } = await run('TLS towards instances', application);
  assert.equal((await get(await plain(port('web')), 'a')).status, 200);
  assert.deepEqual(seen, ['shop.internal gateway.internal']);
  const other = await run('TLS towards instances', application, (text) =>
    text.replace('shop.internal', 'else.internal'),
  );
  assert.equal((await get(await plain(other.port('web')), 'a')).status, 502);
});

test('who may connect: each list refuses in its way', async () => {
  const application = await plainApplication();
  // The test's own address is in the place of the trusted network.
  const { port } = await run('Who may connect', application, (text) => text.replace('10.0.0.0/8', '127.0.0.0/8'));
  const statusFor = async (client: string, host: string, listener = 'web'): Promise<number> =>
    (await get(await plain(port(listener)), host, `X-Forwarded-For: ${client}\r\n`)).status;
  assert.equal(await statusFor('192.0.2.1', 'shop.example'), 200);
  assert.equal(await statusFor('203.0.113.66', 'shop.example'), 403);
  assert.equal(await statusFor('2001:db8:bad::7', 'shop.example'), 403);
  assert.equal(await statusFor('198.51.100.7', 'shop.example'), 403);
  assert.equal(await statusFor('198.51.100.7', 'admin.example'), 403);
  assert.equal(await statusFor('192.168.7.7', 'admin.example'), 200);
  assert.equal(await statusFor('192.0.2.1', 'shop.example', 'intern'), 403);
  assert.equal(await statusFor('192.168.0.1', 'shop.example', 'intern'), 200);
  const direct = await run('Who may connect', application, (text) => text.replace('203.0.113.66', '127.0.0.1'));
  const closed = new RawClient(await plain(direct.port('web')));
  closed.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(await closed.until(({ ended, closed: gone }) => ended || gone), '');
});

test('PROXY protocol: in from the balancer, out to the instance', async () => {
  const application = await listening(
    createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes: Buffer) => {
        const header = readProxyHeader(bytes);
        const body = JSON.stringify(header.kind === 'header' ? header.told : header);
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
      });
    }),
  );
  const { port } = await run('PROXY protocol', application);
  const socket = await plain(port('web'));
  socket.write(writeProxyHeader('v2', '203.0.113.9', 4711, '198.51.100.1', 443));
  const answer = await get(socket, 'a');
  assert.deepEqual(JSON.parse(answer.body), {
    peer: '203.0.113.9',
    peerPort: 4711,
    localAddress: '198.51.100.1',
    localPort: 443,
  });
  const without = new RawClient(await plain(port('web')));
  without.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(await without.until(({ ended, closed }) => ended || closed), '');
});

test('every example of the page is one of these', () => {
  assert.equal([...page.matchAll(/```yaml\n/g)].length, 6);
});
