import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyDecoder } from './body-decoder.ts';
import { BodyKind, bodyKind, ResponseParser } from './response-parser.ts';
import { chunkHead, httpDate, LAST_CHUNK, reasonPhrase, simpleResponse } from './writer.ts';

const LIMITS = { headerBytes: 4096, headers: 20, uriBytes: 200 };

test('our own responses are read back as they were meant', () => {
  for (const status of [200, 204, 304, 400, 431, 503, 599]) {
    for (const keepAlive of [true, false]) {
      for (const head of [true, false]) {
        const bytes = Buffer.from(
          simpleResponse({ status, headers: 'x-a: b\r\n', body: 'é€\n', keepAlive, head }),
          'latin1',
        );
        const parser = new ResponseParser(LIMITS);
        const after = parser.execute(bytes, 0, bytes.length);
        assert.ok(after > 0);
        assert.equal(parser.head.status, status);
        assert.equal(parser.head.keepAlive, keepAlive);
        assert.equal(parser.head.value('x-a'), 'b');
        const kind = bodyKind(parser.head, head ? 'HEAD' : 'GET');
        const empty = head || status === 204 || status === 304;
        assert.equal(kind, empty ? BodyKind.NONE : BodyKind.LENGTH);
        assert.equal(bytes.toString('utf8', after), empty ? '' : 'é€\n');
      }
    }
  }
  assert.match(
    simpleResponse({ status: 200, headers: '', body: '', keepAlive: true, head: false, minor: 0 }),
    /connection: keep-alive\r\n/,
  );
});

test('chunks that we write are read back', () => {
  const bytes = Buffer.from(`${chunkHead(26)}${'x'.repeat(26)}\r\n${LAST_CHUNK}`);
  const decoder = new BodyDecoder();
  decoder.reset(BodyKind.CHUNKED, 0);
  let received = 0;
  decoder.execute(bytes, 0, bytes.length, { onBody: (_chunk, start, end) => (received += end - start) });
  assert.equal(decoder.done, true);
  assert.equal(received, 26);
});

test('dates change with the second', () => {
  assert.equal(httpDate(784_111_777_999), 'Sun, 06 Nov 1994 08:49:37 GMT');
  assert.equal(httpDate(784_111_778_000), 'Sun, 06 Nov 1994 08:49:38 GMT');
  assert.equal(httpDate(784_111_777_000), 'Sun, 06 Nov 1994 08:49:37 GMT');
});

test('reason phrases', () => {
  assert.equal(reasonPhrase(504), 'Gateway Timeout');
  assert.equal(reasonPhrase(299), '');
});
