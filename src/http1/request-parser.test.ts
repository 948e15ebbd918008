import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HeaderKind } from './header-kind.ts';
import { RequestParser, TargetForm } from './request-parser.ts';

const LIMITS = { headerBytes: 4096, headers: 20, uriBytes: 200 };

/** Feeds `text` at the given cuts; returns what execute said last and the index in the whole text. */
function feed(parser: RequestParser, text: string, cuts: readonly number[]): number {
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

function parse(text: string): RequestParser {
  const parser = new RequestParser(LIMITS);
  assert.equal(feed(parser, text, []), text.length, parser.error?.detail ?? text);
  return parser;
}

function refusal(text: string, cuts: readonly number[] = []): string {
  const parser = new RequestParser(LIMITS);
  assert.equal(feed(parser, text, cuts), -2);
  return `${parser.error!.status} ${parser.error!.detail}`;
}

const token = fc.string({ unit: fc.constantFrom(...'abcXYZ019-_!~'), minLength: 1, maxLength: 12 });
const value = fc
  .string({ unit: fc.constantFrom(...'abc 09\t,;="\xe9\xff~'), maxLength: 20 })
  .map((text) => text.replace(/^[\t ]+|[\t ]+$/g, ''));
const lines = fc.array(
  fc.tuple(
    token.map((name) => `x-${name}`),
    fc.constantFrom('', ' ', '\t '),
    value,
    fc.constantFrom('', ' '),
  ),
  { maxLength: 15 },
);

test('any split of the bytes gives the same head', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'POST', 'PATCH', 'M-SEARCH'),
      fc.constantFrom('/', '/a/b?c=d', '/?', '/a??'),
      lines,
      fc.array(fc.nat(400), { maxLength: 6 }),
      fc.constantFrom('', '\r\n', '\r\n\r\n'),
      (method, target, fields, cuts, before) => {
        const head = `${method} ${target} HTTP/1.1\r\nHost: a.example:8080\r\n${fields.map(([n, s, v, t]) => `${n}:${s}${v}${t}\r\n`).join('')}\r\n`;
        const parser = new RequestParser(LIMITS);
        // What follows the head is not touched.
        const text = `${before}${head}GET / HTTP/1.1\r\n`;
        for (const split of [[], cuts.sort((a, b) => a - b), Array.from(text, (_, i) => i)]) {
          parser.reset();
          assert.equal(feed(parser, text, split), before.length + head.length);
          assert.equal(parser.partial, false);
          assert.equal(parser.head.text, head);
          assert.equal(parser.head.method, method);
          assert.equal(parser.head.target, target);
          const question = target.indexOf('?');
          assert.equal(parser.head.path, question === -1 ? target : target.slice(0, question));
          assert.equal(parser.head.query, question === -1 ? '' : target.slice(question + 1));
          assert.equal(parser.head.hasQuery, question !== -1);
          assert.equal(parser.head.hostname, 'a.example');
          assert.equal(parser.head.count, fields.length + 1);
          let end = head.indexOf('\r\n') + 2;
          for (let i = 0; i < parser.head.count; i++) {
            if (i > 0) {
              assert.equal(parser.head.nameAt(i), fields[i - 1]![0]);
              assert.equal(parser.head.valueAt(i), fields[i - 1]![2]);
            }
            // Lines lie one behind the other, so that runs of them can be forwarded as substrings.
            assert.equal(parser.head.offsets[i * 5], end);
            end = parser.head.offsets[i * 5 + 4]!;
            assert.equal(parser.head.text.slice(end - 2, end), '\r\n');
          }
          assert.equal(end, head.length - 2);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('any bytes at any split: the same answer, and never more than the limits', () => {
  const piece = fc.constantFrom(
    'GET ',
    'POST ',
    '/',
    '?',
    ' HTTP/1.1',
    ' HTTP/1.0',
    'HTTP/',
    '1.1',
    '\r\n',
    '\r',
    '\n',
    'Host: a',
    ':',
    ' ',
    '\t',
    '\0',
    'X',
    'Content-Length: 1',
    'Connection: close',
    '\x80',
    '\r\n\r\n',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 25 }), fc.array(fc.nat(200), { maxLength: 8 }), (pieces, cuts) => {
      const text = pieces.join('');
      const whole = new RequestParser(LIMITS);
      const split = new RequestParser(LIMITS);
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
      assert.equal(split.partial, whole.partial);
      if (result >= 0)
        assert.deepEqual({ ...split.head, offsets: null, kinds: null }, { ...whole.head, offsets: null, kinds: null });
    }),
    { numRuns: 2000 },
  );
});

test('pipelined heads are taken one at a time', () => {
  const parser = new RequestParser(LIMITS);
  const chunk = Buffer.from('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\nGET /3 HT');
  const first = parser.execute(chunk, 0, chunk.length);
  assert.equal(parser.head.target, '/1');
  const second = parser.execute(chunk, first, chunk.length);
  assert.equal(parser.head.target, '/2');
  assert.equal(parser.head.host, 'b');
  assert.equal(parser.execute(chunk, second, chunk.length), -1);
  assert.equal(parser.partial, true);
  const rest = Buffer.from('TP/1.1\r\nHost: c\r\n\r\nGET');
  assert.equal(parser.execute(rest, 0, rest.length), rest.length - 3);
  assert.equal(parser.head.target, '/3');
  assert.equal(parser.partial, false);
});

test('broken input is refused at the byte that shows it', () => {
  for (const [text, expected] of [
    ['G\0', '400 bad-method'],
    ['GET /\0', '400 bad-target'],
    ['GET / HTTQ', '400 bad-version'],
    ['GET / HTTP/2', ''],
    ['GET / HTTP/2.0', '505 unknown-version'],
    ['GET / HTTP/1.1\n', '400 bare-lf'],
    ['GET / HTTP/1.1\r\nA\x01', '400 bad-name'],
    ['GET / HTTP/1.1\r\nA: b\n', '400 bare-lf'],
    ['GET / HTTP/1.1\r\nA: b\r\n ', '400 obs-fold'],
    ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n', '400 host-repeated'],
    ['POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n', '400 both-lengths'],
    [`GET /${'a'.repeat(200)}`, '414 target-too-long'],
    [`GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(20)}A`, '431 too-many-headers'],
    [`GET / HTTP/1.1\r\nA: ${'b'.repeat(4077)}`, '431 head-too-large'],
  ] as const) {
    const bytewise = Array.from(text, (_, i) => i);
    if (expected === '') assert.equal(feed(new RequestParser(LIMITS), text, bytewise), -1);
    else {
      assert.equal(refusal(text, bytewise), expected);
      assert.equal(
        feed(new RequestParser(LIMITS), text.slice(0, -1), []),
        -1,
        `${JSON.stringify(text)} was refused before its last byte`,
      );
    }
  }
});

test('limits hold to the byte', () => {
  const line = 'GET / HTTP/1.1\r\nHost: a\r\n';
  const fill = (length: number): string => `${line}X: ${'y'.repeat(length - line.length - 7)}\r\n\r\n`;
  assert.equal(fill(4096).length, 4096);
  parse(fill(4096));
  assert.equal(refusal(fill(4097)), '431 head-too-large');
  parse(`GET /${'a'.repeat(199)} HTTP/1.1\r\nHost: a\r\n\r\n`);
  assert.equal(refusal(`GET /${'a'.repeat(200)} HTTP/1.1\r\nHost: a\r\n\r\n`), '414 target-too-long');
  parse(`GET /?${'a'.repeat(198)} HTTP/1.1\r\nHost: a\r\n\r\n`);
  assert.equal(refusal(`GET /?${'a'.repeat(199)} HTTP/1.1\r\nHost: a\r\n\r\n`), '414 target-too-long');
  parse(`${line}${'A: b\r\n'.repeat(19)}\r\n`);
  assert.equal(refusal(`${line}${'A: b\r\n'.repeat(20)}\r\n`), '431 too-many-headers');
});

test('after a refusal nothing is read until reset', () => {
  const parser = new RequestParser(LIMITS);
  const bad = Buffer.from('GET / HTTP/1.1\n');
  const good = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(parser.execute(bad, 0, bad.length), -2);
  assert.equal(parser.execute(good, 0, good.length), -2);
  assert.equal(parser.error!.detail, 'bare-lf');
  parser.reset();
  assert.equal(parser.execute(good, 0, good.length), good.length);
});

test('a byte at a time costs linear time', () => {
  const parser = new RequestParser({ headerBytes: 1_000_000, headers: 100, uriBytes: 8192 });
  const head = Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(500_000)}\r\n\r\n`);
  const began = performance.now();
  for (let i = 0; i < head.length - 1; i++) assert.equal(parser.execute(head, i, i + 1), -1);
  assert.equal(parser.execute(head, head.length - 1, head.length), head.length);
  // Quadratic time would be minutes.
  assert.ok(performance.now() - began < 5000);
});

test('target forms', () => {
  const absolute = parse('GET HTTP://B.example:81?q HTTP/1.1\r\nHost: a\r\n\r\n').head;
  assert.deepEqual(
    [
      absolute.form,
      absolute.path,
      absolute.query,
      absolute.host,
      absolute.hostname,
      absolute.hostFromTarget,
      absolute.hostIndex,
    ],
    [TargetForm.ABSOLUTE, '/', 'q', 'B.example:81', 'b.example', true, 0],
  );
  assert.equal(parse('OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n').head.path, '*');
  assert.equal(parse('OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n').head.path, '/');
  const asterisk = parse('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n').head;
  assert.deepEqual([asterisk.form, asterisk.path, asterisk.hostFromTarget], [TargetForm.ASTERISK, '*', false]);
  const connect = parse('CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n').head;
  assert.deepEqual([connect.form, connect.host, connect.hostname], [TargetForm.AUTHORITY, 'b:443', 'b']);
  const origin = parse('GET //x HTTP/1.1\r\nHost: A.Example.\r\n\r\n').head;
  assert.deepEqual(
    [origin.form, origin.path, origin.host, origin.hostname],
    [TargetForm.ORIGIN, '//x', 'A.Example.', 'a.example'],
  );
});

test('keep-alive, upgrade and expectations follow version and Connection', () => {
  const head = (version: string, fields: string) => parse(`GET / HTTP/${version}\r\nHost: a\r\n${fields}\r\n`).head;
  assert.equal(head('1.1', '').keepAlive, true);
  assert.equal(head('1.1', 'Connection: Close\r\n').keepAlive, false);
  assert.equal(head('1.0', '').keepAlive, false);
  assert.equal(head('1.0', 'Connection: x, Keep-Alive\r\n').keepAlive, true);
  assert.equal(head('1.0', 'Connection: keep-alive\r\nConnection: close\r\n').keepAlive, false);
  assert.equal(
    head('1.1', 'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nupgrade: x/1\r\n').upgrade,
    'websocket, x/1',
  );
  assert.equal(head('1.1', 'Upgrade: websocket\r\n').upgrade, '');
  assert.equal(head('1.1', 'Connection: upgrade\r\n').upgrade, '');
  assert.equal(head('1.0', 'Connection: upgrade\r\nUpgrade: websocket\r\n').upgrade, '');
  assert.equal(head('1.1', 'Expect: 100-Continue\r\n').expectContinue, true);
  assert.equal(head('1.0', 'Expect: 100-continue\r\n').expectContinue, false);
  assert.equal(refusal('GET / HTTP/1.1\r\nExpect: 200-ok\r\n'), '417 unknown-expectation');
  assert.equal(head('1.1', 'TE: gzip, trailers\r\n').teTrailers, true);
  assert.equal(head('1.1', 'TE: trailersx\r\n').teTrailers, false);
  assert.deepEqual(head('1.1', 'Connection: X-A, close,x-b,, TE\r\n').connectionNames, ['x-a', 'x-b']);
  assert.equal(head('1.1', 'Connection: close\r\n').connectionNames, null);
});

test('hop-by-hop lines and those that Connection names are dropped, others pass', () => {
  const fields = [
    'Host',
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'TE',
    'Upgrade',
    'HTTP2-Settings',
    'Proxy-Authorization',
    'X-Named',
    'Trailer',
    'X-Other',
    'Cookie',
  ];
  const { head } = parse(
    `GET / HTTP/1.1\r\n${fields.map((name) => `${name}: ${name === 'Connection' ? 'x-named' : 'a'}\r\n`).join('')}\r\n`,
  );
  assert.deepEqual(
    fields.filter((_, i) => !head.dropped(i)),
    ['Host', 'Trailer', 'X-Other', 'Cookie'],
  );
});

test('look-ups find the first line, whatever its case', () => {
  const { head } = parse('GET / HTTP/1.1\r\nHost: a\r\nX-ONE: 1\r\nx-one: 2\r\nX-Empty:\r\nCOOKIE: c\r\n\r\n');
  assert.equal(head.value('x-one'), '1');
  assert.equal(head.value('x-empty'), '');
  assert.equal(head.value('x-none'), undefined);
  assert.equal(head.indexOf('cookie'), 4);
  assert.equal(head.indexOfKind(HeaderKind.COOKIE), 4);
  assert.equal(head.indexOfKind(HeaderKind.VIA), -1);
});
