import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bodyKind, BodyKind, ResponseParser } from './response-parser.ts';

const LIMITS = { headerBytes: 4096, headers: 20, uriBytes: 200 };

function feed(parser: ResponseParser, text: string, cuts: readonly number[]): number {
  const bytes = Buffer.from(text, 'latin1');
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    if (to <= from) continue;
    const chunk = Buffer.from(bytes.subarray(from, to));
    const result = parser.execute(chunk, 0, chunk.length);
    if (result === -2) return -2;
    if (result >= 0) return from + result;
    from = to;
  }
  return -1;
}

function parse(text: string): ResponseParser {
  const parser = new ResponseParser(LIMITS);
  assert.equal(feed(parser, text, []), text.length, parser.error?.detail ?? text);
  return parser;
}

function refusal(text: string): string {
  const parser = new ResponseParser(LIMITS);
  assert.equal(feed(parser, text, []), -2);
  const bytewise = new ResponseParser(LIMITS);
  assert.equal(
    feed(
      bytewise,
      text,
      Array.from(text, (_, i) => i),
    ),
    -2,
  );
  assert.equal(bytewise.error, parser.error);
  return parser.error!.detail;
}

test('any bytes at any split give the same answer', () => {
  const piece = fc.constantFrom(
    'HTTP/1.',
    '1',
    '0',
    ' 200 OK',
    ' 204 ',
    ' 101 x',
    '\r\n',
    '\r',
    '\n',
    'X: y',
    'Content-Length: 3',
    'Transfer-Encoding: chunked',
    'Connection: close',
    'Upgrade: a',
    ' ',
    '\0',
    '\xe9',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.array(fc.nat(150), { maxLength: 8 }), (pieces, cuts) => {
      const text = `HTTP/1.1 200 OK\r\n${pieces.join('')}`.slice(pieces.length % 3 === 0 ? 0 : 17);
      const whole = new ResponseParser(LIMITS);
      const split = new ResponseParser(LIMITS);
      const result = feed(whole, text, []);
      assert.equal(
        feed(
          split,
          text,
          cuts.sort((a, b) => a - b),
        ),
        result,
      );
      assert.equal(split.error, whole.error);
      if (result >= 0)
        assert.deepEqual({ ...split.head, offsets: null, kinds: null }, { ...whole.head, offsets: null, kinds: null });
    }),
    { numRuns: 2000 },
  );
});

test('status line', () => {
  const { head } = parse('HTTP/1.1 404 Not F\xf6und\r\n\r\n');
  assert.deepEqual([head.status, head.reason, head.minor], [404, 'Not F\xf6und', 1]);
  assert.equal(parse('HTTP/1.0 200 \r\n\r\n').head.reason, '');
  assert.equal(parse('HTTP/1.1 200\r\n\r\n').head.status, 200);
  for (const [text, detail] of [
    ['HTTP/2.0 200 OK\r\n', 'unknown-version'],
    ['http/1.1 200 OK\r\n', 'bad-status-line'],
    ['HTTP/1.1 200OK\r\n', 'bad-status-line'],
    ['HTTP/1.1 20 OK\r\n', 'bad-status-line'],
    ['HTTP/1.1 099 OK\r\n', 'bad-status'],
    ['HTTP/1.1 600 OK\r\n', 'bad-status'],
    ['HTTP/1.1  200 OK\r\n', 'bad-status-line'],
    ['HTTP/1.1 200 OK\n', 'bare-lf'],
    ['HTTP/1.1 200 O\0K\r\n', 'bad-status-line'],
    ['\r\nHTTP/1.1 200 OK\r\n', 'bad-status-line'],
    ['<html>', 'bad-status-line'],
  ] as const) {
    assert.equal(refusal(text), detail, JSON.stringify(text));
  }
});

test('1xx heads and the final one are read by the same parser', () => {
  const parser = new ResponseParser(LIMITS);
  const chunk = Buffer.from(
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  );
  let at = 0;
  const seen: number[] = [];
  while (seen.at(-1) !== 200) {
    at = parser.execute(chunk, at, chunk.length);
    seen.push(parser.head.status);
  }
  assert.deepEqual(seen, [103, 100, 200]);
  assert.equal(chunk.toString('latin1', at), 'ok');
  assert.equal(parser.head.value('link'), undefined);
});

test('how a body is delimited (RFC 9112 6.3)', () => {
  const kind = (text: string, method = 'GET'): number => bodyKind(parse(`HTTP/1.1 ${text}\r\n\r\n`).head, method);
  assert.equal(kind('200 OK\r\nContent-Length: 3'), BodyKind.LENGTH);
  assert.equal(kind('200 OK\r\nContent-Length: 0'), BodyKind.NONE);
  assert.equal(kind('200 OK\r\nTransfer-Encoding: Chunked'), BodyKind.CHUNKED);
  assert.equal(kind('200 OK'), BodyKind.UNTIL_CLOSE);
  assert.equal(kind('200 OK\r\nContent-Length: 3', 'HEAD'), BodyKind.NONE);
  assert.equal(kind('200 OK\r\nTransfer-Encoding: chunked', 'HEAD'), BodyKind.NONE);
  assert.equal(kind('204 No Content'), BodyKind.NONE);
  assert.equal(kind('304 Not Modified\r\nContent-Length: 3'), BodyKind.NONE);
  assert.equal(kind('100 Continue'), BodyKind.NONE);
  assert.equal(kind('101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket'), BodyKind.NONE);
});

test('a response whose framing can be read in two ways is refused', () => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  assert.equal(refusal(`${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`), 'both-lengths');
  assert.equal(refusal(`${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`), 'content-length-repeated');
  assert.equal(refusal(`${ok}Transfer-Encoding: gzip, chunked\r\n\r\n`), 'unknown-coding');
  assert.equal(refusal('HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'), 'transfer-encoding-in-1.0');
  assert.equal(refusal('HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n'), 'length-not-allowed');
  assert.equal(refusal('HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n'), 'length-not-allowed');
  assert.equal(refusal('HTTP/1.1 101 Switching Protocols\r\n\r\n'), 'bad-upgrade');
  const empty = parse('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX: y\r\n\r\n').head;
  assert.deepEqual([empty.dropped(0), empty.dropped(1)], [true, false]);
});

test('a Host or Expect in a response means nothing', () => {
  const { head } = parse('HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nExpect: x\r\nContent-Length: 0\r\n\r\n');
  assert.equal(head.count, 4);
});
