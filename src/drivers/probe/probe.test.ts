/** What a look says of servers that speak TLS, HTTP/2 or expect a PROXY header. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { defaultBackend } from '../../model/config.fixture.ts';
import type { BackendConfig, EndpointTlsConfig } from '../../model/config.ts';
import { Authority, writePem } from '../../gateway/fixtures/certificates.ts';
import { probe } from './probe.ts';
import type { ProbeResult } from './probe.ts';
import { PLAIN, speechOf } from './speech.ts';

let folder = '';
let files: { caFile: string; certFile: string; keyFile: string };
let credentials: { cert: string; key: string; ca: string };

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'dormouse-probe-'));
  const authority = await Authority.create();
  const pem = await authority.issue({ names: ['shop.internal'] });
  const caFile = join(folder, 'ca.crt');
  writeFileSync(caFile, authority.pem);
  files = { caFile, ...writePem(folder, 'shop', pem) };
  credentials = { ...pem, ca: authority.pem };
});

after(() => rmSync(folder, { recursive: true }));

async function look(
  server: net.Server,
  path: string | null,
  more: {
    tls?: Partial<EndpointTlsConfig> | null;
    protocol?: BackendConfig['endpoints']['protocol'];
    proxy?: 'v1' | 'v2';
  },
): Promise<ProbeResult> {
  const { tls = null, protocol = 'http1', proxy = 'off' } = more;
  const backend: BackendConfig = {
    ...defaultBackend('shop'),
    source: { driver: 'static', servers: [] },
    proxyProtocol: proxy,
    tls:
      tls === null ? null : { caFile: null, serverName: null, certFile: null, keyFile: null, insecure: false, ...tls },
  };
  backend.endpoints.protocol = protocol;
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  const asked = path === null ? null : { path, status: { from: 200, to: 299 } };
  const result = await new Promise<ProbeResult>(
    (resolve) => void probe({ host: '127.0.0.1', port, http: asked, speech: speechOf(backend) }, 2000, resolve),
  );
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  return result;
}

function answering(response: { writeHead(status: number): unknown; end(): unknown }, url: string | undefined): void {
  response.writeHead(url === '/well' ? 200 : 503);
  response.end();
}

describe('a look at a server with TLS', () => {
  const server = (options: https.ServerOptions = {}): https.Server =>
    https.createServer({ ...credentials, ...options }, (request, response) => answering(response, request.url));
  const known = (): Partial<EndpointTlsConfig> => ({ caFile: files.caFile, serverName: 'shop.internal' });

  test('asks in the way of its gateways', async () => {
    assert.deepEqual(await look(server(), '/well', { tls: known() }), { ok: true });
    const ill = await look(server(), '/ill', { tls: known() });
    assert.equal(ill.ok ? '' : ill.reason, 'answered 503, expected 200-299');
  });

  test('is content with the handshake when no path is given', async () =>
    assert.deepEqual(await look(server(), null, { tls: known() }), { ok: true }));

  test('finds a certificate that nobody vouches for, or of another name', async () => {
    const unknown = await look(server(), '/well', { tls: { serverName: 'shop.internal' } });
    assert.match(unknown.ok ? '' : unknown.reason, /^can't be spoken to over TLS \((UNABLE|SELF)/);
    const other = await look(server(), '/well', { tls: { ...known(), serverName: 'other.internal' } });
    assert.match(other.ok ? '' : other.reason, /TLS \(ERR_TLS_CERT_ALTNAME_INVALID\)/);
    assert.deepEqual(await look(server(), '/well', { tls: { insecure: true } }), { ok: true });
  });

  test('shows the certificate that the server asks for', async () => {
    const strict = { requestCert: true, rejectUnauthorized: true };
    const { certFile, keyFile } = files;
    assert.deepEqual(await look(server(strict), '/well', { tls: { ...known(), certFile, keyFile } }), { ok: true });
    assert.equal((await look(server(strict), '/well', { tls: known() })).ok, false);
  });

  test('says which file is missing', async () => {
    const result = await look(server(), null, { tls: { caFile: join(folder, 'none.crt') } });
    assert.match(result.ok ? '' : result.reason, /^can't be asked: ENOENT.*none\.crt/);
  });
});

describe('a look at a server with HTTP/2', () => {
  test('asks over a clear connection (h2c)', async () => {
    const server = (): net.Server =>
      http2.createServer((request, response) => answering(response, request.url)) as unknown as net.Server;
    assert.deepEqual(await look(server(), '/well', { protocol: 'h2c' }), { ok: true });
    const ill = await look(server(), '/ill', { protocol: 'h2c' });
    assert.equal(ill.ok ? '' : ill.reason, 'answered 503, expected 200-299');
  });

  test('asks over TLS', async () => {
    const server = http2.createSecureServer(credentials, (request, response) => answering(response, request.url));
    const tls = { caFile: files.caFile, serverName: 'shop.internal' };
    assert.deepEqual(await look(server as unknown as net.Server, '/well', { protocol: 'h2', tls }), { ok: true });
  });

  test('finds one that speaks HTTP/1.1 only', async () => {
    const server = http.createServer((_request, response) => response.end());
    const result = await look(server, '/well', { protocol: 'h2c' });
    assert.equal(result.ok ? '' : result.reason, 'did not answer with HTTP/2');
  });
});

test('a look begins with a PROXY header where connections do', async () => {
  for (const [version, header] of [
    ['v1', Buffer.from('PROXY UNKNOWN\r\n')],
    ['v2', Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', 'latin1')],
  ] as const) {
    let seen: Buffer = Buffer.alloc(0);
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        seen = Buffer.concat([seen, chunk as Buffer]);
        if (seen.includes('\r\n\r\n', header.length)) socket.end('HTTP/1.1 204 \r\n\r\n');
      });
    });
    assert.deepEqual(await look(server, '/well', { proxy: version }), { ok: true });
    assert.deepEqual(seen.subarray(0, header.length), header);
    assert.ok(seen.toString('latin1', header.length).startsWith('GET /well HTTP/1.1\r\n'));
  }
});

test('time in which this process could do nothing is not counted against the server', async () => {
  // In a process of its own: it answers while this one stands still.
  const server = fork(join(import.meta.dirname, 'prompt-server.fixture.ts'));
  try {
    const [port] = (await once(server, 'message')) as [number];
    const target = { host: '127.0.0.1', port, http: { path: '/', status: { from: 200, to: 299 } }, speech: PLAIN };
    const result = new Promise<ProbeResult>((resolve) => void probe(target, 500, resolve));
    await new Promise(setImmediate);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
    assert.deepEqual(await result, { ok: true });
  } finally {
    server.kill();
  }
});

test('a server that says nothing is given up after the timeout', async () => {
  const server = net.createServer(() => {}).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const beganMs = performance.now();
  const target = { host: '127.0.0.1', port, http: { path: '/', status: { from: 200, to: 299 } }, speech: PLAIN };
  const result = await new Promise<ProbeResult>((resolve) => void probe(target, 200, resolve));
  assert.deepEqual(result, { ok: false, answered: true, code: 'TIMEOUT', reason: 'did not answer within 200 ms' });
  assert.ok(performance.now() - beganMs >= 190);
  server.close();
});
