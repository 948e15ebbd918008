import { METHODS } from 'node:http';
import { createRequire } from 'node:module';
import type { Direction, Outcome, SeenMessage } from './outcome.ts';

interface LlhttpParser {
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Buffer): number | Error;
  finish(): undefined | Error;
  close(): void;
  [callback: number]: (...values: never[]) => unknown;
}

interface LlhttpParserClass {
  new (): LlhttpParser;
  REQUEST: number;
  RESPONSE: number;
  kOnMessageBegin: number;
  kOnHeaders: number;
  kOnHeadersComplete: number;
  kOnBody: number;
  kOnMessageComplete: number;
}

// The parser that node:http uses, reached the way that older libraries reach it: the only door to llhttp without a socket and without node:http's own rules.
const require = createRequire(import.meta.url);
const { HTTPParser } = require('node:_http_common') as { HTTPParser: LlhttpParserClass };

const MAX_HEADER_BYTES = 16_384;
const STRICT = 0;
const SKIP_BODY = 1;
const READ_BODY = 0;

/** llhttp tells a method as a number whose table Node keeps to itself: ask for each name. */
const METHOD_OF_NUMBER = new Map<number, string>();
for (const name of [...METHODS, 'QUERY', 'PRI']) {
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {}, MAX_HEADER_BYTES, STRICT);
  parser[HTTPParser.kOnHeadersComplete] = (_major: number, _minor: number, _headers: unknown, method: number): void => {
    METHOD_OF_NUMBER.set(method, name);
  };
  parser.execute(Buffer.from(`${name} ${name === 'CONNECT' ? 'h:80' : '/'} HTTP/1.1\r\nHost: h\r\n\r\n`));
  parser.close();
}

/** The methods that llhttp knows; it refuses all others. */
export const LLHTTP_METHODS: readonly string[] = [...METHOD_OF_NUMBER.values()];

/** Reads `bytes` with llhttp in its strict mode, as one chunk, and then its end. */
export function readWithLlhttp(bytes: Buffer, direction: Direction, requestMethod = 'GET'): Outcome {
  const messages: SeenMessage[] = [];
  let headers: string[] = [];
  let url = '';
  let current: SeenMessage | null = null;
  let inside = false;
  let last = false;
  let upgraded = false;

  const parser = new HTTPParser();
  parser.initialize(direction === 'requests' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, MAX_HEADER_BYTES, STRICT);
  parser[HTTPParser.kOnMessageBegin] = (): void => {
    inside = true;
    headers = [];
    url = '';
  };
  parser[HTTPParser.kOnHeaders] = (some: string[], target: string): void => {
    // After the end of the head these are trailers.
    if (current === null) headers.push(...some);
    url += target;
  };
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    minor: number,
    rest: string[] | undefined,
    method: number,
    target: string | undefined,
    status: number,
    _reason: string,
    upgrade: boolean,
    keepAlive: boolean,
  ): number => {
    if (rest !== undefined) headers.push(...rest);
    const pairs: [string, string][] = [];
    for (let i = 0; i < headers.length; i += 2) pairs.push([headers[i]!.toLowerCase(), trimmed(headers[i + 1]!)]);
    const start =
      direction === 'requests' ? `${METHOD_OF_NUMBER.get(method)} ${target ?? url} ${minor}` : `${status} ${minor}`;
    current = { start, headers: pairs, body: '' };
    upgraded = upgrade;
    last = !keepAlive;
    return requestMethod === 'HEAD' && direction === 'responses' ? SKIP_BODY : READ_BODY;
  };
  parser[HTTPParser.kOnBody] = (part: Buffer): void => {
    current!.body += part.toString('latin1');
  };
  parser[HTTPParser.kOnMessageComplete] = (): void => {
    messages.push(current!);
    current = null;
    inside = false;
  };

  const end = (how: Outcome['end'], reason = ''): Outcome => {
    parser.close();
    return { messages, end: how, reason };
  };
  const result = parser.execute(bytes);
  if (result instanceof Error) {
    const code = (result as NodeJS.ErrnoException).code ?? result.message;
    // llhttp calls bytes after the last message of a connection an error; here that is simply the end.
    if (code === 'HPE_CLOSED_CONNECTION' && last && !inside) return end('complete');
    return end('refused', code);
  }
  if (upgraded && !inside) return end('upgraded');
  if (parser.finish() instanceof Error) return end('partial');
  return end(inside ? 'partial' : 'complete');
}

function trimmed(value: string): string {
  return value.replace(/^[\t ]+|[\t ]+$/g, '');
}
