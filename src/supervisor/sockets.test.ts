/** What this program needs of Node beyond its documentation; when a new Node breaks it, it shows here. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { bindSocket, joinSocket, withBacklog } from './sockets.ts';

function ask(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect(port, '127.0.0.1');
    socket.setEncoding('utf8').on('data', (part) => (text += part));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    socket.on('close', () => resolve(text));
  });
}

describe('raw sockets', () => {
  it('are bound without listening, and listened on later', async () => {
    const { socket, port } = bindSocket('127.0.0.1', 0, { reusePort: false });
    assert.ok(socket.fd > 2 && port > 0);
    assert.equal(await ask(port), 'ECONNREFUSED');
    let listened = 0;
    const server = net.createServer((client) => client.end('hello'));
    await new Promise<void>((resolve) =>
      server.listen(
        withBacklog(socket, () => listened++),
        511,
        resolve,
      ),
    );
    assert.equal(listened, 1);
    assert.equal(await ask(port), 'hello');
    server.close();
    await once(server, 'close');
  });

  it('tell the system error, and take IPv6 addresses', async () => {
    assert.throws(() => bindSocket('192.0.2.1', 0, { reusePort: false }), { code: 'EADDRNOTAVAIL' });
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    assert.throws(() => bindSocket('127.0.0.1', port, { reusePort: true }), { code: 'EADDRINUSE' });
    server.close();
    const again = bindSocket('::1', 0, { reusePort: false });
    again.socket.close();
  });

  it('share a port among sockets that all ask for it, and one server accepts from several', async () => {
    const first = bindSocket('127.0.0.1', 0, { reusePort: true });
    const second = bindSocket('127.0.0.1', first.port, { reusePort: true });
    const server = net.createServer((client) => client.end('hello'));
    await new Promise<void>((resolve) => server.listen(first.socket, resolve));
    const end = joinSocket(second.socket, () => first.socket);
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(first.port)));
    assert.deepEqual([...new Set(answers)], ['hello']);
    end();
    server.close();
    await once(server, 'close');
  });
});
