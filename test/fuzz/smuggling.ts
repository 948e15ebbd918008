/**
 * Request-smuggling payloads, written down from the literature, and what must become of each. All of them are about two programs that read the same
 * bytes differently; an answer that cannot be read differently is either a refusal or the one reading that RFC 9112 allows.
 */
export interface SmugglingCase {
  name: string;
  /** Where the idea is described. */
  source: string;
  /** latin1 */
  bytes: string;
  /** The reason (ProtocolError.detail) of the refusal, or the messages that are read: `METHOD target|body`. */
  expect: { refused: string; after?: string[] } | { messages: string[]; rest?: 'partial' | 'upgraded' };
}

const WATCHFIRE = 'Linhart, Klein, Heled, Orrin: HTTP Request Smuggling, 2005';
const KETTLE_2019 = 'Kettle: HTTP Desync Attacks, 2019';
const KETTLE_2021 = 'Kettle: HTTP/2: The Sequel is Always Worse, 2021';
const KETTLE_2022 = 'Kettle: Browser-Powered Desync Attacks, 2022';
const KETTLE_2025 = 'Kettle: HTTP/1.1 must die, 2025';
const KLEIN_2020 = 'Klein: HTTP Request Smuggling in 2020';
const TREQS = 'Jabiyev et al.: T-Reqs, 2021';
const CHUNK_EXT = 'Kallus: TERM.EXT, EXT.TERM, TERM.SPILL, SPILL.TERM (chunk extensions), 2025';
const HTTP_GARDEN = 'Kallus, Locasto: The HTTP Garden, 2024';
const RFC9112 = 'RFC 9112';
const RFC9110 = 'RFC 9110';
const HOST_CONFUSION = 'Chen et al.: Host of Troubles, 2016';
const HOP_BY_HOP = 'Davison: Abusing HTTP hop-by-hop request headers, 2019';
const LLHTTP_ADVISORIES = 'Node.js security releases 2022 to 2024 (llhttp)';

const HOST = 'Host: a.example\r\n';
const INNER = 'GET /inner HTTP/1.1\r\nHost: a.example\r\n\r\n';

/** POST / with these header lines (each with its CRLF) and what follows the head. */
function post(lines: string, rest = ''): string {
  return `POST / HTTP/1.1\r\n${HOST}${lines}\r\n${rest}`;
}

/** GET / with these header lines after Host. */
function get(lines: string, rest = ''): string {
  return `GET / HTTP/1.1\r\n${HOST}${lines}\r\n${rest}`;
}

/** A chunked POST whose body is written out. */
function chunked(body: string): string {
  return post('Transfer-Encoding: chunked\r\n', body);
}

const refuse = (name: string, source: string, bytes: string, refused: string, after?: string[]): SmugglingCase => ({
  name,
  source,
  bytes,
  expect: after === undefined ? { refused } : { refused, after },
});

const read = (
  name: string,
  source: string,
  bytes: string,
  messages: string[],
  rest?: 'partial' | 'upgraded',
): SmugglingCase => ({
  name,
  source,
  bytes,
  expect: rest === undefined ? { messages } : { messages, rest },
});

/** Transfer-Encoding lines that some server takes for chunked and some other does not. */
const OBFUSCATED_CODINGS: readonly [name: string, line: string, refused: string][] = [
  ['xchunked', 'Transfer-Encoding: xchunked', 'bad-transfer-encoding'],
  ['space before the colon', 'Transfer-Encoding : chunked', 'space-before-colon'],
  ['tab before the colon', 'Transfer-Encoding\t: chunked', 'space-before-colon'],
  ['vertical tab before the value', 'Transfer-Encoding: \x0bchunked', 'bad-value'],
  ['form feed after the value', 'Transfer-Encoding: chunked\x0c', 'bad-value'],
  ['NUL after the value', 'Transfer-Encoding: chunked\0', 'bad-value'],
  ['NUL in the name', 'Transfer-Encoding\0: chunked', 'bad-name'],
  ['bare CR before the value', 'Transfer-Encoding:\rchunked', 'bare-cr'],
  ['bare CR after the value', 'Transfer-Encoding: chunked\r\r', 'bare-cr'],
  ['bare LF before the value', 'Transfer-Encoding:\n chunked', 'bare-lf'],
  ['obs-fold before the value', 'Transfer-Encoding:\r\n chunked', 'bad-transfer-encoding'],
  ['obs-fold with tab', 'Transfer-Encoding:\r\n\tchunked', 'bad-transfer-encoding'],
  ['folded from another header', 'X: y\r\n Transfer-Encoding: chunked', 'obs-fold'],
  ['space before the name', ' Transfer-Encoding: chunked', 'obs-fold'],
  ['hidden behind a bare LF', 'X: y\nTransfer-Encoding: chunked', 'bare-lf'],
  ['hidden behind a bare CR', 'X: y\rTransfer-Encoding: chunked', 'bare-cr'],
  ['quoted', 'Transfer-Encoding: "chunked"', 'bad-transfer-encoding'],
  ['single quotes', "Transfer-Encoding: 'chunked'", 'bad-transfer-encoding'],
  ['with parameter', 'Transfer-Encoding: chunked;q=1', 'bad-transfer-encoding'],
  ['empty', 'Transfer-Encoding:', 'bad-transfer-encoding'],
  ['only spaces', 'Transfer-Encoding:   ', 'bad-transfer-encoding'],
  ['identity', 'Transfer-Encoding: identity', 'bad-transfer-encoding'],
  ['identity, chunked', 'Transfer-Encoding: identity, chunked', 'unknown-coding'],
  ['gzip, chunked', 'Transfer-Encoding: gzip, chunked', 'unknown-coding'],
  ['gzip', 'Transfer-Encoding: gzip', 'bad-transfer-encoding'],
  ['chunked, identity', 'Transfer-Encoding: chunked, identity', 'bad-transfer-encoding'],
  ['chunked, chunked', 'Transfer-Encoding: chunked, chunked', 'bad-transfer-encoding'],
  ['chunked twice in two lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', 'bad-transfer-encoding'],
  ['chunked then cow', 'Transfer-Encoding: chunked\r\nTransfer-encoding: cow', 'bad-transfer-encoding'],
  ['cow then chunked', 'Transfer-encoding: cow\r\nTransfer-Encoding: chunked', 'bad-transfer-encoding'],
  ['trailing comma', 'Transfer-Encoding: chunked,', 'bad-transfer-encoding'],
  ['leading comma', 'Transfer-Encoding: ,chunked', 'bad-transfer-encoding'],
  ['without comma', 'Transfer-Encoding: chunked identity', 'bad-transfer-encoding'],
  ['no-break space', 'Transfer-Encoding: \xa0chunked', 'bad-transfer-encoding'],
  ['o with diaeresis in the name', 'Transfer-Enc\xf6ding: chunked', 'bad-name'],
  ['long s for s', 'Tran\xc5\xbffer-Encoding: chunked', 'bad-name'],
  ['Kelvin sign for k', 'Transfer-Encoding: chun\xe2\x84\xaaed', 'bad-transfer-encoding'],
  ['byte order mark', 'Transfer-Encoding: \xef\xbb\xbfchunked', 'bad-transfer-encoding'],
  ['soft hyphen byte', 'Transfer-Encoding: chunked\xad', 'bad-transfer-encoding'],
  ['double colon', 'Transfer-Encoding:: chunked', 'bad-transfer-encoding'],
  ['name without colon', 'Transfer-Encoding chunked', 'space-before-colon'],
  ['line without colon', 'Transfer-Encoding', 'bad-name'],
  ['brackets in the name', 'Transfer-Encoding]: chunked', 'bad-name'],
  ['slash in the name', 'Transfer/Encoding: chunked', 'bad-name'],
  ['backslash escape', 'Transfer-Encoding: chunk\\ed', 'bad-transfer-encoding'],
];

const CODING_CASES = OBFUSCATED_CODINGS.flatMap(([name, line, refused]): SmugglingCase[] => [
  refuse(`TE.TE: ${name}`, KETTLE_2019, post(`${line}\r\n`, `0\r\n\r\n${INNER}`), refused),
]);

const LENGTH_CASES: SmugglingCase[] = [
  refuse(
    'CL.TE',
    KETTLE_2019,
    post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nG'),
    'both-lengths',
  ),
  refuse(
    'TE.CL',
    KETTLE_2019,
    post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `2a\r\n${INNER}\r\n0\r\n\r\n`),
    'both-lengths',
  ),
  refuse(
    'CL.TE with equal meaning',
    RFC9112,
    post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    'both-lengths',
  ),
  refuse(
    'CL.0 with TE',
    KETTLE_2025,
    post('Content-Length: 0\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    'both-lengths',
  ),
  refuse(
    'CL.CL differing',
    WATCHFIRE,
    post('Content-Length: 0\r\nContent-Length: 44\r\n', INNER),
    'content-length-repeated',
  ),
  refuse(
    'CL.CL differing, other way',
    WATCHFIRE,
    post('Content-Length: 44\r\nContent-Length: 0\r\n', INNER),
    'content-length-repeated',
  ),
  refuse('CL.CL equal', RFC9112, post('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc'), 'content-length-repeated'),
  refuse('CL.CL in one line', RFC9112, post('Content-Length: 3, 3\r\n', 'abc'), 'bad-content-length'),
  refuse('CL.CL in one line, differing', RFC9112, post('Content-Length: 0, 44\r\n', INNER), 'bad-content-length'),
  refuse('CL with plus', KLEIN_2020, post('Content-Length: +3\r\n', 'abc'), 'bad-content-length'),
  refuse('CL with minus', HTTP_GARDEN, post('Content-Length: -1\r\n', INNER), 'bad-content-length'),
  refuse('CL minus zero', HTTP_GARDEN, post('Content-Length: -0\r\n', INNER), 'bad-content-length'),
  refuse('CL hexadecimal', HTTP_GARDEN, post('Content-Length: 0x3\r\n', 'abc'), 'bad-content-length'),
  refuse('CL octal prefix', HTTP_GARDEN, post('Content-Length: 0o3\r\n', 'abc'), 'bad-content-length'),
  refuse('CL with underscore', HTTP_GARDEN, post('Content-Length: 1_0\r\n', '0123456789'), 'bad-content-length'),
  refuse('CL fraction', HTTP_GARDEN, post('Content-Length: 3.0\r\n', 'abc'), 'bad-content-length'),
  refuse('CL exponent', HTTP_GARDEN, post('Content-Length: 1e1\r\n', '0123456789'), 'bad-content-length'),
  refuse('CL empty', HTTP_GARDEN, post('Content-Length:\r\n', INNER), 'bad-content-length'),
  refuse('CL with a space inside', KETTLE_2019, post('Content-Length: 4 4\r\n', INNER), 'bad-content-length'),
  refuse('CL followed by text', KETTLE_2019, post('Content-Length: 44x\r\n', INNER), 'bad-content-length'),
  refuse('CL quoted', HTTP_GARDEN, post('Content-Length: "3"\r\n', 'abc'), 'bad-content-length'),
  refuse('CL with NUL', KLEIN_2020, post('Content-Length: 3\0\r\n', 'abc'), 'bad-value'),
  refuse(
    'CL beyond 2^64',
    HTTP_GARDEN,
    post('Content-Length: 18446744073709551619\r\n', 'abc'),
    'content-length-too-large',
  ),
  refuse('CL 2^53', HTTP_GARDEN, post('Content-Length: 9007199254740992\r\n', 'abc'), 'content-length-too-large'),
  refuse('CL with other digits', HTTP_GARDEN, post('Content-Length: \xd9\xa3\r\n', 'abc'), 'bad-content-length'),
  refuse(
    'CL name with space before the colon',
    WATCHFIRE,
    post('Content-Length : 44\r\n', INNER),
    'space-before-colon',
  ),
  refuse('CL name with CR', KLEIN_2020, post('Content-Length\r: 44\r\n', INNER), 'bad-name'),
  refuse('CL in a folded line', KLEIN_2020, post('Content-Length:\r\n 44\r\n', INNER), 'bad-content-length'),
  read('CL name in odd case', RFC9110, post('cOnTeNt-LeNgTh: 3\r\n', 'abc'), ['POST /|abc']),
  read('CL with leading zeros is decimal', RFC9110, post('Content-Length: 010\r\n', '0123456789'), [
    'POST /|0123456789',
  ]),
  read('CL with spaces and tabs around it', RFC9110, post('Content-Length: \t 3 \t\r\n', 'abc'), ['POST /|abc']),
  read('Content_Length is another header', KETTLE_2019, post('Content_Length: 44\r\n', INNER), [
    'POST /|',
    'GET /inner|',
  ]),
  read('X-Content-Length is another header', KETTLE_2019, post('X-Content-Length: 44\r\n', INNER), [
    'POST /|',
    'GET /inner|',
  ]),
  read('CL.0: a GET with a body has a body', KETTLE_2022, get(`Content-Length: ${INNER.length}\r\n`, INNER), [
    `GET /|${INNER}`,
  ]),
  read(
    '0.CL: a HEAD request with a body has a body',
    KETTLE_2025,
    `HEAD / HTTP/1.1\r\n${HOST}Content-Length: ${INNER.length}\r\n\r\n${INNER}`,
    [`HEAD /|${INNER}`],
  ),
  read('a request without length has no body', RFC9112, post('', INNER), ['POST /|', 'GET /inner|']),
  read('GET with chunked body', KETTLE_2022, get('Transfer-Encoding: chunked\r\n', `0\r\n\r\n${INNER}`), [
    'GET /|',
    'GET /inner|',
  ]),
  refuse(
    'Expect obfuscated',
    KETTLE_2025,
    post('Expect: y 100-continue\r\nContent-Length: 3\r\n', 'abc'),
    'unknown-expectation',
  ),
  refuse(
    'Expect with other expectation',
    KETTLE_2025,
    post('Expect: 100-continue, x\r\nContent-Length: 3\r\n', 'abc'),
    'unknown-expectation',
  ),
  read('Expect in upper case', RFC9110, post('Expect: 100-CONTINUE\r\nContent-Length: 3\r\n', 'abc'), ['POST /|abc']),
  refuse(
    'TE in HTTP/1.0',
    RFC9112,
    `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'transfer-encoding-in-1.0',
  ),
  refuse(
    'TE in HTTP/1.0 with keep-alive',
    HTTP_GARDEN,
    `POST / HTTP/1.0\r\n${HOST}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${INNER}`,
    'transfer-encoding-in-1.0',
  ),
  read('HTTP/1.0 ends after one request', RFC9112, `GET / HTTP/1.0\r\n\r\n${INNER}`, ['GET /|']),
  read('Connection: close ends after one request', RFC9112, get('Connection: close\r\n', INNER), ['GET /|']),
];

const CHUNK_CASES: SmugglingCase[] = [
  read('chunked', RFC9112, chunked('5\r\nhello\r\n0\r\n\r\n'), ['POST /|hello']),
  read('size in upper case with zeros', RFC9112, chunked('000A\r\n0123456789\r\n000\r\n\r\n'), ['POST /|0123456789']),
  read('extension', RFC9112, chunked('5;a\r\nhello\r\n0;b=c;d="e\\"f"\r\n\r\n'), ['POST /|hello']),
  read(
    'extension with the bad whitespace that RFC 9112 lets be read',
    RFC9112,
    chunked('5 ; a = b\r\nhello\r\n0\r\n\r\n'),
    ['POST /|hello'],
  ),
  refuse(
    'TERM.EXT: LF ends the extension for one of two',
    CHUNK_EXT,
    chunked(`2;\nxx\r\n2b\r\n0\r\n\r\n${INNER}0\r\n\r\n`),
    'bare-lf',
  ),
  refuse('EXT.TERM: LF inside an extension', CHUNK_EXT, chunked(`2;a\nxy\r\n0\r\n\r\n${INNER}`), 'bare-lf'),
  refuse('EXT.TERM: CR inside an extension', CHUNK_EXT, chunked(`2;a\rxy\r\n0\r\n\r\n${INNER}`), 'bare-cr'),
  refuse('LF inside a quoted extension', CHUNK_EXT, chunked('2;a="\n"\r\nxy\r\n0\r\n\r\n'), 'bare-lf'),
  refuse('CR inside a quoted extension', CHUNK_EXT, chunked('2;a="\r\n"\r\nxy\r\n0\r\n\r\n'), 'bad-chunk-extension'),
  refuse(
    'TERM.SPILL: chunk data without CRLF behind it',
    CHUNK_EXT,
    chunked('5\r\nhelloX\r\n0\r\n\r\n'),
    'bad-chunk-end',
  ),
  refuse('SPILL.TERM: two bytes of data too many', CHUNK_EXT, chunked('5\r\nhelloAA0\r\n\r\n'), 'bad-chunk-end'),
  refuse('LF after chunk data', HTTP_GARDEN, chunked('5\r\nhello\n0\r\n\r\n'), 'bad-chunk-end'),
  refuse('LF after the size', HTTP_GARDEN, chunked('5\nhello\r\n0\r\n\r\n'), 'bare-lf'),
  refuse('CR after the size', HTTP_GARDEN, chunked('5\rhello\r\n0\r\n\r\n'), 'bare-cr'),
  refuse('size with 0x', HTTP_GARDEN, chunked('0x5\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with plus', KLEIN_2020, chunked('+5\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with minus', HTTP_GARDEN, chunked('-5\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with underscore', HTTP_GARDEN, chunked('1_0\r\n0123456789abcdef\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with leading space', HTTP_GARDEN, chunked(' 5\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with trailing space', HTTP_GARDEN, chunked('5 \r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with trailing tab', HTTP_GARDEN, chunked('5\t\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size empty', HTTP_GARDEN, chunked('\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size only an extension', HTTP_GARDEN, chunked(';a=b\r\n\r\n'), 'bad-chunk-size'),
  refuse('size that wraps at 2^32', TREQS, chunked('100000005x\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size that wraps at 2^64', TREQS, chunked('10000000000000005\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with many zeros', HTTP_GARDEN, chunked('00000000000005\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with full-width digit', HTTP_GARDEN, chunked('\xef\xbc\x95\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('size with NUL', HTTP_GARDEN, chunked('5\0\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse('extension with NUL', HTTP_GARDEN, chunked('5;\0\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-extension'),
  refuse('extension without name', CHUNK_EXT, chunked('5;\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-extension'),
  refuse('extension without value', CHUNK_EXT, chunked('5;a=\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-extension'),
  refuse('extension quoted and then text', CHUNK_EXT, chunked('5;a="b"c\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-extension'),
  refuse('extension without semicolon', CHUNK_EXT, chunked('5a b\r\nhello\r\n0\r\n\r\n'), 'bad-chunk-size'),
  refuse(
    'extension of 2 kB',
    LLHTTP_ADVISORIES,
    chunked(`5;${'a'.repeat(2048)}\r\nhello\r\n0\r\n\r\n`),
    'chunk-extension-too-long',
  ),
  refuse('trailer with space before the colon', TREQS, chunked('0\r\nX : y\r\n\r\n'), 'space-before-colon'),
  refuse('trailer folded', TREQS, chunked('0\r\nX: y\r\n z\r\n\r\n'), 'obs-fold'),
  refuse('trailer with bare LF', TREQS, chunked(`0\r\nX: y\n\n${INNER}`), 'bare-lf'),
  refuse('trailer that is a request line', TREQS, chunked(`0\r\n${INNER}`), 'space-before-colon'),
  refuse('LF ends the last chunk', HTTP_GARDEN, chunked(`0\n\n${INNER}`), 'bare-lf'),
  refuse('LF ends the trailer section', HTTP_GARDEN, chunked(`0\r\n\n${INNER}`), 'bare-lf'),
  refuse('CR CR LF ends the trailer section', HTTP_GARDEN, chunked(`0\r\n\r\r\n${INNER}`), 'bare-cr'),
  read(
    'trailers that would change the framing are not headers',
    RFC9110,
    chunked(`0\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n${INNER}`),
    ['POST /|', 'GET /inner|'],
  ),
  read('body without its last chunk', RFC9112, chunked('5\r\nhello\r\n'), [], 'partial'),
];

const LINE_CASES: SmugglingCase[] = [
  refuse('bare LF after the request line', RFC9112, `GET / HTTP/1.1\n${HOST}\r\n`, 'bare-lf'),
  refuse('bare LF after a header', RFC9112, 'GET / HTTP/1.1\r\nHost: a.example\n\r\n', 'bare-lf'),
  refuse('bare LF ends the head', HTTP_GARDEN, `GET / HTTP/1.1\r\n${HOST}\n`, 'bare-lf'),
  refuse('bare CR after the request line', HTTP_GARDEN, `GET / HTTP/1.1\r${HOST}\r\n`, 'bare-cr'),
  refuse('CR CR LF ends the head', HTTP_GARDEN, `GET / HTTP/1.1\r\n${HOST}\r\r\n`, 'bare-cr'),
  refuse('CR in a value', KLEIN_2020, get('X: a\rb\r\n'), 'bare-cr'),
  refuse('header hidden by CR', KLEIN_2020, get('X: a\rContent-Length: 44\r\n', INNER), 'bare-cr'),
  refuse('NUL in a value', KLEIN_2020, get('X: a\0b\r\n'), 'bad-value'),
  refuse('NUL in a name', KLEIN_2020, get('X\0Y: a\r\n'), 'bad-name'),
  refuse('DEL in a value', HTTP_GARDEN, get('X: a\x7fb\r\n'), 'bad-value'),
  refuse('ESC in a value', HTTP_GARDEN, get('X: a\x1bb\r\n'), 'bad-value'),
  refuse('empty name', HTTP_GARDEN, get(': a\r\n'), 'bad-name'),
  refuse('header line without colon', HTTP_GARDEN, get('abc\r\n'), 'bad-name'),
  refuse('space in a name', KETTLE_2019, get('X Y: a\r\n'), 'space-before-colon'),
  refuse('at sign in a name', HTTP_GARDEN, get('X@Y: a\r\n'), 'bad-name'),
  refuse('quote in a name', HTTP_GARDEN, get('X"Y: a\r\n'), 'bad-name'),
  refuse('non-ASCII name', HTTP_GARDEN, get('X\xe9: a\r\n'), 'bad-name'),
  refuse('space before the first header', RFC9112, `GET / HTTP/1.1\r\n ${HOST}\r\n`, 'leading-space'),
  refuse('tab before the first header', RFC9112, `GET / HTTP/1.1\r\n\t${HOST}\r\n`, 'leading-space'),
  refuse(
    'whitespace-only line before the first header',
    RFC9112,
    `GET / HTTP/1.1\r\n \r\n${HOST}\r\n`,
    'leading-space',
  ),
  refuse('obs-fold', RFC9112, get('X: a\r\n b\r\n'), 'obs-fold'),
  refuse('obs-fold with only spaces', RFC9112, get('X: a\r\n \r\n'), 'obs-fold'),
  read('tab and obs-text in a value', RFC9110, get('X: a\tb\xe9\r\n'), ['GET /|']),
  read('no space after the colon', RFC9110, 'GET / HTTP/1.1\r\nHost:a.example\r\n\r\n', ['GET /|']),
  read('empty value', RFC9110, get('X:\r\n'), ['GET /|']),
  read('two empty lines before a request', RFC9112, `\r\n\r\n${INNER}`, ['GET /inner|']),
  refuse('many empty lines before a request', RFC9112, `\r\n\r\n\r\n${INNER}`, 'empty-lines'),
  refuse('LF before a request', HTTP_GARDEN, `\n${INNER}`, 'bare-lf'),
  refuse('space before a request', HTTP_GARDEN, ` ${INNER}`, 'bad-method'),
  read('pipelined', RFC9112, INNER + INNER, ['GET /inner|', 'GET /inner|']),
  refuse('second request broken', RFC9112, `${INNER}GET /x HTTP/1.1\nHost: a\r\n\r\n`, 'bare-lf', ['GET /inner|']),
];

const START_LINE_CASES: SmugglingCase[] = [
  refuse('HTTP/0.9', KLEIN_2020, 'GET /\r\n\r\n', 'bad-version'),
  refuse('HTTP/0.9 with version', KLEIN_2020, `GET / HTTP/0.9\r\n${HOST}\r\n`, 'unknown-version'),
  refuse('HTTP/1.2', HTTP_GARDEN, `GET / HTTP/1.2\r\n${HOST}\r\n`, 'unknown-version'),
  refuse('HTTP/2.0', HTTP_GARDEN, `GET / HTTP/2.0\r\n${HOST}\r\n`, 'unknown-version'),
  refuse('HTTP/2 preface', KETTLE_2021, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'unknown-version'),
  refuse('HTTP/1.10', HTTP_GARDEN, `GET / HTTP/1.10\r\n${HOST}\r\n`, 'bad-version'),
  refuse('HTTP/1', HTTP_GARDEN, `GET / HTTP/1\r\n${HOST}\r\n`, 'bad-version'),
  refuse('HTTP/01.1', HTTP_GARDEN, `GET / HTTP/01.1\r\n${HOST}\r\n`, 'bad-version'),
  refuse('http/1.1', HTTP_GARDEN, `GET / http/1.1\r\n${HOST}\r\n`, 'bad-version'),
  refuse('ICAP/1.1', HTTP_GARDEN, `GET / ICAP/1.1\r\n${HOST}\r\n`, 'bad-version'),
  refuse('space after the version', HTTP_GARDEN, `GET / HTTP/1.1 \r\n${HOST}\r\n`, 'bad-version'),
  refuse('two versions', HTTP_GARDEN, `GET / HTTP/1.1 HTTP/1.1\r\n${HOST}\r\n`, 'bad-version'),
  refuse('two spaces before the target', HTTP_GARDEN, `GET  / HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('two spaces before the version', HTTP_GARDEN, `GET /  HTTP/1.1\r\n${HOST}\r\n`, 'bad-version'),
  refuse('tab for space', HTTP_GARDEN, `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, 'bad-method'),
  refuse('tab in the target', HTTP_GARDEN, `GET /\tx HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('vertical tab for space', HTTP_GARDEN, `GET\x0b/ HTTP/1.1\r\n${HOST}\r\n`, 'bad-method'),
  refuse('space in the target', HTTP_GARDEN, `GET /a b HTTP/1.1\r\n${HOST}\r\n`, 'bad-version'),
  refuse('method with colon', HTTP_GARDEN, `GET: / HTTP/1.1\r\n${HOST}\r\n`, 'bad-method'),
  refuse('method with NUL', HTTP_GARDEN, `GE\0T / HTTP/1.1\r\n${HOST}\r\n`, 'bad-method'),
  refuse('method of 33 bytes', RFC9112, `${'A'.repeat(33)} / HTTP/1.1\r\n${HOST}\r\n`, 'method-too-long'),
  read('method in lower case is another method', RFC9110, `get / HTTP/1.1\r\n${HOST}\r\n`, ['get /|']),
  refuse('NUL in the target', HTTP_GARDEN, `GET /\0 HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('non-ASCII in the target', HTTP_GARDEN, `GET /\xe9 HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('fragment', RFC9112, `GET /a#b HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('backslash in the path', HTTP_GARDEN, `GET /a\\..\\b HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('relative target', RFC9112, `GET index.html HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('target that begins with ?', RFC9112, `GET ?a HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('target that begins with @', HTTP_GARDEN, `GET @evil.example/ HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('asterisk with GET', RFC9112, `GET * HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('authority-form with GET', RFC9112, `GET a.example:80 HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  read('asterisk with OPTIONS', RFC9112, `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, ['OPTIONS *|']),
  read('percent encodings pass as they are', RFC9112, `GET /%2e%2e/%zz?%0d%0a HTTP/1.1\r\n${HOST}\r\n`, [
    'GET /%2e%2e/%zz?%0d%0a|',
  ]),
  read('two slashes', RFC9112, `GET //evil.example/ HTTP/1.1\r\n${HOST}\r\n`, ['GET //evil.example/|']),
  read('absolute-form', RFC9112, `GET http://a.example/x HTTP/1.1\r\n${HOST}\r\n`, ['GET http://a.example/x|']),
  read('absolute-form with another host than Host', HOST_CONFUSION, `GET http://b.example/x HTTP/1.1\r\n${HOST}\r\n`, [
    'GET http://b.example/x|',
  ]),
  refuse(
    'absolute-form with userinfo',
    HOST_CONFUSION,
    `GET http://a.example@b.example/ HTTP/1.1\r\n${HOST}\r\n`,
    'bad-host',
  ),
  refuse(
    'absolute-form with another scheme',
    HOST_CONFUSION,
    `GET ftp://a.example/ HTTP/1.1\r\n${HOST}\r\n`,
    'bad-target',
  ),
  refuse('absolute-form with one slash', HOST_CONFUSION, `GET http:/a.example/ HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('absolute-form without host', HOST_CONFUSION, `GET http:///x HTTP/1.1\r\n${HOST}\r\n`, 'bad-host'),
  refuse(
    'absolute-form with backslash',
    HOST_CONFUSION,
    `GET http://a.example\\@b.example/ HTTP/1.1\r\n${HOST}\r\n`,
    'bad-target',
  ),
  refuse('absolute-form without Host', RFC9112, 'GET http://a.example/ HTTP/1.1\r\n\r\n', 'host-missing'),
  refuse('CONNECT with a path', RFC9112, `CONNECT /x HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
  refuse('CONNECT without port', RFC9112, `CONNECT a.example HTTP/1.1\r\n${HOST}\r\n`, 'bad-target'),
];

const HOST_CASES: SmugglingCase[] = [
  refuse('no Host', RFC9112, 'GET / HTTP/1.1\r\n\r\n', 'host-missing'),
  refuse('two Hosts', HOST_CONFUSION, get('Host: b.example\r\n'), 'host-repeated'),
  refuse('two equal Hosts', RFC9112, get(HOST), 'host-repeated'),
  refuse('two Hosts in odd case', HOST_CONFUSION, get('hOsT: b.example\r\n'), 'host-repeated'),
  refuse('Host behind a space', HOST_CONFUSION, get(' Host: b.example\r\n'), 'obs-fold'),
  refuse('Host with space before the colon', HOST_CONFUSION, get('Host : b.example\r\n'), 'space-before-colon'),
  refuse('Host empty', RFC9110, 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 'bad-host'),
  refuse('Host list', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n', 'bad-host'),
  refuse('Host with userinfo', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a@b.example\r\n\r\n', 'bad-host'),
  refuse('Host with path', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n', 'bad-host'),
  refuse('Host with query', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example?x\r\n\r\n', 'bad-host'),
  refuse('Host with scheme', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: http://a.example\r\n\r\n', 'bad-host'),
  refuse('Host with two ports', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example:80:81\r\n\r\n', 'bad-host'),
  refuse('Host with port text', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n', 'bad-host'),
  refuse('Host with port beyond 65535', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n', 'bad-host'),
  refuse('Host only a port', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: :80\r\n\r\n', 'bad-host'),
  refuse('Host only a dot', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: .\r\n\r\n', 'bad-host'),
  refuse('Host with a space inside', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example b.example\r\n\r\n', 'bad-host'),
  refuse('Host with backslash', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: a.example\\b\r\n\r\n', 'bad-host'),
  refuse('Host not ASCII', HOST_CONFUSION, 'GET / HTTP/1.1\r\nHost: \xe9.example\r\n\r\n', 'bad-host'),
  refuse('Host with bad percent encoding', RFC9110, 'GET / HTTP/1.1\r\nHost: a%2.example\r\n\r\n', 'bad-host'),
  refuse('Host with open bracket', RFC9110, 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n', 'bad-host'),
  refuse('Host with IPv6 zone', RFC9110, 'GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n', 'bad-host'),
  refuse('Host with text after the bracket', RFC9110, 'GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n', 'bad-host'),
  read('Host with IPv6 and port', RFC9110, 'GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n', ['GET /|']),
  read('Host with empty port', RFC9110, 'GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n', ['GET /|']),
  read('HTTP/1.0 without Host', RFC9112, 'GET / HTTP/1.0\r\n\r\n', ['GET /|']),
];

const CONNECTION_CASES: SmugglingCase[] = [
  refuse(
    'Connection names Content-Length',
    HOP_BY_HOP,
    post('Connection: content-length\r\nContent-Length: 44\r\n', INNER),
    'bad-connection',
  ),
  refuse('Connection names Host', HOP_BY_HOP, get('Connection: Host\r\n'), 'bad-connection'),
  refuse('Connection that is no list', HOP_BY_HOP, get('Connection: close;x\r\n'), 'bad-connection'),
  refuse('Connection with a space inside', HOP_BY_HOP, get('Connection: keep alive\r\n'), 'bad-connection'),
  refuse('Connection with hundreds of names', HOP_BY_HOP, get(`Connection: ${'x,'.repeat(300)}\r\n`), 'bad-connection'),
  read('Connection names an end-to-end header', HOP_BY_HOP, get('Connection: close, Cookie\r\nCookie: a=b\r\n'), [
    'GET /|',
  ]),
  read(
    'Connection: close wins over keep-alive',
    RFC9112,
    get('Connection: keep-alive\r\nConnection: close\r\n', INNER),
    ['GET /|'],
  ),
  read('Upgrade without Connection', RFC9110, get('Upgrade: websocket\r\n', INNER), ['GET /|', 'GET /inner|']),
  read('Upgrade', RFC9110, get('Connection: Upgrade\r\nUpgrade: websocket\r\n', INNER), ['GET /|'], 'upgraded'),
  refuse(
    'Upgrade that is no list of protocols',
    RFC9110,
    get('Connection: Upgrade\r\nUpgrade: web socket\r\n'),
    'bad-upgrade',
  ),
  read(
    'Upgrade in HTTP/1.0 is ignored',
    RFC9110,
    `GET / HTTP/1.0\r\n${HOST}Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n${INNER}`,
    ['GET /|', 'GET /inner|'],
  ),
];

export const SMUGGLING_CASES: readonly SmugglingCase[] = Object.freeze([
  ...LENGTH_CASES,
  ...CODING_CASES,
  ...CHUNK_CASES,
  ...LINE_CASES,
  ...START_LINE_CASES,
  ...HOST_CASES,
  ...CONNECTION_CASES,
]);
