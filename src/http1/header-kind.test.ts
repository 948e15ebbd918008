import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HEADER_NAMES, headerKind } from './header-kind.ts';

function kindOf(name: string): number {
  const bytes = Buffer.from(name, 'latin1');
  return headerKind(bytes, 0, bytes.length);
}

test('every known name is found in any case, and nothing near it', () => {
  for (let kind = 1; kind < HEADER_NAMES.length; kind++) {
    const name = HEADER_NAMES[kind]!;
    assert.equal(kindOf(name), kind);
    assert.equal(kindOf(name.toUpperCase()), kind);
    assert.equal(kindOf(name.replace(/^[a-z]|-[a-z]/g, (start) => start.toUpperCase())), kind);
    assert.equal(kindOf(name.slice(0, -1)) === kind, false);
    assert.equal(kindOf(`${name}s`) === kind, false);
    assert.equal(kindOf(name.replace('-', '_')) === kind, !name.includes('-'));
  }
});

test('a name is known only when it is in the table', () => {
  const token = fc.string({
    unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~"),
    minLength: 1,
    maxLength: 30,
  });
  fc.assert(
    fc.property(token, (name) => kindOf(name) === Math.max(0, HEADER_NAMES.indexOf(name.toLowerCase()))),
    { numRuns: 2000 },
  );
});
