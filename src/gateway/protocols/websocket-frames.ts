/** The framing of RFC 6455 5.2, as far as somebody in the middle has to know it: where frames begin and end, and whether they may stand there. */

/** Status codes of a Close frame (RFC 6455 7.4.1). */
export const GOING_AWAY = 1001;
export const PROTOCOL_ERROR = 1002;
export const TOO_BIG = 1009;

const CONTINUATION = 0;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** Body of our own pings: its length tells their pongs from those to the endpoint's pings, without unmasking. */
const PING_BODY = Buffer.from('dormouse-ping', 'latin1');

/** Fields of a frame's head that are read one after the other. */
const FIRST = 0;
const SECOND = 1;
const LENGTH = 2;

/** What a reader tells its tunnel. */
export interface FrameReaderOptions {
  /** Frames of clients are masked, those of servers are not (RFC 6455 5.1). */
  masked: boolean;
  /** An extension was negotiated: reserved bits, opcodes and the order of fragments are its business (5.2, 5.4). */
  extended: boolean;
}

/**
 * Follows the frames of one direction. Looks at heads only and keeps nothing of them, so that bytes can be passed on as they come; a head or a body may be
 * cut anywhere.
 */
export class FrameReader {
  /** A frame came that is not the answer to our own ping. Set to false by who has seen it. */
  heard = false;
  /** A Close frame has begun: it is the last one of this direction (5.5.1). */
  closed = false;
  /** Status code to close with because of what came; 0: nothing was wrong. Nothing can be read after it. */
  violation = 0;
  /** A ping of ours is out. */
  awaitsPong = false;
  private readonly masked: boolean;
  private readonly extended: boolean;
  private field = FIRST;
  private first = 0;
  /** Bytes of the extended length that are still to come. */
  private lengthBytes = 0;
  private length = 0;
  /** Bytes of mask and body that are still to come. */
  private left = 0;
  /** Between the first and the last fragment of a message. */
  private inMessage = false;
  /** The present frame answers our ping. */
  private ownPong = false;

  constructor(options: FrameReaderOptions) {
    this.masked = options.masked;
    this.extended = options.extended;
  }

  /** The next byte begins a frame: another one may be put before it. */
  get atBoundary(): boolean {
    return this.field === FIRST && this.left === 0;
  }

  /**
   * Reads `chunk[start, end)`, with `once` only to the end of the present frame. Returns the index after what was read; with a `violation` that of the first
   * byte of this chunk that belongs to the bad frame.
   */
  read(chunk: Buffer, start: number, end: number, once: boolean): number {
    let at = start;
    // What follows a Close frame is no frame any more.
    if (this.closed && this.atBoundary) return end;
    if (this.left > 0 && !this.ownPong) this.heard = true;
    while (at < end) {
      if (this.left > 0) {
        const size = Math.min(this.left, end - at);
        this.left -= size;
        at += size;
      } else {
        const began = this.field === FIRST ? at : start;
        at = this.readHead(chunk, at, end);
        if (this.violation !== 0) return began;
      }
      if (once && this.atBoundary) break;
    }
    return at;
  }

  private readHead(chunk: Buffer, start: number, end: number): number {
    let at = start;
    if (this.field === FIRST) {
      this.first = chunk[at++]!;
      this.field = SECOND;
      if (at === end) return at;
    }
    if (this.field === SECOND) {
      const second = chunk[at++]!;
      const length = second & 127;
      this.check(second >= 128, length);
      if (this.violation !== 0) return at;
      this.field = LENGTH;
      this.lengthBytes = length === 126 ? 2 : length === 127 ? 8 : 0;
      this.length = this.lengthBytes === 0 ? length : 0;
    }
    while (this.lengthBytes > 0 && at < end) {
      const byte = chunk[at++]!;
      // The highest bit must be 0 (5.2).
      if (this.lengthBytes === 8 && byte >= 128) this.violation = PROTOCOL_ERROR;
      this.length = this.length * 256 + byte;
      this.lengthBytes--;
    }
    if (this.lengthBytes > 0 || this.violation !== 0) return at;
    if (this.length > Number.MAX_SAFE_INTEGER) this.violation = TOO_BIG;
    else this.begin();
    return at;
  }

  /** The rules that hold for each frame, whatever it carries. What is in it is the endpoints' business. */
  private check(masked: boolean, length: number): void {
    const opcode = this.first & 15;
    const isControl = opcode >= CLOSE;
    const isFinal = this.first >= 128;
    let bad = masked !== this.masked;
    // 5.5: a control frame is whole and short.
    if (isControl && (!isFinal || length > 125)) bad = true;
    if (!this.extended) {
      if ((this.first & 0x70) !== 0 || (opcode > 2 && opcode < CLOSE) || opcode > PONG) bad = true;
      // 5.4: a continuation continues something, and nothing else stands between fragments.
      else if (!isControl && (opcode === CONTINUATION) !== this.inMessage) bad = true;
    }
    if (bad) this.violation = PROTOCOL_ERROR;
    else if (!isControl) this.inMessage = !isFinal;
  }

  private begin(): void {
    const opcode = this.first & 15;
    this.field = FIRST;
    this.left = this.length + (this.masked ? 4 : 0);
    this.ownPong = this.awaitsPong && opcode === PONG && this.length === PING_BODY.length;
    if (this.ownPong) this.awaitsPong = false;
    else this.heard = true;
    if (opcode === CLOSE) this.closed = true;
  }
}

/** A ping of the gateway to a client. */
export function pingFrame(): Buffer {
  return Buffer.concat([Buffer.from([0x80 | PING, PING_BODY.length]), PING_BODY]);
}

/** A Close frame without a reason text; masked with `mask` (four bytes as a number) when it goes to a server. */
export function closeFrame(code: number, mask: number | null): Buffer {
  if (mask === null) return Buffer.from([0x80 | CLOSE, 2, code >> 8, code & 255]);
  const frame = Buffer.from([0x80 | CLOSE, 0x80 | 2, 0, 0, 0, 0, code >> 8, code & 255]);
  frame.writeUInt32BE(mask, 2);
  frame[6]! ^= frame[2]!;
  frame[7]! ^= frame[3]!;
  return frame;
}
