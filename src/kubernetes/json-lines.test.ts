import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { JsonLines } from './json-lines.ts';

it('gives the same values wherever the chunks end', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.array(fc.nat(30)), (values, cuts) => {
      const whole = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
      const lines = new JsonLines(1_000_000);
      const found: unknown[] = [];
      let at = 0;
      for (const cut of cuts) {
        lines.push(whole.subarray(at, at + cut), (value) => found.push(value));
        at += cut;
      }
      lines.push(whole.subarray(at), (value) => found.push(value));
      assert.deepEqual(found, JSON.parse(JSON.stringify(values)));
    }),
  );
});

it('a line is bounded, whether it comes at once or in pieces', () => {
  assert.throws(() => new JsonLines(10).push(Buffer.from('"0123456789"\n'), () => {}), { code: 'DORMOUSE_API_ANSWER' });
  const lines = new JsonLines(10);
  lines.push(Buffer.from('"01234'), () => {});
  assert.throws(() => lines.push(Buffer.from('56789'), () => {}), /larger than 10 bytes/);
});
