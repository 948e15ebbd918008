/**
 * Messages as frames of proto/link.proto, both ways. Written by hand: two fields don't need a protobuf library in every gateway; a test
 * holds it to one.
 */

/** JSON in one frame, bytes. HTTP/2 interleaves nothing within a stream, but a frame is held whole at both ends. */
export const FRAME_BYTES = 256 * 1024;
/** Longest message that is sent or taken, bytes: configurations have up to 20 MB. */
export const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;
/** Longest frame that is taken, bytes: room for fields that a later version may add. */
export const MAX_FRAME_BYTES = FRAME_BYTES + 4096;

const JSON_FIELD = 1;
const MORE_FIELD = 2;
const MORE = Buffer.from([(MORE_FIELD << 3) | 0, 1]);

/** The frames of one message, in order; at least one. Throws RangeError when it is longer than {@link MAX_MESSAGE_BYTES}. */
export function encodeFrames(message: object): Buffer[] {
  const json = Buffer.from(JSON.stringify(message));
  if (json.length > MAX_MESSAGE_BYTES)
    throw new RangeError(`a message of ${json.length} bytes is longer than ${MAX_MESSAGE_BYTES}`);
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < json.length; at += FRAME_BYTES) {
    const part = json.subarray(at, at + FRAME_BYTES);
    const head = Buffer.from([(JSON_FIELD << 3) | 2, ...varint(part.length)]);
    frames.push(at + FRAME_BYTES < json.length ? Buffer.concat([head, part, MORE]) : Buffer.concat([head, part]));
  }
  return frames;
}

/** Puts frames together again. */
export class FrameReader {
  #parts: Buffer[] = [];
  #bytes = 0;

  /** The message that this frame completes, or undefined. Throws RangeError or SyntaxError when the peer breaks the rules: nothing after it can be read. */
  read(frame: Buffer): unknown {
    const { json, more } = decodeFrame(frame);
    this.#bytes += json.length;
    if (this.#bytes > MAX_MESSAGE_BYTES) throw new RangeError(`a message is longer than ${MAX_MESSAGE_BYTES} bytes`);
    // Empty parts would not be bounded by the bytes.
    if (more && json.length === 0) throw new RangeError('an empty part of a message');
    if (more) {
      this.#parts.push(json);
      return undefined;
    }
    const whole = this.#parts.length === 0 ? json : Buffer.concat([...this.#parts, json]);
    this.#parts = [];
    this.#bytes = 0;
    return JSON.parse(whole.toString('utf8')) as unknown;
  }
}

/** Fields that are not known are skipped, as protobuf wants it. */
function decodeFrame(frame: Buffer): { json: Buffer; more: boolean } {
  let json: Buffer = frame.subarray(0, 0);
  let more = false;
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = frame[at++];
      if (byte === undefined) throw new RangeError('a frame ends within a number');
      // Beyond 2^53 the value is wrong, and no length can be so great: it is refused below.
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number of a frame is too long');
  };
  while (at < frame.length) {
    const tag = next();
    const field = Math.floor(tag / 8);
    const wire = tag % 8;
    if (wire === 0) {
      const value = next();
      if (field === MORE_FIELD) more = value !== 0;
      continue;
    }
    if (wire !== 1 && wire !== 2 && wire !== 5) throw new RangeError(`a frame has a field of wire type ${wire}`);
    const length = wire === 2 ? next() : wire === 1 ? 8 : 4;
    if (length > frame.length - at) throw new RangeError('a frame ends within a field');
    if (wire === 2 && field === JSON_FIELD) json = frame.subarray(at, at + length);
    at += length;
  }
  return { json, more };
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  while (value >= 0x80) {
    bytes.push((value & 0x7f) | 0x80);
    value >>>= 7;
  }
  bytes.push(value);
  return bytes;
}
