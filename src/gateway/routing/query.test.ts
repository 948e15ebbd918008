import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { queryValue } from './query.ts';

for (const [query, name, expected] of [
  ['', 'a', null],
  ['a=1', 'a', '1'],
  ['b=1&a=2&a=3', 'a', '2'],
  ['aa=1&a=2', 'a', '2'],
  ['a', 'a', ''],
  ['a=', 'a', ''],
  ['&&a=b=c', 'a', 'b=c'],
  ['a=%C3%A9+x%2b', 'a', 'é x+'],
  ['%61=1', 'a', '1'],
  ['a=%zz%', 'a', '%zz%'],
  ['b&a=1', 'a', '1'],
] as const) {
  test(`${name} in "${query}" is ${expected}`, () => assert.equal(queryValue(query, name), expected));
}

test('reads what URLSearchParams reads', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '=', '&', '+', '%41', '%26', '%3D', '%C3%A9') });
  fc.assert(
    fc.property(text, fc.constantFrom('a', 'b', 'A', 'é', ''), (query, name) => {
      // An empty name never comes from the file, and URLSearchParams takes "=x" for one.
      if (name !== '') assert.equal(queryValue(query, name), new URLSearchParams(query).get(name));
    }),
  );
});
