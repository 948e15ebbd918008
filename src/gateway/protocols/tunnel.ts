import type { Socket } from 'node:net';

/**
 * Two sockets joined after a 101: bytes pass both ways untouched, with backpressure, and each side may close its sending half by itself.
 * What is done when one of them is gone is its owner's business.
 */
export class Tunnel {
  /** Bytes that came from the client, and from the endpoint. */
  clientBytes = 0;
  upstreamBytes = 0;
  private readonly client: Socket;
  private readonly upstream: Socket;

  constructor(client: Socket, upstream: Socket) {
    this.client = client;
    this.upstream = upstream;
  }

  /** The chunk is the caller's to reuse after the call: it is copied. */
  fromUpstream(chunk: Buffer, start: number, end: number): void {
    this.upstreamBytes += end - start;
    if (!this.client.write(Buffer.from(chunk.subarray(start, end)))) this.upstream.pause();
  }

  fromClient(chunk: Buffer): void {
    this.clientBytes += chunk.length;
    if (!this.upstream.write(chunk)) this.client.pause();
  }

  onClientDrain(): void {
    this.upstream.resume();
  }

  onUpstreamDrain(): void {
    if (this.client.isPaused()) this.client.resume();
  }

  onClientEnd(): void {
    this.upstream.end();
  }

  onUpstreamEnd(): void {
    this.client.end();
  }
}
