import { Flag, FRAME_HEAD_BYTES, FrameType, MAX_FRAME_BYTES } from './constants.ts';

/** Size of the pieces into which small frames are written, bytes. */
const PIECE_BYTES = 16_384;
/** A payload up to this size is copied, so that it goes out in one piece with its neighbours; a larger one is passed on as it is. */
export const COPIED_BYTES = 2048;

/** Frames that wait to be written. Frames of one turn of the event loop go out together. */
export class FrameOutput {
  /** Bytes that wait here. */
  bytes = 0;
  private pieces: Buffer[] = [];
  private piece: Buffer | null = null;
  /** What of `piece` has been handed out, and what is filled. */
  private from = 0;
  private to = 0;

  private reserve(size: number): Buffer {
    if (this.piece !== null && this.to + size <= this.piece.length) return this.piece;
    this.closePiece();
    this.piece = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, size));
    this.from = 0;
    this.to = 0;
    return this.piece;
  }

  private closePiece(): void {
    if (this.piece !== null && this.to > this.from) this.pieces.push(this.piece.subarray(this.from, this.to));
    this.from = this.to;
  }

  private head(length: number, type: number, flags: number, streamId: number, room: number): Buffer {
    const piece = this.reserve(FRAME_HEAD_BYTES + room);
    let at = this.to;
    piece[at++] = length >> 16;
    piece[at++] = length >> 8;
    piece[at++] = length;
    piece[at++] = type;
    piece[at++] = flags;
    piece[at++] = streamId >> 24;
    piece[at++] = streamId >> 16;
    piece[at++] = streamId >> 8;
    piece[at++] = streamId;
    this.to = at;
    this.bytes += FRAME_HEAD_BYTES + length;
    return piece;
  }

  private uint32(piece: Buffer, value: number): void {
    piece[this.to++] = value >>> 24;
    piece[this.to++] = value >>> 16;
    piece[this.to++] = value >>> 8;
    piece[this.to++] = value;
  }

  /** Bytes as they are: the client's preface. */
  raw(text: string): void {
    const piece = this.reserve(text.length);
    this.to += piece.write(text, this.to, text.length, 'latin1');
    this.bytes += text.length;
  }

  /** payload[start, end), at most MAX_FRAME_BYTES; it must stay as it is until it has gone out. */
  data(streamId: number, payload: Buffer, start: number, end: number, endStream: boolean): void {
    const length = end - start;
    const copies = length <= COPIED_BYTES;
    const flags = endStream ? Flag.END_STREAM : 0;
    const piece = this.head(length, FrameType.DATA, flags, streamId, copies ? length : 0);
    if (length === 0) return;
    if (copies) {
      payload.copy(piece, this.to, start, end);
      this.to += length;
      return;
    }
    this.closePiece();
    this.pieces.push(start === 0 && end === payload.length ? payload : payload.subarray(start, end));
  }

  /** A header block, as HEADERS and as many CONTINUATION as it needs. */
  headers(streamId: number, block: Buffer, length: number, endStream: boolean): void {
    let at = 0;
    let type: number = FrameType.HEADERS;
    let flags = endStream ? Flag.END_STREAM : 0;
    do {
      const size = Math.min(length - at, MAX_FRAME_BYTES);
      if (at + size === length) flags |= Flag.END_HEADERS;
      const piece = this.head(size, type, flags, streamId, size);
      block.copy(piece, this.to, at, at + size);
      this.to += size;
      at += size;
      type = FrameType.CONTINUATION;
      flags = 0;
    } while (at < length);
  }

  /** Pairs of setting and value. */
  settings(pairs: readonly (readonly [id: number, value: number])[]): void {
    const piece = this.head(pairs.length * 6, FrameType.SETTINGS, 0, 0, pairs.length * 6);
    for (const [id, value] of pairs) {
      piece[this.to++] = id >> 8;
      piece[this.to++] = id;
      this.uint32(piece, value);
    }
  }

  settingsAck(): void {
    this.head(0, FrameType.SETTINGS, Flag.ACK, 0, 0);
  }

  /** `opaque[start, start + 8)`. */
  ping(opaque: Buffer, start: number, ack: boolean): void {
    const piece = this.head(8, FrameType.PING, ack ? Flag.ACK : 0, 0, 8);
    opaque.copy(piece, this.to, start, start + 8);
    this.to += 8;
  }

  rstStream(streamId: number, code: number): void {
    this.uint32(this.head(4, FrameType.RST_STREAM, 0, streamId, 4), code);
  }

  goaway(lastStreamId: number, code: number): void {
    const piece = this.head(8, FrameType.GOAWAY, 0, 0, 8);
    this.uint32(piece, lastStreamId);
    this.uint32(piece, code);
  }

  windowUpdate(streamId: number, increment: number): void {
    this.uint32(this.head(4, FrameType.WINDOW_UPDATE, 0, streamId, 4), increment);
  }

  /** Everything that waits, in order; it is the caller's from now on. */
  take(): Buffer[] {
    this.closePiece();
    const taken = this.pieces;
    this.pieces = [];
    this.bytes = 0;
    return taken;
  }

  /** Lets go of the memory of a connection that is quiet. */
  shrink(): void {
    if (this.bytes === 0) this.piece = null;
  }
}
