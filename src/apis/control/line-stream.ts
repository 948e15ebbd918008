/**
 * A stream of JSON lines to one client, for events and logs. What a client does not read is kept up to a bound; one that is slower is cut off: it can ask
 * again, while an endless buffer would be everyone's.
 */
import type { ServerResponse } from 'node:http';

/** Unread bytes at which a client is cut off. */
export const SLOW_CLIENT_BYTES = 256 * 1024;

export class LineStream {
  readonly #response: ServerResponse;
  readonly #limitBytes: number;

  constructor(response: ServerResponse, limitBytes: number) {
    this.#response = response;
    this.#limitBytes = limitBytes;
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.flushHeaders();
  }

  /** False when the client was too slow and has been cut off, or is gone. */
  write(value: unknown): boolean {
    const response = this.#response;
    if (response.destroyed || response.writableEnded) return false;
    response.write(`${JSON.stringify(value)}\n`);
    // Of Node's response, this counts what waits in the socket too.
    if (response.writableLength <= this.#limitBytes) return true;
    response.destroy();
    return false;
  }

  end(): void {
    this.#response.end();
  }
}
