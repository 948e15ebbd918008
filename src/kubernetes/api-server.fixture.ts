/** An HTTP server that answers as a test tells it: for what a real API server can't be made to do. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { ClusterConfig } from './cluster-config.ts';

export interface Asking {
  method: string;
  /** Without query. */
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: string;
}

export type Answering = (asking: Asking, response: ServerResponse) => void;

export class FakeServer {
  readonly asked: Asking[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #answer: Answering;

  constructor(answer: Answering) {
    this.#answer = answer;
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const url = new URL(request.url ?? '/', 'http://server');
        const asking = {
          method: request.method ?? '',
          path: url.pathname,
          query: url.searchParams,
          headers: request.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        };
        this.asked.push(asking);
        this.#answer(asking, response);
      });
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  set answer(answer: Answering) {
    this.#answer = answer;
  }

  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get config(): ClusterConfig {
    return {
      server: `http://127.0.0.1:${this.port}`,
      source: 'a test',
      namespace: 'default',
      credentials: async () => ({
        token: null,
        tls: { ca: null, cert: null, key: null, serverName: null, insecure: false },
        tlsRevision: 1,
      }),
    };
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

export function json(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

/** A meta/v1 Status. */
export function status(code: number, reason: string, message: string, details: object = {}): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, details };
}
