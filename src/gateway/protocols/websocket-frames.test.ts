import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { closeFrame, FrameReader, pingFrame, PROTOCOL_ERROR, TOO_BIG } from './websocket-frames.ts';
import { frame } from './websocket.fixture.ts';

const reader = (more: Partial<ConstructorParameters<typeof FrameReader>[0]> = {}): FrameReader =>
  new FrameReader({ masked: true, extended: false, ...more });

function violationOf(bytes: Buffer, more: Partial<ConstructorParameters<typeof FrameReader>[0]> = {}): number {
  const it = reader(more);
  it.read(bytes, 0, bytes.length, false);
  return it.violation;
}

test('frame boundaries are found wherever the bytes are cut', () => {
  const frames = fc.array(
    fc.oneof(
      fc.record({ opcode: fc.constant(2), length: fc.oneof(fc.nat(130), fc.constant(65_535), fc.constant(65_536)) }),
      fc.record({ opcode: fc.constantFrom(9, 10), length: fc.nat(125) }),
    ),
    { minLength: 1, maxLength: 8 },
  );
  fc.assert(
    fc.property(frames, fc.boolean(), fc.infiniteStream(fc.integer({ min: 1, max: 40_000 })), (list, masked, cuts) => {
      const parts = list.map(({ opcode, length }) => frame({ opcode, masked, body: Buffer.alloc(length, 0xff) }));
      const bytes = Buffer.concat(parts);
      const ends = new Set<number>();
      let sum = 0;
      for (const part of parts) ends.add((sum += part.length));
      const it = reader({ masked });
      const found = new Set<number>();
      for (let start = 0; start < bytes.length;) {
        const end = Math.min(bytes.length, start + cuts.next().value);
        for (let at = start; at < end;) {
          at = it.read(bytes, at, end, true);
          if (it.atBoundary) found.add(at);
        }
        start = end;
      }
      assert.equal(it.violation, 0);
      assert.deepEqual(found, ends);
    }),
    { numRuns: 300 },
  );
});

test('every byte by itself', () => {
  const bytes = Buffer.concat([
    frame({ opcode: 1, fin: false, masked: true, body: Buffer.alloc(300, 'a') }),
    frame({ opcode: 9, masked: true, body: Buffer.from('in between') }),
    frame({ opcode: 0, masked: true, body: Buffer.alloc(70_000, 'b') }),
    frame({ opcode: 8, masked: true, body: Buffer.from([3, 232]) }),
  ]);
  const it = reader();
  for (let i = 0; i < bytes.length; i++) it.read(bytes, i, i + 1, false);
  assert.equal(it.violation, 0);
  assert.equal(it.atBoundary, true);
  assert.equal(it.closed, true);
});

const whole = { masked: true, body: Buffer.from('x') };
const violations: [string, Buffer, number][] = [
  ['a client frame without a mask (5.1)', frame({ opcode: 1, body: Buffer.from('x') }), PROTOCOL_ERROR],
  ['a reserved bit without an extension (5.2)', frame({ ...whole, opcode: 1, reserved: 4 }), PROTOCOL_ERROR],
  ['an unknown data opcode (5.2)', frame({ ...whole, opcode: 3 }), PROTOCOL_ERROR],
  ['an unknown control opcode (5.2)', frame({ ...whole, opcode: 11 }), PROTOCOL_ERROR],
  ['a control frame of 126 bytes (5.5)', frame({ opcode: 9, masked: true, body: Buffer.alloc(126) }), PROTOCOL_ERROR],
  ['a fragmented control frame (5.5)', frame({ ...whole, opcode: 9, fin: false }), PROTOCOL_ERROR],
  ['a continuation of nothing (5.4)', frame({ ...whole, opcode: 0 }), PROTOCOL_ERROR],
  [
    'a new message between fragments (5.4)',
    Buffer.concat([frame({ ...whole, opcode: 1, fin: false }), frame({ ...whole, opcode: 1 })]),
    PROTOCOL_ERROR,
  ],
  ['a length with its highest bit set (5.2)', Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1]), PROTOCOL_ERROR],
  ['a length beyond all numbers', Buffer.from([0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255]), TOO_BIG],
];
for (const [name, bytes, code] of violations) test(name, () => assert.equal(violationOf(bytes), code));

test('with an extension reserved bits, opcodes and fragments are its business; masks and control frames stay ours', () => {
  assert.equal(violationOf(frame({ ...whole, opcode: 1, reserved: 4 }), { extended: true }), 0);
  assert.equal(violationOf(frame({ ...whole, opcode: 3 }), { extended: true }), 0);
  assert.equal(violationOf(frame({ ...whole, opcode: 0 }), { extended: true }), 0);
  assert.equal(violationOf(frame({ opcode: 1, body: Buffer.from('x') }), { extended: true }), PROTOCOL_ERROR);
  assert.equal(
    violationOf(frame({ opcode: 9, masked: true, body: Buffer.alloc(126) }), { extended: true }),
    PROTOCOL_ERROR,
  );
});

test('a server frame with a mask (5.1)', () => {
  assert.equal(violationOf(frame({ ...whole, opcode: 1 }), { masked: false }), PROTOCOL_ERROR);
});

test('the bad frame is cut off, what came before it is not', () => {
  const good = frame({ ...whole, opcode: 1 });
  const bytes = Buffer.concat([good, frame({ opcode: 1, body: Buffer.from('no mask') })]);
  const it = reader();
  assert.equal(it.read(bytes, 0, bytes.length, false), good.length);
});

test('the answer to our ping is not taken for a sign of life of the application', () => {
  const it = reader();
  const body = pingFrame().subarray(2);
  const pong = frame({ opcode: 10, masked: true, body });
  it.awaitsPong = true;
  for (let i = 0; i < pong.length; i++) it.read(pong, i, i + 1, false);
  assert.equal(it.heard, false);
  it.read(pong, 0, pong.length, false);
  assert.equal(it.heard, true, 'nobody waits for a second one');
  assert.equal(violationOf(pingFrame(), { masked: false }), 0);
});

test('Close frames are as RFC 6455 5.5.1 has them', () => {
  assert.deepEqual([...closeFrame(1001, null)], [0x88, 2, 3, 0xe9]);
  const masked = closeFrame(1001, 0x01020304);
  assert.deepEqual([...masked], [0x88, 0x82, 1, 2, 3, 4, 3 ^ 1, 0xe9 ^ 2]);
  const it = reader();
  it.read(masked, 0, masked.length, false);
  assert.equal(it.violation, 0);
  assert.equal(it.closed, true);
  // Whatever follows is not looked at.
  it.read(Buffer.from([0, 0, 0]), 0, 3, false);
  assert.equal(it.violation, 0);
});
