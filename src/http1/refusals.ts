import { ProtocolError } from './protocol-error.ts';

function refusal(status: number, detail: string, message: string): ProtocolError {
  return Object.freeze(new ProtocolError(status, detail, message));
}

/** Every reason for which a message is refused, made once. `detail` is the key written with dashes. */
export const REFUSALS = Object.freeze({
  bareLf: refusal(400, 'bare-lf', 'A line ends in LF without CR (RFC 9112 2.2); send CRLF.'),
  bareCr: refusal(400, 'bare-cr', 'A CR is not followed by LF (RFC 9112 2.2); send CRLF.'),
  emptyLines: refusal(400, 'empty-lines', 'More than two empty lines stand before the start line (RFC 9112 2.2).'),
  obsFold: refusal(
    400,
    'obs-fold',
    'A header value goes on on a second line (obs-fold, RFC 9112 5.2); send it on one line.',
  ),
  leadingSpace: refusal(
    400,
    'leading-space',
    'Whitespace stands between the start line and the first header (RFC 9112 2.2).',
  ),
  spaceBeforeColon: refusal(
    400,
    'space-before-colon',
    'Whitespace stands before the colon of a header (RFC 9112 5.1).',
  ),
  badName: refusal(
    400,
    'bad-name',
    'A header name is empty, has no colon, or holds a character that is not a token (RFC 9110 5.1).',
  ),
  badValue: refusal(400, 'bad-value', 'A header value holds a control character (RFC 9110 5.5).'),
  headTooLarge: refusal(431, 'head-too-large', 'The head is longer than limits.headerBytes.'),
  tooManyHeaders: refusal(431, 'too-many-headers', 'The head has more lines than limits.headers.'),

  badMethod: refusal(400, 'bad-method', 'The method is empty or not a token (RFC 9110 9.1).'),
  methodTooLong: refusal(
    501,
    'method-too-long',
    'The method is longer than 32 bytes; no such method is known (RFC 9112 3).',
  ),
  badTarget: refusal(
    400,
    'bad-target',
    'The request-target has none of the four forms of RFC 9112 3.2, or holds a character that must be encoded.',
  ),
  targetTooLong: refusal(414, 'target-too-long', 'The request-target is longer than limits.uriBytes.'),
  badVersion: refusal(400, 'bad-version', 'The request line does not end in HTTP/1.1 or HTTP/1.0 (RFC 9112 2.3).'),
  unknownVersion: refusal(505, 'unknown-version', 'Only HTTP/1.0 and HTTP/1.1 are spoken here.'),
  badStatusLine: refusal(
    400,
    'bad-status-line',
    'The status line is not HTTP/1.x SP three digits SP reason (RFC 9112 4).',
  ),
  badStatus: refusal(400, 'bad-status', 'The status code is not between 100 and 599 (RFC 9110 15).'),

  hostMissing: refusal(400, 'host-missing', 'An HTTP/1.1 request has no Host (RFC 9112 3.2).'),
  hostRepeated: refusal(400, 'host-repeated', 'A request has more than one Host (RFC 9112 3.2).'),
  badHost: refusal(400, 'bad-host', 'Host, or the authority of the target, is not host[:port] of RFC 3986.'),
  badContentLength: refusal(400, 'bad-content-length', 'Content-Length is not one decimal number (RFC 9112 6.3).'),
  contentLengthRepeated: refusal(
    400,
    'content-length-repeated',
    'Content-Length stands more than once (RFC 9112 6.3).',
  ),
  contentLengthTooLarge: refusal(413, 'content-length-too-large', 'Content-Length is beyond 2^53 - 1 bytes.'),
  bothLengths: refusal(400, 'both-lengths', 'Content-Length and Transfer-Encoding stand together (RFC 9112 6.1).'),
  badTransferEncoding: refusal(
    400,
    'bad-transfer-encoding',
    'Transfer-Encoding is not exactly one final chunked (RFC 9112 6.1).',
  ),
  unknownCoding: refusal(501, 'unknown-coding', 'Transfer-Encoding names a coding other than chunked (RFC 9112 6.1).'),
  transferEncodingIn10: refusal(
    400,
    'transfer-encoding-in-1.0',
    'Transfer-Encoding stands in an HTTP/1.0 message (RFC 9112 6.1).',
  ),
  lengthNotAllowed: refusal(
    400,
    'length-not-allowed',
    'A 1xx or 204 response announces a body (RFC 9110 8.6, RFC 9112 6.1).',
  ),
  badConnection: refusal(
    400,
    'bad-connection',
    'Connection is not a list of tokens, is too long, or names Host or a length (RFC 9110 7.6.1).',
  ),
  unknownExpectation: refusal(
    417,
    'unknown-expectation',
    'Expect holds something other than 100-continue (RFC 9110 10.1.1).',
  ),
  badUpgrade: refusal(
    400,
    'bad-upgrade',
    'A 101 response has no Upgrade, or Upgrade is not a list of protocols (RFC 9110 7.8).',
  ),

  badChunkSize: refusal(400, 'bad-chunk-size', 'A chunk size is not 1 to 13 hexadecimal digits (RFC 9112 7.1).'),
  badChunkExtension: refusal(
    400,
    'bad-chunk-extension',
    'A chunk extension is not ;name, ;name=token or ;name="string" (RFC 9112 7.1.1).',
  ),
  chunkExtensionTooLong: refusal(
    400,
    'chunk-extension-too-long',
    'The extensions of one chunk are longer than 1024 bytes.',
  ),
  badChunkEnd: refusal(400, 'bad-chunk-end', 'Chunk data is not followed by CRLF (RFC 9112 7.1).'),
  trailersTooLarge: refusal(431, 'trailers-too-large', 'The trailer section is longer than limits.headerBytes.'),
});
