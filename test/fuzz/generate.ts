import type { Direction } from './outcome.ts';
import type { Random } from './random.ts';
import { SMUGGLING_CASES } from './smuggling.ts';

/** One stream to be read by both parsers. */
export interface FuzzInput {
  bytes: Buffer;
  direction: Direction;
  /** What the responses answer: GET or HEAD. */
  requestMethod: string;
}

const METHODS = [
  'GET',
  'GET',
  'POST',
  'PUT',
  'HEAD',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'CONNECT',
  'PURGE',
  'QUERY',
  'FOO',
  'get',
  'G',
];
const TARGETS = [
  '/',
  '/a',
  '/a?b=c',
  '/?',
  '*',
  'http://h/',
  'http://h',
  'HTTP://h:80/x?y',
  'https://[::1]:1/',
  'h:80',
  '//x',
  '/%00',
  '/a;b=c',
  '/|{}[]^`"<>',
  '/a#b',
  '/\\',
  'x',
  '',
  'http:/x',
];
const VERSIONS = [
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/0.9',
  'HTTP/2.0',
  'HTTP/1.2',
  'http/1.1',
  'HTTP/11',
  'HTTP/1.1 ',
  '',
];
const STATUSES = [
  '200 OK',
  '200 OK',
  '200 ',
  '200',
  '204 No Content',
  '304 Not Modified',
  '100 Continue',
  '101 Switching Protocols',
  '103 Early Hints',
  '404 \xe9',
  '099 x',
  '600 x',
  '20 x',
  '2000 x',
  '200\tOK',
  '500 a\tb',
];
const LINE_ENDS = [
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\n',
  '\r',
  '\r\r\n',
  '\n\r',
  '\r\n ',
];
const FIELD_LINES = [
  'Host: h',
  'Host: h',
  'Host: h:80',
  'host:h',
  'Host: a b',
  'Content-Length: 0',
  'Content-Length: 3',
  'Content-Length: 5',
  'Content-Length: 05',
  'Content-Length: 3, 3',
  'Content-Length: +3',
  'Content-Length: 3 ',
  'Content-Length:',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: Chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding:',
  'transfer-encoding: \tchunked\t ',
  'Connection: close',
  'Connection: keep-alive',
  'Connection: Upgrade',
  'Connection: upgrade, close',
  'Connection: x, y',
  'Connection: close x',
  'Connection: ,close,',
  'Upgrade: websocket',
  'Upgrade: h2c, x/1',
  'Expect: 100-continue',
  'Expect: x',
  'TE: trailers',
  'Trailer: X',
  'X: y',
  'X:',
  'X : y',
  'X\0: y',
  'X: \x01',
  'X: \xff\t',
  'X: y\r\n z',
  ': y',
  'X',
  'Keep-Alive: timeout=5',
  'Proxy-Connection: keep-alive',
];
const CHUNKED_BODIES = [
  '3\r\nabc\r\n0\r\n\r\n',
  '3;a=b\r\nabc\r\n0\r\n\r\n',
  '3;a="b;\\"c"\r\nabc\r\n0\r\n\r\n',
  '3 ; a = b\r\nabc\r\n0\r\n\r\n',
  '3;a=\r\nabc\r\n0\r\n\r\n',
  '003\r\nabc\r\n00;x\r\n\r\n',
  'A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nX: y\r\n\r\n',
  '0\r\nContent-Length: 3\r\n\r\n',
  '3\nabc\n0\n\n',
  '3;a\nabc\r\n0\r\n\r\n',
  '3;a\n\nabc\r\n0\r\n\r\n',
  '3;a\rabc\r\n0\r\n\r\n',
  '3\r\nabc\n0\r\n\r\n',
  '3 \r\nabc\r\n0\r\n\r\n',
  '0x3\r\nabc\r\n0\r\n\r\n',
  '-3\r\nabc\r\n0\r\n\r\n',
  '4\r\nabc\r\n0\r\n\r\n',
  '3\r\nabcd\r\n0\r\n\r\n',
  'fffffffffffffffff\r\nabc',
  '0\r\n',
  '',
];
const SNIPPETS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '"',
  '\x7f',
  '\x80',
  '\xff',
  '0',
  '\r\n\r\n',
  '\r\n ',
  'chunked',
  'Content-Length: 1\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Host: x\r\n',
  'HTTP/1.1',
  '#',
  '\\',
  '\x0b',
  '_',
];

/** A stream of one to three messages, made of right and wrong pieces, or a payload from the table, then broken a little. */
export function generate(random: Random): FuzzInput {
  const direction: Direction = random.chance(60) ? 'requests' : 'responses';
  let text = '';
  const messages = 1 + random.below(3);
  for (let m = 0; m < messages; m++) text += direction === 'requests' ? request(random) : response(random);
  if (direction === 'requests' && random.chance(15))
    text = random.of(SMUGGLING_CASES).bytes + (random.chance(30) ? text : '');
  const mutations = random.chance(40) ? 0 : 1 + random.below(3);
  for (let m = 0; m < mutations; m++) text = mutate(text, random);
  return { bytes: Buffer.from(text, 'latin1'), direction, requestMethod: random.chance(10) ? 'HEAD' : 'GET' };
}

function request(random: Random): string {
  const good = random.chance(60);
  const target = good ? random.of(['/', '/a?b', '/index.html']) : random.of(TARGETS);
  const version = good ? 'HTTP/1.1' : random.of(VERSIONS);
  return `${good ? random.of(['GET', 'POST', 'PUT', 'HEAD']) : random.of(METHODS)} ${target} ${version}\r\n${random.chance(85) ? 'Host: h\r\n' : ''}${fieldsAndBody(random)}`;
}

function response(random: Random): string {
  return `${random.chance(85) ? 'HTTP/1.1' : random.of(VERSIONS)} ${random.of(STATUSES)}\r\n${fieldsAndBody(random)}`;
}

/** Half of the time the framing is right by construction, so that what follows a body is reached. */
function fieldsAndBody(random: Random): string {
  if (random.chance(50)) {
    const extra = random.chance(50)
      ? `${random.of(['X: y', 'Accept: */*', 'Cookie: a=b; c="d"', 'X-Empty:', 'Connection: keep-alive'])}\r\n`
      : '';
    switch (random.below(3)) {
      case 0:
        return `${extra}\r\n`;
      case 1:
        return `Content-Length: 5\r\n${extra}\r\nhello`;
      default:
        return `${extra}Transfer-Encoding: chunked\r\n\r\n${random.of(CHUNKED_BODIES)}`;
    }
  }
  let lines = '';
  for (let count = random.below(4); count > 0; count--)
    lines += random.of(FIELD_LINES) + (random.chance(80) ? '\r\n' : random.of(LINE_ENDS));
  const body = random.chance(40) ? random.of(CHUNKED_BODIES) : random.chance(40) ? 'hello' : '';
  return `${lines}${random.chance(90) ? '\r\n' : random.of(LINE_ENDS)}${body}`;
}

function mutate(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  switch (random.below(6)) {
    case 0:
      return text.slice(0, at) + random.of(SNIPPETS) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.below(3));
    case 2:
      return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
    case 3:
      return text.slice(0, at);
    case 4: {
      const length = random.below(40);
      return text.slice(0, at) + text.slice(at, at + length) + text.slice(at);
    }
    default:
      return text.slice(0, at) + random.of(FIELD_LINES) + '\r\n' + text.slice(at);
  }
}
