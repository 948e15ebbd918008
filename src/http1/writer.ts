import { latin1 } from './characters.ts';

/** The end of a chunked body without trailers. */
export const LAST_CHUNK = '0\r\n\r\n';

/** The end of a chunked body. `trailers`: whole lines, or ''. */
export function lastChunk(trailers: string): string {
  return trailers === '' ? LAST_CHUNK : `0\r\n${trailers}\r\n`;
}

/** The line before the data of a chunk of `size` bytes (> 0; a size of 0 would end the body). After the data comes CRLF. */
export function chunkHead(size: number): string {
  return `${size.toString(16)}\r\n`;
}

/** Reason phrase of a status, '' when it has none (the space before it is sent all the same, RFC 9112 4). */
export function reasonPhrase(status: number): string {
  return REASONS[status] ?? '';
}

// Not node:http's table: a worker shall not load node:http.
const REASONS: Readonly<Record<number, string>> = Object.freeze({
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  207: 'Multi-Status',
  208: 'Already Reported',
  226: 'IM Used',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  305: 'Use Proxy',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  423: 'Locked',
  424: 'Failed Dependency',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  506: 'Variant Also Negotiates',
  507: 'Insufficient Storage',
  508: 'Loop Detected',
  510: 'Not Extended',
  511: 'Network Authentication Required',
});

// The last result of a pure function, not state: nobody can notice it but by the time it takes.
let dateSecond = Number.NaN;
let dateText = '';

/** IMF-fixdate (RFC 9110 5.6.7) of a time in ms since 1970; made once per second. */
export function httpDate(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}

export interface SimpleResponse {
  status: number;
  /** Whole lines, each with its CRLF, or ''. Without Content-Length and Connection, which are made here. */
  headers: string;
  body: string;
  keepAlive: boolean;
  /** The request was HEAD: the body is counted and not sent. */
  head: boolean;
  /** Version of the request: 0 makes `Connection: keep-alive` explicit. 1 when left out. */
  minor?: 0 | 1;
}

/** A whole response of our own, one character per byte: write it as latin1. A body beyond ASCII goes as UTF-8. */
export function simpleResponse(response: SimpleResponse): string {
  const { status, keepAlive } = response;
  const body = Buffer.from(response.body, 'utf8');
  const connection = keepAlive ? (response.minor === 0 ? 'connection: keep-alive\r\n' : '') : 'connection: close\r\n';
  const length = status < 200 || status === 204 || status === 304 ? '' : `content-length: ${body.length}\r\n`;
  const head = `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n${response.headers}${length}${connection}\r\n`;
  return response.head || length === '' ? head : head + latin1(body, 0, body.length);
}
