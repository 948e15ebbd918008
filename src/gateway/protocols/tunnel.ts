import type { Duplex } from 'node:stream';
import type { TunnelCounters } from './tunnel-counters.ts';

/** Whose tunnel it is. */
export interface TunnelOwner {
  /** The listener or the endpoint is being drained: a tunnel that can say so to its client does. */
  readonly leaving: boolean;
}

/**
 * Two streams joined after a 101, or for a raw connection: bytes pass both ways untouched, with backpressure, and each side may close its sending half by
 * itself. What is done when one of them is gone is its owner's business.
 */
export class Tunnel {
  /** Bytes that came from the client, and from the endpoint. */
  clientBytes = 0;
  upstreamBytes = 0;
  protected readonly client: Duplex;
  protected readonly upstream: Duplex;
  private readonly counters: TunnelCounters;
  private readonly openedMs: number;

  constructor(client: Duplex, upstream: Duplex, counters: TunnelCounters, nowMs: number) {
    this.client = client;
    this.upstream = upstream;
    this.counters = counters;
    this.openedMs = nowMs;
    counters.opened++;
    counters.open++;
  }

  /** The chunk is the caller's to reuse after the call: it is copied. */
  fromUpstream(chunk: Buffer, start: number, end: number): void {
    this.countUpstream(end - start);
    if (this.client.writableEnded) return;
    if (!this.client.write(Buffer.from(chunk.subarray(start, end)))) this.upstream.pause();
  }

  /** The chunk may be kept. */
  fromClient(chunk: Buffer): void {
    this.countClient(chunk.length);
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

  /** Called a few times a second while it is open. */
  sweep(_nowMs: number): void {}

  /** It is over: called once by its owner. */
  over(nowMs: number): void {
    this.counters.open--;
    this.counters.duration.observe(nowMs - this.openedMs);
  }

  protected countClient(bytes: number): void {
    this.clientBytes += bytes;
    this.counters.clientBytes += bytes;
  }

  protected countUpstream(bytes: number): void {
    this.upstreamBytes += bytes;
    this.counters.upstreamBytes += bytes;
  }
}
