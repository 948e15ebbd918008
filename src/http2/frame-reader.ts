import { FRAME_HEAD_BYTES, MAX_FRAME_BYTES } from './constants.ts';

export interface FrameSink {
  /**
   * A whole frame; its payload is bytes[start, end), which may be kept. Called again and again until `stopped`.
   */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** A frame announced more than MAX_FRAME_BYTES (RFC 9113 4.2): nothing more is read. */
  onFrameTooLarge(streamId: number): void;
  /** Nothing more is wanted. */
  readonly stopped: boolean;
}

/** Cuts a byte stream into frames. A frame that lies whole in one chunk is handed out in place; one that is split is gathered, at most one at a time. */
export class FrameReader {
  private readonly sink: FrameSink;
  private gathered: Buffer | null = null;
  private have = 0;

  constructor(sink: FrameSink) {
    this.sink = sink;
  }

  /** A frame has begun and is not complete. */
  get partial(): boolean {
    return this.have > 0;
  }

  execute(chunk: Buffer, start = 0): void {
    const { sink } = this;
    let at = start;
    if (this.have > 0) at = this.gather(chunk, at);
    while (!sink.stopped && at < chunk.length) {
      const left = chunk.length - at;
      if (left < FRAME_HEAD_BYTES) break;
      const length = (chunk[at]! << 16) | (chunk[at + 1]! << 8) | chunk[at + 2]!;
      const streamId = streamIdAt(chunk, at + 5);
      if (length > MAX_FRAME_BYTES) {
        sink.onFrameTooLarge(streamId);
        return;
      }
      const end = at + FRAME_HEAD_BYTES + length;
      if (end > chunk.length) break;
      sink.onFrame(chunk[at + 3]!, chunk[at + 4]!, streamId, chunk, at + FRAME_HEAD_BYTES, end);
      at = end;
    }
    if (sink.stopped || at >= chunk.length) return;
    this.append(chunk, at, chunk.length);
  }

  /** Completes the frame that was begun. Returns the index after it. */
  private gather(chunk: Buffer, start: number): number {
    const { sink } = this;
    let at = start;
    if (this.have < FRAME_HEAD_BYTES) {
      const end = Math.min(chunk.length, at + FRAME_HEAD_BYTES - this.have);
      this.append(chunk, at, end);
      at = end;
      if (this.have < FRAME_HEAD_BYTES) return at;
    }
    const head = this.gathered!;
    const length = (head[0]! << 16) | (head[1]! << 8) | head[2]!;
    const streamId = streamIdAt(head, 5);
    if (length > MAX_FRAME_BYTES) {
      sink.onFrameTooLarge(streamId);
      return chunk.length;
    }
    const size = FRAME_HEAD_BYTES + length;
    const end = Math.min(chunk.length, at + size - this.have);
    this.append(chunk, at, end);
    if (this.have < size) return end;
    const frame = this.gathered!;
    // Given away: who takes the payload may keep it.
    this.gathered = null;
    this.have = 0;
    sink.onFrame(frame[3]!, frame[4]!, streamId, frame, FRAME_HEAD_BYTES, size);
    return end;
  }

  /** Grows by doubling: a peer that only announces a large frame costs little. */
  private append(chunk: Buffer, start: number, end: number): void {
    const need = this.have + end - start;
    if (this.gathered === null || this.gathered.length < need) {
      const capacity = Math.min(
        FRAME_HEAD_BYTES + MAX_FRAME_BYTES,
        Math.max(256, need, (this.gathered?.length ?? 0) * 2),
      );
      const larger = Buffer.allocUnsafeSlow(capacity);
      this.gathered?.copy(larger, 0, 0, this.have);
      this.gathered = larger;
    }
    chunk.copy(this.gathered, this.have, start, end);
    this.have = need;
  }
}

/** The highest bit is reserved and ignored (RFC 9113 4.1). */
function streamIdAt(bytes: Buffer, at: number): number {
  return ((bytes[at]! & 0x7f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
