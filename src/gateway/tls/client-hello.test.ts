import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { before, describe, test } from 'node:test';
import { connect, type ConnectionOptions } from 'node:tls';
import fc from 'fast-check';
import { CLIENT_HELLO_MAX_BYTES, readClientHello } from './client-hello.ts';

/** The first flight of a real client. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const client = connect({ host: '127.0.0.1', port: (server.address() as { port: number }).port, ...options });
  client.on('error', () => {});
  const [socket] = (await accepted) as [Socket];
  socket.on('error', () => {});
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** The same handshake bytes in records of at most `size` bytes. */
function inRecordsOf(size: number, hello: Buffer): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

describe('a ClientHello', () => {
  let hello: Buffer;
  before(async () => {
    hello = await helloOf({ servername: 'Shop.Example.com', ALPNProtocols: ['h2', 'http/1.1'] });
  });

  test('tells the name, and nothing before it is complete', () => {
    for (let size = 0; size < hello.length; size++)
      assert.deepEqual(readClientHello(hello.subarray(0, size)), { kind: 'more' }, `${size} bytes`);
    assert.deepEqual(readClientHello(hello), { kind: 'hello', serverName: 'shop.example.com' });
    assert.deepEqual(readClientHello(Buffer.concat([hello, Buffer.from('1703030001', 'hex')])), {
      kind: 'malformed',
      reason: 'no TLS handshake',
    });
  });

  test('of TLS 1.2 tells it too; one without a name tells that', async () => {
    const old = await helloOf({ servername: 'a.b', maxVersion: 'TLSv1.2' });
    assert.deepEqual(readClientHello(old), { kind: 'hello', serverName: 'a.b' });
    assert.deepEqual(readClientHello(await helloOf({})), { kind: 'hello', serverName: '' });
  });

  test('may be spread over records', () => {
    for (const size of [1, 3, 100]) {
      const spread = inRecordsOf(size, hello);
      assert.deepEqual(readClientHello(spread), { kind: 'hello', serverName: 'shop.example.com' });
      assert.deepEqual(readClientHello(spread.subarray(0, -1)), { kind: 'more' });
    }
  });

  const malformed: [string, Buffer][] = [
    ['a request', Buffer.from('GET / HTTP/1.1\r\n')],
    ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.6\r\n')],
    ['SSL 2', Buffer.from('802e0100020015', 'hex')],
    ['an alert', Buffer.from('15030100020228', 'hex')],
    ['a ServerHello', Buffer.from('160301000402000000', 'hex')],
    ['an empty record', Buffer.from('1603010000', 'hex')],
    ['a record beyond 2^14', Buffer.from('1603014001', 'hex')],
    ['a hello beyond the bound', Buffer.from('16030100040100ffff', 'hex')],
    ['lengths that contradict each other', Buffer.from('160301000801000004deadbeef', 'hex')],
  ];
  for (const [name, bytes] of malformed)
    test(`${name} is none`, () => assert.equal(readClientHello(bytes).kind, 'malformed'));

  test('is not waited for without bound', () => {
    const endless = inRecordsOf(
      1,
      Buffer.concat([Buffer.alloc(5), Buffer.from('01003fff', 'hex'), Buffer.alloc(8000)]),
    );
    assert.ok(endless.length > 2 * CLIENT_HELLO_MAX_BYTES);
    assert.equal(readClientHello(endless).kind, 'malformed');
  });

  test('with any bytes changed or cut makes nothing throw', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }), fc.nat(), (changes, cut) => {
        const bytes = Buffer.from(hello);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        readClientHello(bytes.subarray(0, cut % (bytes.length + 1)));
        readClientHello(bytes);
      }),
      { numRuns: 2000 },
    );
  });
});
