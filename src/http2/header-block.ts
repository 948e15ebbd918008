/** CONTINUATION frames of one block. A head that needs more is no honest one. */
const MAX_CONTINUATIONS = 32;

/** A header block that comes in several frames (RFC 9113 4.3): nothing else may come before its end. */
export class HeaderBlock {
  /** 0: none is under way. */
  streamId = 0;
  endsStream = false;
  /** Monotonic ms of its first frame; Infinity: none is under way. */
  sinceMs = Number.POSITIVE_INFINITY;
  private parts: Buffer[] = [];
  private bytes = 0;
  private readonly maxBytes: number;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  begin(streamId: number, endsStream: boolean, part: Buffer, nowMs: number): void {
    this.streamId = streamId;
    this.endsStream = endsStream;
    this.sinceMs = nowMs;
    this.parts = [part];
    this.bytes = part.length;
  }

  /** False: it is too long, or cut into too many frames. */
  add(part: Buffer): boolean {
    this.parts.push(part);
    this.bytes += part.length;
    return this.parts.length <= MAX_CONTINUATIONS + 1 && this.bytes <= this.maxBytes;
  }

  /** All of it; none is under way any more. */
  take(): Buffer {
    const whole = Buffer.concat(this.parts);
    this.streamId = 0;
    this.sinceMs = Number.POSITIVE_INFINITY;
    this.parts = [];
    return whole;
  }
}
