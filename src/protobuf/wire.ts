/** The wire format of protobuf, as far as small messages of strings, numbers and booleans need it: a protobuf library would cost more memory than what is said by it. Tests hold this to one. */

/** Longest message that is read, bytes. */
const MAX_BYTES = 4 * 1024 * 1024;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

export interface Field {
  number: number;
  /** Of wire type 0; beyond 2^53 not exact. */
  varint: bigint;
  /** Of wire type 2: strings, messages. Of 1 and 5: the 8 or 4 bytes, little endian. */
  bytes: Buffer;
}

/** Fields in the order in which they come. Throws RangeError for what is no message, or is longer than 4 MiB. */
export function* readFields(message: Buffer): Generator<Field> {
  if (message.length > MAX_BYTES) throw new RangeError(`a message of ${message.length} bytes is too long`);
  let at = 0;
  const next = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError('a message ends within a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new RangeError('a number is too long');
  };
  while (at < message.length) {
    const tag = next();
    const number = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (number === 0) throw new RangeError('a field has the number 0');
    if (wire === VARINT) {
      yield { number, varint: next(), bytes: message.subarray(0, 0) };
      continue;
    }
    if (wire !== FIXED64 && wire !== BYTES && wire !== FIXED32)
      throw new RangeError(`a field has the wire type ${wire}`);
    const length = wire === BYTES ? Number(next()) : wire === FIXED64 ? 8 : 4;
    if (length > message.length - at) throw new RangeError('a message ends within a field');
    yield { number, varint: 0n, bytes: message.subarray(at, at + length) };
    at += length;
  }
}

/** Puts a message together. What is zero or empty is left out, as proto3 has it. */
export class FieldWriter {
  readonly #parts: Buffer[] = [];

  text(number: number, value: string): this {
    return value === '' ? this : this.bytes(number, Buffer.from(value));
  }

  /** Also when it is empty: one of a list. */
  bytes(number: number, value: Buffer): this {
    this.#parts.push(varint((BigInt(number) << 3n) | BigInt(BYTES)), varint(BigInt(value.length)), value);
    return this;
  }

  flag(number: number, value: boolean): this {
    if (value) this.#parts.push(varint((BigInt(number) << 3n) | BigInt(VARINT)), varint(1n));
    return this;
  }

  /** int64: of a number that is not whole the part before the point. */
  int64(number: number, value: number): this {
    const whole = BigInt.asIntN(64, BigInt(Math.trunc(value)));
    if (whole === 0n) return this;
    this.#parts.push(varint((BigInt(number) << 3n) | BigInt(VARINT)), varint(BigInt.asUintN(64, whole)));
    return this;
  }

  double(number: number, value: number): this {
    if (Object.is(value, 0)) return this;
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#parts.push(varint((BigInt(number) << 3n) | BigInt(FIXED64)), bytes);
    return this;
  }

  end(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

export function textOf({ bytes }: Field): string {
  return bytes.toString('utf8');
}

/** Of an int64; beyond 2^53 not exact. */
export function numberOf({ varint: value }: Field): number {
  return Number(BigInt.asIntN(64, value));
}

/** Throws RangeError when the field has another length than 8 bytes. */
export function doubleOf({ bytes }: Field): number {
  if (bytes.length !== 8) throw new RangeError('a double has not 8 bytes');
  return bytes.readDoubleLE();
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80n) {
    bytes.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  }
  bytes.push(Number(left));
  return Buffer.from(bytes);
}
