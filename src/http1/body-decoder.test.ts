import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BodyDecoder } from './body-decoder.ts';
import { BodyKind } from './body-kind.ts';
import { chunkHead } from './writer.ts';

const LIMITS = { headerBytes: 512, headers: 10, uriBytes: 100 };

/** Feeds `bytes` cut into pieces; gives the payload and the number of bytes consumed, or the reason of the refusal. */
function decode(
  decoder: BodyDecoder,
  bytes: Buffer,
  cuts: readonly number[],
): { payload: string; consumed: number } | string {
  const parts: Buffer[] = [];
  const sink = {
    onBody(chunk: Buffer, start: number, end: number): void {
      assert.ok(start < end);
      parts.push(Buffer.from(chunk.subarray(start, end)));
    },
  };
  let from = 0;
  let consumed = 0;
  for (const cut of [...cuts, bytes.length]) {
    const to = Math.min(cut, bytes.length);
    if (to <= from) continue;
    const result = decoder.execute(bytes, from, to, sink);
    if (result === -2) {
      assert.equal(decoder.execute(bytes, from, to, sink), -2);
      return decoder.error!.detail;
    }
    consumed += result - from;
    if (result < to) break;
    from = to;
  }
  return { payload: Buffer.concat(parts).toString('latin1'), consumed };
}

const bytewise = (bytes: Buffer): number[] => Array.from(bytes.keys());

test('chunked bodies decode to their payload at any split', () => {
  const extension = fc.constantFrom('', ';a', ';a=b', ';a="x;\\"y"', ' ; a = b;c');
  const chunk = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), extension, fc.boolean());
  fc.assert(
    fc.property(
      fc.array(chunk, { maxLength: 8 }),
      fc.constantFrom('', 'X-Sum: 1\r\n', 'a: b\r\nc:\r\n'),
      fc.array(fc.nat(400), { maxLength: 8 }),
      (chunks, trailers, cuts) => {
        const parts: Buffer[] = [];
        for (const [data, ext, upper] of chunks) {
          const size = chunkHead(data.length).trim();
          parts.push(
            Buffer.from(`${upper ? size.toUpperCase() : size}${ext}\r\n`),
            Buffer.from(data),
            Buffer.from('\r\n'),
          );
        }
        const body = Buffer.concat([...parts, Buffer.from(`0\r\n${trailers}\r\n`)]);
        const payload = Buffer.concat(chunks.map(([data]) => Buffer.from(data))).toString('latin1');
        const decoder = new BodyDecoder(LIMITS);
        for (const split of [[], cuts.sort((a, b) => a - b), bytewise(body)]) {
          decoder.reset(BodyKind.CHUNKED, 0);
          assert.deepEqual(decode(decoder, Buffer.concat([body, Buffer.from('GET')]), split), {
            payload,
            consumed: body.length,
          });
          assert.equal(decoder.done, true);
          assert.equal(decoder.finish(), true);
          assert.equal(decoder.received, payload.length);
          assert.equal(decoder.trailers, trailers.replace('c:\r', 'c: \r'));
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('any bytes at any split give the same answer', () => {
  const piece = fc.constantFrom(
    '0',
    '3',
    'a',
    'abc',
    '\r\n',
    '\r',
    '\n',
    ';',
    '=',
    '"',
    '\\',
    ' ',
    '\t',
    'X: y',
    '3\r\nabc\r\n',
    '0\r\n',
    '\r\n\r\n',
    '\0',
    '\xff',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 16 }), fc.array(fc.nat(80), { maxLength: 8 }), (pieces, cuts) => {
      const bytes = Buffer.from(pieces.join(''), 'latin1');
      const decoder = new BodyDecoder(LIMITS);
      decoder.reset(BodyKind.CHUNKED, 0);
      const whole = decode(decoder, bytes, []);
      const { done, trailers } = decoder;
      for (const split of [cuts.sort((a, b) => a - b), bytewise(bytes)]) {
        decoder.reset(BodyKind.CHUNKED, 0);
        assert.deepEqual(decode(decoder, bytes, split), whole);
        assert.deepEqual([decoder.done, decoder.trailers], [done, trailers]);
      }
    }),
    { numRuns: 3000 },
  );
});

test('a body with length ends at its last byte', () => {
  const decoder = new BodyDecoder(LIMITS);
  decoder.reset(BodyKind.LENGTH, 5);
  const bytes = Buffer.from('helloGET');
  assert.deepEqual(decode(decoder, bytes, [2]), { payload: 'hello', consumed: 5 });
  assert.equal(decoder.done, true);
  decoder.reset(BodyKind.LENGTH, 9);
  assert.deepEqual(decode(decoder, bytes, bytewise(bytes)), { payload: 'helloGET', consumed: 8 });
  assert.equal(decoder.finish(), false);
  decoder.reset(BodyKind.LENGTH, 0);
  assert.equal(decoder.done, true);
  decoder.reset(BodyKind.NONE, 0);
  assert.equal(decoder.execute(bytes, 0, bytes.length, { onBody: () => assert.fail() }), 0);
});

test('a body without length ends with the connection', () => {
  const decoder = new BodyDecoder(LIMITS);
  decoder.reset(BodyKind.UNTIL_CLOSE, 0);
  assert.deepEqual(decode(decoder, Buffer.from('hello'), [1, 2]), { payload: 'hello', consumed: 5 });
  assert.equal(decoder.done, false);
  assert.equal(decoder.finish(), true);
  assert.equal(decoder.done, true);
});

test('a chunked body that is cut off is not complete', () => {
  const body = Buffer.from('3\r\nabc\r\n0\r\nX: y\r\n\r\n');
  for (let length = 0; length < body.length; length++) {
    const decoder = new BodyDecoder(LIMITS);
    decoder.reset(BodyKind.CHUNKED, 0);
    decode(decoder, body.subarray(0, length), []);
    assert.equal(decoder.finish(), false, `after ${length} bytes`);
  }
});

test('trailers that could be taken for framing, routing or authentication are left out', () => {
  const decoder = new BodyDecoder(LIMITS);
  decoder.reset(BodyKind.CHUNKED, 0);
  const lines =
    'Content-Length: 3\r\nHOST: b\r\nX-Sum:  1 \r\nAuthorization: x\r\nX-Forwarded-For: x\r\nProxy-Foo: x\r\nSet-Cookie: x\r\ngrpc-status: 0\r\n';
  assert.equal(typeof decode(decoder, Buffer.from(`0\r\n${lines}\r\n`), []), 'object');
  assert.equal(decoder.trailers, 'X-Sum: 1\r\ngrpc-status: 0\r\n');
});

test('what a chunk may cost is bounded', () => {
  const refusal = (text: string): string => {
    const bytes = Buffer.from(text);
    const decoder = new BodyDecoder(LIMITS);
    decoder.reset(BodyKind.CHUNKED, 0);
    const whole = decode(decoder, bytes, []);
    decoder.reset(BodyKind.CHUNKED, 0);
    assert.deepEqual(decode(decoder, bytes, bytewise(bytes)), whole);
    return typeof whole === 'string' ? whole : 'read';
  };
  assert.equal(refusal(`1;${'a'.repeat(1023)}\r\nx\r\n`), 'read');
  assert.equal(refusal(`1;${'a'.repeat(1025)}`), 'chunk-extension-too-long');
  assert.equal(refusal(`1;a="${'a'.repeat(1025)}`), 'chunk-extension-too-long');
  assert.equal(refusal(`fffffffffffff\r\nx`), 'read');
  assert.equal(refusal(`10000000000000\r\nx`), 'bad-chunk-size');
  assert.equal(refusal(`0\r\nX: ${'a'.repeat(512)}`), 'trailers-too-large');
  assert.equal(refusal(`0\r\n${'X: y\r\n'.repeat(11)}`), 'too-many-headers');
});
