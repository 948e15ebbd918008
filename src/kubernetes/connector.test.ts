import assert from 'node:assert/strict';
import { once } from 'node:events';
import type net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { Pool } from 'undici';
import { issueOperator, renewedAuthority, trustBundle } from '../tls/authority.ts';
import { resettingConnector } from './connector.ts';

async function stage({ port, keepAliveTimeout }: { port?: number; keepAliveTimeout?: number } = {}) {
  const nowMs = Date.now();
  const authority = await renewedAuthority([], nowMs);
  const { cert, key } = await issueOperator(authority, ['localhost'], nowMs);
  const server = tls.createServer({ cert, key });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = port ?? (server.address() as net.AddressInfo).port;
  const pool = new Pool(`https://127.0.0.1:${at}`, {
    connect: resettingConnector({ ca: trustBundle(authority), servername: 'localhost', timeout: 5000 }),
    connections: 1,
    ...(keepAliveTimeout === undefined ? {} : { keepAliveTimeout }),
  });
  return {
    server,
    pool,
    [Symbol.asyncDispose]: async () => {
      await pool.destroy();
      server.close();
    },
  };
}

test('a request that is given up resets its connection: nothing of it is sent any more', async () => {
  await using on = await stage();
  const giveUp = new AbortController();
  const connected = once(on.server, 'secureConnection');
  const asked = on.pool.request({ method: 'PATCH', path: '/', body: '{}', signal: giveUp.signal });
  const [socket] = (await connected) as [tls.TLSSocket];
  await once(socket, 'data');
  const ended = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('end', () => resolve('ended in order'));
  });
  // Only half an answer: by it the client has read what the server's TLS had to say.
  socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n');
  const { body } = await asked;
  giveUp.abort(new Error('given up'));
  await assert.rejects(body.text(), /given up/);
  assert.equal(await ended, 'ECONNRESET');
});

test('connections are kept, and a server that is not there is told as ECONNREFUSED', async () => {
  await using on = await stage();
  let connections = 0;
  on.server.on('secureConnection', (socket: tls.TLSSocket) => {
    connections++;
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  });
  for (let n = 0; n < 3; n++) {
    const { statusCode, body } = await on.pool.request({ method: 'GET', path: '/' });
    await body.dump();
    assert.equal(statusCode, 200);
  }
  assert.equal(connections, 1);
  await using off = await stage({ port: 1 });
  await assert.rejects(off.pool.request({ method: 'GET', path: '/' }), { code: 'ECONNREFUSED' });
});

test('a connection that the server ends or resets, or that has been idle for long, is replaced', async () => {
  await using on = await stage({ keepAliveTimeout: 50 });
  const below: net.Socket[] = [];
  on.server.on('connection', (socket: net.Socket) => below.push(socket));
  on.server.on('secureConnection', (socket: tls.TLSSocket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  });
  const ends = [
    (socket: net.Socket) => socket.end(),
    (socket: net.Socket) => socket.resetAndDestroy(),
    (socket: net.Socket) => socket.destroy(),
    // undici's own bound.
    () => {},
  ];
  for (const [n, end] of ends.entries()) {
    const { statusCode, body } = await on.pool.request({ method: 'GET', path: '/', signal: AbortSignal.timeout(5000) });
    await body.dump();
    assert.equal(statusCode, 200);
    assert.equal(below.length, n + 1);
    const gone = once(on.pool, 'disconnect');
    end(below[n]!);
    await gone;
  }
});
