/**
 * The application that tests put to sleep and wake. Environment:
 *   PORT             8080
 *   START_DELAY_MS   0: listens this long after its start
 *   DRAIN            1: on SIGTERM it takes no new connection, finishes what is in flight, then ends. 0: ends at once
 *   DRAIN_BOUND_MS   20000: bound of that
 *   NAME             told in every answer: which of several programs answered
 *
 * Every answer of JSON has pod, pid and name.
 *   GET /               and any other path: method, path, headers, client (the address that the connection came from)
 *   GET /healthz        200 once it listens
 *   GET /slow?ms=500    answers after that time; &bytes=N: a byte at once, the rest then
 *   ANY /echo           the body as it comes
 *   POST /count         {"id": "…"}, or the text itself: counted in memory; answers how often it has seen this id
 *   GET /counts         every id with its number
 *   GET /metrics        Prometheus' text format
 *   GET /exit?code=1    ends at once
 *   WebSocket, any path: greets with its JSON, then echoes; "close" makes it close, "sleep MS" answers later
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { hostname } from 'node:os';
import { WebSocketServer, type WebSocket } from 'ws';

const port = Number(process.env['PORT'] ?? 8080);
const startDelayMs = Number(process.env['START_DELAY_MS'] ?? 0);
const drains = process.env['DRAIN'] !== '0';
const drainBoundMs = Number(process.env['DRAIN_BOUND_MS'] ?? 20_000);
const self = { pod: process.env['HOSTNAME'] ?? hostname(), pid: process.pid, name: process.env['NAME'] ?? 'app' };

const MAX_IDS = 1_000_000;
const MAX_BODY_BYTES = 1_000_000;
const counts = new Map<string, number>();
let requests = 0;
let inFlight = 0;
let draining = false;

const server = createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 }, (request, response) => {
  requests += 1;
  inFlight += 1;
  response.once('close', () => {
    inFlight -= 1;
    endWhenDone();
  });
  if (draining) response.setHeader('connection', 'close');
  response.setHeader('x-pod', self.pod);
  answer(request, response).catch((error: unknown) => {
    if (!response.headersSent) response.statusCode = 500;
    response.end(String(error));
  });
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://app');
  switch (url.pathname) {
    case '/healthz':
      return json(response, {});
    case '/slow': {
      const bytes = Number(url.searchParams.get('bytes') ?? 0);
      const timer = setTimeout(
        () => (bytes > 0 ? response.end('x'.repeat(bytes - 1)) : json(response, { slept: true })),
        Number(url.searchParams.get('ms') ?? 1_000),
      );
      response.once('close', () => clearTimeout(timer));
      if (bytes > 0) {
        response.writeHead(200, { 'content-length': bytes });
        response.write('x');
      }
      return;
    }
    case '/echo':
      response.writeHead(200, { 'content-type': request.headers['content-type'] ?? 'application/octet-stream' });
      request.pipe(response);
      return;
    case '/count': {
      const id = idOf(await bodyOf(request));
      if (counts.size >= MAX_IDS) counts.delete(counts.keys().next().value ?? '');
      const count = (counts.get(id) ?? 0) + 1;
      counts.set(id, count);
      return json(response, { id, count });
    }
    case '/counts':
      return json(response, { counts: Object.fromEntries(counts) });
    case '/metrics':
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' });
      response.end(metrics());
      return;
    case '/exit':
      process.exit(Number(url.searchParams.get('code') ?? 1));
    // eslint-disable-next-line no-fallthrough -- the process has ended
    default:
      request.resume();
      return json(response, {
        method: request.method,
        path: request.url,
        headers: request.headers,
        client: request.socket.remoteAddress?.replace(/^::ffff:/, ''),
      });
  }
}

function json(response: ServerResponse, body: object): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ ...self, ...body }));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > MAX_BODY_BYTES) throw new Error('too long');
  }
  return text;
}

function idOf(body: string): string {
  try {
    const { id } = JSON.parse(body) as { id?: unknown };
    return typeof id === 'string' ? id : body;
  } catch {
    return body;
  }
}

function metrics(): string {
  return [
    '# TYPE app_requests_total counter',
    `app_requests_total ${requests}`,
    '# TYPE app_in_flight gauge',
    `app_in_flight ${inFlight}`,
    '# TYPE app_websockets gauge',
    `app_websockets ${sockets.clients.size}`,
    '',
  ].join('\n');
}

const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket: WebSocket) => {
  socket.send(JSON.stringify(self));
  socket.on('error', () => {});
  socket.on('close', endWhenDone);
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? '' : String(data);
    const later = /^sleep (\d+)$/.exec(text)?.[1];
    if (text === 'close') socket.close(1000);
    else if (later !== undefined) setTimeout(() => socket.send(text), Number(later));
    else socket.send(data, { binary: isBinary });
  });
});

function endWhenDone(): void {
  if (draining && inFlight === 0 && sockets.clients.size === 0) process.exit(0);
}

process.on('SIGTERM', () => {
  if (!drains) process.exit(0);
  draining = true;
  server.close();
  server.closeIdleConnections();
  // 1001: going away (RFC 6455, 7.4.1).
  for (const socket of sockets.clients) socket.close(1001);
  setTimeout(() => process.exit(0), drainBoundMs).unref();
  endWhenDone();
});

setTimeout(() => {
  server.listen(port, () => console.log(JSON.stringify({ ...self, listening: port })));
}, startDelayMs);
