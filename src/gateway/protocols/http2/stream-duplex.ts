import { Duplex } from 'node:stream';

/** The HTTP/2 stream under a tunnel, as the duplex needs it. */
export interface DuplexCarrier {
  write(part: Buffer): boolean;
  end(last: Buffer | null, trailers: string): void;
  pause(): void;
  resume(): void;
  /** The duplex was destroyed, or closed after both sides had ended. */
  onDuplexClosed(): void;
}

/** Both directions of a stream that became a tunnel (RFC 8441), as a stream of Node. */
export class StreamDuplex extends Duplex {
  private readonly carrier: DuplexCarrier;
  private written: (() => void) | null = null;

  constructor(carrier: DuplexCarrier) {
    super({ allowHalfOpen: true });
    this.carrier = carrier;
  }

  /** DATA of the client. */
  receive(part: Buffer): void {
    if (!this.push(part)) this.carrier.pause();
  }

  receiveEnd(): void {
    this.push(null);
  }

  /** The stream takes more again. */
  drained(): void {
    const written = this.written;
    this.written = null;
    written?.();
  }

  override _read(): void {
    this.carrier.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    if (this.carrier.write(chunk)) callback();
    else this.written = callback;
  }

  override _final(callback: () => void): void {
    this.carrier.end(null, '');
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.written = null;
    this.carrier.onDuplexClosed();
    callback(error);
  }
}
