/**
 * Nanoseconds per parsed head: three typical requests and one response, and the same bytes through llhttp (Node's own parser with its callbacks
 * into JavaScript, as node:http uses it) in the same run. Run it with: node bench/parser.ts
 */
import { createRequire } from 'node:module';
import { RequestParser } from '../src/http1/request-parser.ts';
import { ResponseParser } from '../src/http1/response-parser.ts';

const LIMITS = { headerBytes: 32_768, headers: 100, uriBytes: 8192 };
const ROUNDS = 9;
const ROUND_MS = 120;

const CURL = 'GET /api/users/123 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n';
const CLIENT =
  'GET /api/users/123?fields=name,email HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Go-http-client/1.1\r\nAccept: application/json\r\n' +
  'Accept-Encoding: gzip\r\nX-Request-Id: 6f1c2c9e4b7a4d0e\r\nConnection: keep-alive\r\n\r\n';
const BROWSER =
  'GET /assets/app.js?v=83ab91 HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\nsec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"\r\n' +
  'sec-ch-ua-mobile: ?0\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n' +
  'sec-ch-ua-platform: "Linux"\r\nAccept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n' +
  'Referer: https://shop.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\nCookie: session=0123456789abcdef\r\n\r\n';
const RESPONSE =
  'HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nDate: Sat, 21 Nov 2026 06:00:00 GMT\r\nContent-Length: 27\r\n' +
  'Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n';

interface Parser {
  execute(chunk: Uint8Array, start: number, end: number): number;
}

/** Best of ROUNDS: noise of other processes only ever adds. */
function nanosecondsPerHead(parser: Parser, chunk: Buffer): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const began = process.hrtime.bigint();
    const until = began + BigInt(ROUND_MS * 1e6);
    let heads = 0;
    let now = began;
    while (now < until) {
      for (let k = 0; k < 1000; k++)
        if (parser.execute(chunk, 0, chunk.length) !== chunk.length) throw new Error('refused');
      heads += 1000;
      now = process.hrtime.bigint();
    }
    best = Math.min(best, Number(now - began) / heads);
  }
  return best;
}

/** llhttp with the callbacks of node:http; a request without body ends with its head, so each execute is one whole message. */
function llhttpParser(response: boolean): Parser {
  const { HTTPParser } = createRequire(import.meta.url)('node:_http_common') as { HTTPParser: LlhttpClass };
  const parser = new HTTPParser();
  parser.initialize(response ? HTTPParser.RESPONSE : HTTPParser.REQUEST, {}, LIMITS.headerBytes, 0);
  parser[HTTPParser.kOnHeadersComplete] = (): number => 1;
  return { execute: (chunk) => parser.execute(chunk) };
}

interface LlhttpClass {
  new (): {
    initialize(type: number, resource: object, maxHeaderBytes: number, flags: number): void;
    execute(bytes: Uint8Array): number;
    [callback: number]: () => number;
  };
  REQUEST: number;
  RESPONSE: number;
  kOnHeadersComplete: number;
}

// Both sorts of parser run before anything is measured, as they do in a gateway.
const requests = new RequestParser(LIMITS);
const responses = new ResponseParser(LIMITS);
nanosecondsPerHead(responses, Buffer.from(RESPONSE, 'latin1'));
for (const [name, text, parser] of [
  ['request, curl', CURL, requests],
  ['request, API client', CLIENT, requests],
  ['request, browser', BROWSER, requests],
  ['response', RESPONSE, responses],
] as const) {
  const chunk = Buffer.from(text, 'latin1');
  const ours = nanosecondsPerHead(parser, chunk);
  const llhttp = nanosecondsPerHead(llhttpParser(text === RESPONSE), chunk);
  process.stdout.write(
    `${name.padEnd(20)} ${String(chunk.length).padStart(4)} B  dormouse ${ours.toFixed(0).padStart(5)} ns  llhttp in Node ${llhttp.toFixed(0).padStart(5)} ns\n`,
  );
}
