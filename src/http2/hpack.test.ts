import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DecoderScratch, HpackDecoder } from './hpack-decoder.ts';
import type { FieldSink } from './hpack-decoder.ts';
import { EncoderScratch, HpackEncoder } from './hpack-encoder.ts';
import { FieldKind } from './field-kind.ts';
import { decodeHuffman } from './huffman.ts';

class Fields implements FieldSink {
  lines: string[] = [];
  malformed = 0;

  onField(bytes: Uint8Array, nameEnd: number, end: number, kind: number): void {
    if (kind === FieldKind.MALFORMED) this.malformed++;
    const line = Buffer.from(bytes.subarray(0, end)).toString('latin1');
    assert.equal(line.slice(nameEnd, nameEnd + 2), ': ');
    assert.ok(line.endsWith('\r\n'));
    this.lines.push(line.slice(0, -2));
  }
}

function decode(decoder: HpackDecoder, hex: string): string[] | null {
  const fields = new Fields();
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return decoder.decode(block, 0, block.length, fields) ? fields.lines : null;
}

const newDecoder = (): HpackDecoder => new HpackDecoder(new DecoderScratch());

describe('HPACK decoder', () => {
  it('decodes the requests of RFC 7541 C.3, without Huffman', () => {
    const decoder = newDecoder();
    const base = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
    assert.deepEqual(decode(decoder, '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'), base);
    assert.deepEqual(decode(decoder, '8286 84be 5808 6e6f 2d63 6163 6865'), [...base, 'cache-control: no-cache']);
    assert.deepEqual(decode(decoder, '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65'), [
      ':method: GET',
      ':scheme: https',
      ':path: /index.html',
      ':authority: www.example.com',
      'custom-key: custom-value',
    ]);
  });

  it('decodes the requests of RFC 7541 C.4, with Huffman', () => {
    const decoder = newDecoder();
    const base = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
    assert.deepEqual(decode(decoder, '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'), base);
    assert.deepEqual(decode(decoder, '8286 84be 5886 a8eb 1064 9cbf'), [...base, 'cache-control: no-cache']);
    assert.deepEqual(decode(decoder, '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'), [
      ':method: GET',
      ':scheme: https',
      ':path: /index.html',
      ':authority: www.example.com',
      'custom-key: custom-value',
    ]);
  });

  it('evicts as RFC 7541 C.5 and C.6 show, with a table of 256 bytes', () => {
    const decoder = newDecoder();
    const first = [
      ':status: 302',
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:21 GMT',
      'location: https://www.example.com',
    ];
    // 3fe101: a size update to 256.
    const responses = [
      '3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
      '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
    ];
    const second = [':status: 307', ...first.slice(1)];
    assert.deepEqual(decode(decoder, responses[0]!), first);
    assert.deepEqual(decode(decoder, responses[1]!), second);
    assert.deepEqual(decode(decoder, responses[2]!), [
      ':status: 200',
      'cache-control: private',
      'date: Mon, 21 Oct 2013 20:13:22 GMT',
      'location: https://www.example.com',
      'content-encoding: gzip',
      'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ]);
  });

  it('refuses what is not valid', () => {
    for (const [hex, why] of [
      ['80', 'index 0'],
      ['be', 'an index beyond the tables'],
      ['ff', 'an integer that is cut off'],
      ['ffffffffff0f', 'an integer beyond all bounds'],
      ['400a61', 'a string that is cut off'],
      ['8220', 'a size update after a field'],
      ['3fe21f', 'a size above ours (4097)'],
      ['4082ffff00', 'EOS within a string'],
      ['408161 00', 'padding that is not all ones'],
      ['4082 1fff 00', 'padding of more than seven bits'],
      ['40', 'a literal without a name'],
    ] as const)
      assert.equal(decode(newDecoder(), hex), null, why);
  });

  it('says which fields must not stand in a message', () => {
    const bad = [
      'Accept: a',
      'a b: c',
      ': x',
      'connection: close',
      'te: gzip',
      ':unknown: x',
      'x:  y',
      'transfer-encoding: chunked',
      'upgrade: h2c',
      'x: a\nb',
      'x: a\0',
    ];
    const good = ['te: trailers', 'accept: */*', ':path: /', 'x: ', 'x-bytes: \u00e9'];
    for (const [lines, expected] of [
      [bad, bad.length],
      [good, 0],
    ] as const) {
      const fields = new Fields();
      const decoder = newDecoder();
      for (const line of lines) {
        const at = line.indexOf(': ', line.startsWith(':') && !line.startsWith(': ') ? 1 : 0);
        const [name, value] = [line.slice(0, at), line.slice(at + 2)];
        const block = Buffer.from(
          `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`,
          'latin1',
        );
        assert.ok(decoder.decode(block, 0, block.length, fields), line);
      }
      assert.equal(fields.malformed, expected, fields.lines.join(' | '));
    }
  });

  it('never throws, whatever comes', () => {
    const decoder = newDecoder();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        decoder.decode(bytes, 0, bytes.length, new Fields());
      }),
      { numRuns: 2000 },
    );
  });
});

describe('Huffman code', () => {
  it('decodes every symbol', () => {
    // RFC 7541 C.6.1: "Mon, 21 Oct 2013 20:13:21 GMT"
    const bytes = Buffer.from('d07abe941054d444a8200595040b8166e082a62d1bff', 'hex');
    const out = Buffer.alloc(64);
    const end = decodeHuffman(bytes, 0, bytes.length, out, 3);
    assert.equal(out.toString('latin1', 3, end), 'Mon, 21 Oct 2013 20:13:21 GMT');
  });
});

describe('HPACK encoder', () => {
  const name = fc
    .stringMatching(/^[a-z][a-z0-9-]{0,12}$/)
    .filter((text) => !['connection', 'upgrade', 'host', 'te'].includes(text));
  const value = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/);
  const block = fc.array(fc.tuple(name, value), { maxLength: 12 });

  it('is understood by the decoder, block after block, while the limit moves', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(block, fc.option(fc.nat(5000)), fc.option(fc.nat(5000))), { maxLength: 20 }),
        (blocks) => {
          const encoder = new HpackEncoder(new EncoderScratch());
          const decoder = newDecoder();
          for (const [lines, ...limits] of blocks) {
            for (const limit of limits) if (limit !== null) encoder.setLimit(limit);
            encoder.begin();
            encoder.status(207);
            encoder.lines(lines.map(([n, v]) => `${n.toUpperCase()}:  ${v} \r\n`).join(''));
            const fields = new Fields();
            assert.ok(decoder.decode(encoder.bytes, 0, encoder.end(), fields));
            assert.deepEqual(fields.lines, [':status: 207', ...lines.map(([n, v]) => `${n}: ${v}`)]);
          }
        },
      ),
    );
  });

  it('sends a line that was sent before as one byte, secrets and unique values never', () => {
    const encoder = new HpackEncoder(new EncoderScratch());
    const size = (text: string): number => {
      encoder.begin();
      encoder.lines(text);
      return encoder.end();
    };
    const lines = 'Server: a server\r\nContent-Type: text/plain\r\n';
    assert.ok(size(lines) > 20);
    assert.equal(size(lines), 2);
    const secret = 'Set-Cookie: session=1\r\nETag: "abc"\r\n';
    assert.equal(size(secret), size(secret));
    assert.ok(size(secret) > 10);
  });

  it('leaves out what belongs to an HTTP/1 connection', () => {
    const encoder = new HpackEncoder(new EncoderScratch());
    encoder.begin();
    encoder.lines(
      'Connection: close\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\nA: b\r\n',
    );
    const fields = new Fields();
    newDecoder().decode(encoder.bytes, 0, encoder.end(), fields);
    assert.deepEqual(fields.lines, ['a: b']);
  });
});
