import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readProxyHeader, V2_MAX_BYTES, V2_SIGNATURE } from './read-header.ts';
import { writeProxyHeader } from './write-header.ts';

const v4 = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 }).map((bytes) => bytes.join('.'));
/** In the form of RFC 5952, through the URL parser, which is not ours. */
const v6 = fc
  .array(fc.constantFrom(0, 0, 0, 1, 0xffff, 0xdb8), { minLength: 8, maxLength: 8 })
  .map((groups) => new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]/`).hostname.slice(1, -1))
  .filter((address) => !address.startsWith('::ffff:'));
const port = fc.integer({ min: 0, max: 65_535 });

function v2(command: number, family: number, rest: Buffer, length = rest.length): Buffer {
  const head = Buffer.from([command, family, length >> 8, length & 255]);
  return Buffer.concat([V2_SIGNATURE, head, rest]);
}

describe('the header of the PROXY protocol', () => {
  test('is read as it was written, whatever follows it, and never before it is complete', () => {
    const version = fc.constantFrom('v1' as const, 'v2' as const);
    const pair = fc.oneof(fc.tuple(v4, v4), fc.tuple(v6, v6));
    fc.assert(
      fc.property(
        version,
        pair,
        port,
        port,
        fc.uint8Array({ maxLength: 40 }),
        (which, [peer, local], from, to, rest) => {
          const header = writeProxyHeader(which, peer, from, local, to);
          const bytes = Buffer.concat([header, rest]);
          for (let size = 0; size < header.length; size++)
            assert.deepEqual(readProxyHeader(bytes.subarray(0, size)), { kind: 'more' });
          assert.deepEqual(readProxyHeader(bytes), {
            kind: 'header',
            size: header.length,
            told: { peer, peerPort: from, localAddress: local, localPort: to },
          });
        },
      ),
    );
  });

  test('of a client and a listener of different families is written in IPv6 and read as what it was', () => {
    for (const version of ['v1', 'v2'] as const) {
      const read = readProxyHeader(writeProxyHeader(version, '192.0.2.7', 5, '2001:db8::1', 443));
      assert.ok(read.kind === 'header');
      assert.deepEqual(read.told, { peer: '192.0.2.7', peerPort: 5, localAddress: '2001:db8::1', localPort: 443 });
    }
  });

  test('is written byte for byte as the specification says', () => {
    assert.equal(
      writeProxyHeader('v1', '192.168.0.1', 56_324, '192.168.0.11', 443).toString('latin1'),
      'PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n',
    );
    assert.equal(
      writeProxyHeader('v2', '127.0.0.1', 1, '127.0.0.2', 2).toString('hex'),
      '0d0a0d0a000d0a515549540a2111000c7f0000017f00000200010002',
    );
    assert.equal(writeProxyHeader('v1', '', 1, '127.0.0.2', 2).toString('latin1'), 'PROXY UNKNOWN\r\n');
    assert.equal(writeProxyHeader('v2', '', 1, '127.0.0.2', 2).toString('hex'), '0d0a0d0a000d0a515549540a21000000');
  });

  const speaksForItself: [string, Buffer][] = [
    ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
    ['UNKNOWN with anything behind it', Buffer.from('PROXY UNKNOWN ffff::1 nonsense\r\n')],
    ['LOCAL', v2(0x20, 0x00, Buffer.alloc(0))],
    ['LOCAL with addresses, which are not looked at', v2(0x20, 0x11, Buffer.alloc(12))],
    ['AF_UNSPEC', v2(0x21, 0x00, Buffer.alloc(3))],
    ['AF_UNIX', v2(0x21, 0x31, Buffer.alloc(216))],
    ['UDP', v2(0x21, 0x12, Buffer.alloc(12))],
  ];
  for (const [name, bytes] of speaksForItself)
    test(`${name}: the proxy speaks for itself`, () =>
      assert.deepEqual(readProxyHeader(bytes), { kind: 'header', size: bytes.length, told: null }));

  test('TLVs are passed over', () => {
    const addresses = Buffer.from('c0000207c000020800500051', 'hex');
    const tlvs = Buffer.from('040003000000020005612e636f6d', 'hex');
    const bytes = v2(0x21, 0x11, Buffer.concat([addresses, tlvs]));
    assert.deepEqual(readProxyHeader(Buffer.concat([bytes, Buffer.from('GET')])), {
      kind: 'header',
      size: bytes.length,
      told: { peer: '192.0.2.7', peerPort: 80, localAddress: '192.0.2.8', localPort: 81 },
    });
  });

  const malformed: [string, Buffer][] = [
    ['a request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['PROPFIND', Buffer.from('PROPFIND / HTTP/1.1\r\n\r\n')],
    ['a TLS record', Buffer.from('160301020001', 'hex')],
    ['an empty line', Buffer.from('\r\n\r\nGET')],
    ['a line without end', Buffer.from(`PROXY TCP4 ${'1'.repeat(200)}`)],
    ['an end beyond 107 bytes', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(100)}\r\n`)],
    ['a name for an address', Buffer.from('PROXY TCP4 example.com 127.0.0.1 1 2\r\n')],
    ['IPv6 in TCP4', Buffer.from('PROXY TCP4 ::1 ::1 1 2\r\n')],
    ['a port beyond 65535', Buffer.from('PROXY TCP4 127.0.0.1 127.0.0.1 65536 2\r\n')],
    ['a port with a sign', Buffer.from('PROXY TCP4 127.0.0.1 127.0.0.1 +1 2\r\n')],
    ['two spaces', Buffer.from('PROXY TCP4  127.0.0.1 127.0.0.1 1 2\r\n')],
    ['a field too many', Buffer.from('PROXY TCP4 127.0.0.1 127.0.0.1 1 2 3\r\n')],
    ['TCP5', Buffer.from('PROXY TCP5 127.0.0.1 127.0.0.1 1 2\r\n')],
    ['version 3', v2(0x31, 0x11, Buffer.alloc(12))],
    ['an unknown command', v2(0x22, 0x11, Buffer.alloc(12))],
    ['an unknown family', v2(0x21, 0x41, Buffer.alloc(12))],
    ['addresses that are too short', v2(0x21, 0x21, Buffer.alloc(12))],
    ['a length beyond the bound', v2(0x21, 0x11, Buffer.alloc(0), V2_MAX_BYTES - 15)],
  ];
  for (const [name, bytes] of malformed)
    test(`${name} is none`, () => assert.equal(readProxyHeader(bytes).kind, 'malformed'));

  test('no bytes make it throw or read beyond what there is', () => {
    const start = fc.constantFrom(Buffer.alloc(0), Buffer.from('PROXY '), Buffer.from('PROXY TCP4 '), V2_SIGNATURE);
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300 }), (first, rest) => {
        const bytes = Buffer.concat([first, rest]);
        const read = readProxyHeader(bytes);
        if (read.kind === 'header') assert.ok(read.size <= bytes.length);
        else if (read.kind === 'more') assert.ok(bytes.length < V2_MAX_BYTES);
      }),
      { numRuns: 2000 },
    );
  });
});
