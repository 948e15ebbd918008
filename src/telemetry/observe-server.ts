/** /metrics, /livez and /readyz on an address of their own, apart from the traffic and from the control socket. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { addressText } from '../model/address-text.ts';
import { DormouseError } from '../model/errors.ts';
import type { Logger } from '../model/ports.ts';
import { METRICS_CONTENT_TYPE } from './render.ts';

// Not by import: the module's ESM face touches every part of node:http, and costs the supervisor 8 MB.
const { createServer } = process.getBuiltinModule('node:http');

const MOST_CONNECTIONS = 64;
const METRICS_TIMEOUT_MS = 5000;

export interface ObserveServerOptions {
  address: { host: string; port: number };
  /** The exposition text. Scrapes that come while one is under way get the same answer. */
  metrics: () => Promise<string>;
  /** `reasons` says what is missing, one sentence each. */
  ready: () => { ready: boolean; reasons: string[] };
  logger: Logger;
  /** How long `metrics` may take before a scrape is answered 503. */
  metricsTimeoutMs?: number;
}

export interface ObserveServer {
  /** With the port that was taken when 0 was asked for. */
  address: { host: string; port: number };
  close(): Promise<void>;
}

/** Throws DORMOUSE_OBSERVE_ADDRESS when the address can't be listened on. */
export async function startObserveServer(options: ObserveServerOptions): Promise<ObserveServer> {
  const { host, port } = options.address;
  const scrape = shared(options.metrics, options.metricsTimeoutMs ?? METRICS_TIMEOUT_MS);
  const server = createServer(
    {
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 75_000,
      maxHeaderSize: 8192,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => {
      request.on('error', () => {});
      response.on('error', () => {});
      serve(request, response, options, scrape).catch((error: unknown) => {
        options.logger.warn('a scrape failed', { path: request.url, error });
        if (response.headersSent) response.destroy();
        else answer(request, response, 503, 'the metrics could not be collected; see the log\n');
      });
    },
  );
  server.maxConnections = MOST_CONNECTIONS;
  server.maxRequestsPerSocket = 1000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    server.listen({ host, port }, resolve);
  });
  server.removeAllListeners('error');
  server.on('error', (error) => options.logger.warn('observe server', { error }));
  const bound = server.address();
  return {
    address: { host, port: typeof bound === 'object' && bound !== null ? bound.port : port },
    close: () =>
      new Promise((resolve) => {
        const cut = setTimeout(() => server.closeAllConnections(), 500);
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
      }),
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: ObserveServerOptions,
  scrape: () => Promise<string>,
): Promise<void> {
  const path = (request.url ?? '/').split('?', 1)[0]!;
  if (path !== '/metrics' && path !== '/livez' && path !== '/readyz') {
    return answer(request, response, 404, 'there is /metrics, /livez and /readyz\n');
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return answer(request, response, 405, 'GET and HEAD only\n');
  }
  if (path === '/livez') return answer(request, response, 200, 'ok\n');
  if (path === '/metrics') return answer(request, response, 200, await scrape(), METRICS_CONTENT_TYPE);
  const { ready, reasons } = options.ready();
  answer(
    request,
    response,
    ready ? 200 : 503,
    ready ? 'ok\n' : `not ready\n${reasons.map((reason) => `- ${reason}\n`).join('')}`,
  );
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: string,
  type = 'text/plain; charset=utf-8',
): void {
  // A body that nobody asked for is not read: the connection ends with the answer.
  if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined)
    response.setHeader('connection', 'close');
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** One collection at a time, however many ask; bounded in time. */
function shared(collect: () => Promise<string>, timeoutMs: number): () => Promise<string> {
  let running: Promise<string> | null = null;
  return () => {
    if (running !== null) return running;
    let timer: NodeJS.Timeout;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new DormouseError('DORMOUSE_METRICS_TIMEOUT', `the metrics took longer than ${timeoutMs} ms`)),
        timeoutMs,
      );
    });
    running = Promise.race([collect(), late]).finally(() => {
      clearTimeout(timer);
      running = null;
    });
    return running;
  };
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): DormouseError {
  const where = addressText({ host, port });
  const next =
    error.code === 'EADDRINUSE'
      ? 'another program listens there; end it, or set observe.address to another port'
      : error.code === 'EACCES'
        ? 'set observe.address to a port from 1024 up'
        : 'set observe.address to an address of this machine';
  return new DormouseError(
    'DORMOUSE_OBSERVE_ADDRESS',
    `cannot listen on ${where} for metrics and health: ${error.code ?? error.message}; ${next}`,
    {
      cause: error,
      userFault: true,
    },
  );
}
