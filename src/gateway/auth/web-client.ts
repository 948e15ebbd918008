/** Asks a server outside of this configuration: one request, a bounded answer, no redirects followed. For addresses that stand in dormouse.yaml, never for such that a client gave. */
import type { Agent, IncomingMessage } from 'node:http';

export interface WebRequest {
  url: string;
  headers: readonly (readonly [name: string, value: string])[];
  maxBytes: number;
  signal: AbortSignal;
}

export interface WebResponse {
  status: number;
  headers: readonly (readonly [name: string, value: string])[];
  body: Buffer;
}

/** Connections to one server at once, and the longest time that an unused one is kept, ms. */
const MAX_CONNECTIONS = 64;
const KEEP_MS = 30_000;

/** A client that keeps connections. Loaded modules: node:http or node:https, when it is first used. */
export class WebClient {
  #agent: Agent | null = null;
  #closed = false;

  /** Rejects when there is no complete answer within the bounds, or with the signal's reason. */
  async get({ url, headers, maxBytes, signal }: WebRequest): Promise<WebResponse> {
    const address = new URL(url);
    const client = address.protocol === 'https:' ? await import('node:https') : await import('node:http');
    if (this.#closed) throw new Error('the client is closed');
    this.#agent ??= new client.Agent({
      keepAlive: true,
      maxSockets: MAX_CONNECTIONS,
      timeout: KEEP_MS,
      scheduling: 'lifo',
    });
    const agent = this.#agent;
    const options = {
      signal,
      headers: ['Host', address.host, ...headers.flat()],
      maxHeaderSize: 32 * 1024,
    };
    const ask = (through: Agent | false): Promise<WebResponse> =>
      new Promise((resolve, reject) => {
        const request = client.request(address, { ...options, agent: through }, (response) =>
          readResponse(response, maxBytes).then(resolve, reject),
        );
        request.on('error', (error) => {
          if (signal.aborted) reject(signal.reason as Error);
          // A kept connection that the server had closed meanwhile: a GET may be sent again (RFC 9110 section 9.2.2).
          else if (through !== false && request.reusedSocket) resolve(ask(false));
          else reject(error);
        });
        request.end();
      });
    return ask(agent);
  }

  close(): void {
    this.#closed = true;
    this.#agent?.destroy();
  }
}

async function readResponse(response: IncomingMessage, maxBytes: number): Promise<WebResponse> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    // Leaving the loop destroys the response, and its connection with it.
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    parts.push(part);
  }
  const headers: [string, string][] = [];
  for (let i = 0; i < response.rawHeaders.length; i += 2)
    headers.push([response.rawHeaders[i]!, response.rawHeaders[i + 1]!]);
  return { status: response.statusCode ?? 0, headers, body: Buffer.concat(parts) };
}
