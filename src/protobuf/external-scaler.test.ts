import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import {
  decodeActive,
  decodeMetricsRequest,
  decodeRef,
  decodeSpecs,
  decodeValues,
  encodeActive,
  encodeMetricsRequest,
  encodeRef,
  encodeSpecs,
  encodeValues,
} from './external-scaler.ts';

test('what a protobuf library writes is read', () => {
  const entry = new BinaryWriter().tag(1, WireType.LengthDelimited).string('backend');
  entry.tag(2, WireType.LengthDelimited).string('shop/users');
  const ref = new BinaryWriter().tag(1, WireType.LengthDelimited).string('users');
  ref.tag(9, WireType.Varint).uint64(1n << 63n);
  ref.tag(10, WireType.Bit32).fixed32(7);
  ref.tag(2, WireType.LengthDelimited).string('shöp').tag(3, WireType.LengthDelimited).bytes(entry.finish());
  const request = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(ref.finish());
  request.tag(2, WireType.LengthDelimited).string('http');
  const read = decodeMetricsRequest(Buffer.from(request.finish()));
  assert.equal(read.metricName, 'http');
  assert.deepEqual(
    { ...read.ref, scalerMetadata: { ...read.ref.scalerMetadata } },
    { name: 'users', namespace: 'shöp', scalerMetadata: { backend: 'shop/users' } },
  );
});

test('a protobuf library reads what is written', () => {
  const reader = new BinaryReader(encodeValues([{ metricName: 'jobs', value: 2.5 }]));
  assert.deepEqual(reader.tag(), [1, WireType.LengthDelimited]);
  const value = new BinaryReader(reader.bytes());
  assert.deepEqual([value.tag()[0], value.string()], [1, 'jobs']);
  assert.deepEqual([value.tag()[0], Number(value.int64())], [2, 3]);
  assert.deepEqual([value.tag()[0], value.double()], [3, 2.5]);
  assert.equal(reader.pos, reader.len);
});

test('each message survives the way', () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.dictionary(fc.string(), fc.string(), { maxKeys: 20, noNullPrototype: false }),
      fc.array(fc.record({ metricName: fc.string(), value: fc.nat() }), { maxLength: 5 }),
      fc.double({ min: 0, max: 1e15, noNaN: true }),
      (text, scalerMetadata, values, target) => {
        const name = text.toWellFormed();
        const ref = { name, namespace: 'shop', scalerMetadata };
        const back = decodeMetricsRequest(encodeMetricsRequest({ ref, metricName: name }));
        assert.equal(back.metricName, name);
        assert.deepEqual({ ...back.ref.scalerMetadata }, { ...decodeRef(encodeRef(ref)).scalerMetadata });
        const wellFormed = values.map(({ metricName, value }) => ({ metricName: metricName.toWellFormed(), value }));
        assert.deepEqual(decodeValues(encodeValues(wellFormed)), wellFormed);
        assert.deepEqual(decodeSpecs(encodeSpecs([{ metricName: 'x', target }])), [{ metricName: 'x', target }]);
      },
    ),
  );
  assert.deepEqual([decodeActive(encodeActive(true)), decodeActive(encodeActive(false))], [true, false]);
  // Negative numbers that others may send.
  const negative = new BinaryWriter().tag(1, WireType.LengthDelimited).string('x').tag(2, WireType.Varint).int64(-3);
  const list = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(negative.finish());
  assert.deepEqual(decodeValues(Buffer.from(list.finish())), [{ metricName: 'x', value: -3 }]);
});

test('what is no message is refused, and never reads on', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      for (const decode of [decodeMetricsRequest, decodeRef, decodeActive, decodeSpecs, decodeValues]) {
        try {
          decode(Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
        }
      }
    }),
  );
  assert.throws(() => decodeRef(Buffer.from([0x0a, 0xff, 0xff, 0x7f])), /ends within a field/);
  assert.throws(() => decodeRef(Buffer.alloc(5 * 1024 * 1024)), /too long/);
  const entry = Buffer.from([0x1a, 0x02, 0x0a, 0x00]);
  assert.throws(() => decodeRef(Buffer.concat(Array.from({ length: 101 }, () => entry))), /more than 100/);
});
