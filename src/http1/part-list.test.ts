import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PartList } from './part-list.ts';

describe('parts of a body', () => {
  it('come out as they went in, whatever their sizes', () => {
    const size = fc.oneof({ weight: 5, arbitrary: fc.nat(5) }, fc.nat(3000));
    const step = fc.oneof({ weight: 3, arbitrary: size }, fc.constant('shift' as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const list = new PartList();
        let put = '';
        let got = '';
        let n = 0;
        for (const one of steps) {
          if (one === 'shift') got += list.shift()?.toString('latin1') ?? '';
          else {
            const text = String.fromCharCode(97 + (n++ % 26)).repeat(one);
            put += text;
            list.push(Buffer.from(text));
          }
          assert.equal(list.bytes, put.length - got.length);
        }
        assert.equal(got + list.whole().toString('latin1'), put);
        assert.equal(
          [...list].reduce((sum, part) => sum + part.length, 0),
          list.bytes,
        );
      }),
    );
  });

  it('are few when they are small', () => {
    const list = new PartList();
    for (let i = 0; i < 65_536; i++) list.push(Buffer.from('x'));
    assert.ok(list.length < 40, String(list.length));
    assert.equal(list.whole().length, 65_536);
  });
});
