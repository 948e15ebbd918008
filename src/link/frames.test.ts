import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { encodeFrames, FRAME_BYTES, FrameReader, MAX_FRAME_BYTES, MAX_MESSAGE_BYTES } from './frames.ts';

const readAll = (frames: readonly Buffer[]): unknown[] => {
  const reader = new FrameReader();
  return frames.map((frame) => reader.read(frame));
};

describe('frames of messages', () => {
  it('are what a protobuf library reads', () => {
    const reader = new BinaryReader(encodeFrames({ text: 'ü'.repeat(300_000) })[0]!);
    assert.deepEqual(reader.tag(), [1, WireType.LengthDelimited]);
    assert.equal(reader.bytes().length, FRAME_BYTES);
    assert.deepEqual(reader.tag(), [2, WireType.Varint]);
    assert.equal(reader.bool(), true);
    assert.equal(reader.pos, reader.len);
  });

  it('are read as a protobuf library writes them, whatever fields a later version adds', () => {
    const later = new BinaryWriter();
    later.tag(9, WireType.Varint).uint32(300).tag(2, WireType.Varint).bool(false);
    later.tag(7, WireType.Bit64).fixed64(5n).tag(8, WireType.Bit32).fixed32(5).tag(6, WireType.LengthDelimited);
    later.string('new').tag(1, WireType.LengthDelimited).bytes(Buffer.from('{"a":1}'));
    assert.deepEqual(new FrameReader().read(Buffer.from(later.finish())), { a: 1 });
  });

  it('carry every message, whatever its length, and none is longer than it may be', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(3 * FRAME_BYTES), (fields, padding) => {
        const message = JSON.parse(JSON.stringify({ fields, padding: 'x'.repeat(padding) })) as object;
        const frames = encodeFrames(message);
        assert.ok(frames.every((frame) => frame.length <= MAX_FRAME_BYTES));
        const read = readAll(frames);
        assert.deepEqual(read.pop(), message);
        assert.ok(read.every((value) => value === undefined));
      }),
      { numRuns: 50 },
    );
  });

  it('of a message that is too long are not made, and not put together', () => {
    assert.throws(() => encodeFrames({ text: 'x'.repeat(MAX_MESSAGE_BYTES) }), RangeError);
    const part = encodeFrames({ text: 'x'.repeat(2 * FRAME_BYTES) })[0]!;
    const reader = new FrameReader();
    for (let i = 0; i < MAX_MESSAGE_BYTES / FRAME_BYTES; i++) reader.read(part);
    assert.throws(() => reader.read(part), RangeError);
  });

  it('that are broken are refused', () => {
    const broken = [[0x0a], [0x0a, 5, 1], [0x0b, 1], Array<number>(12).fill(0xff), [0x10], [0x0a, 0x80]];
    for (const bytes of broken) assert.throws(() => new FrameReader().read(Buffer.from(bytes)), RangeError);
    for (const text of ['', '{"a":', 'nothing']) {
      const frame = Buffer.concat([Buffer.from([0x0a, text.length]), Buffer.from(text)]);
      assert.throws(() => new FrameReader().read(frame), SyntaxError);
    }
    // Parts without bytes would not be bounded.
    assert.throws(() => new FrameReader().read(Buffer.from([0x10, 1])), RangeError);
  });
});
