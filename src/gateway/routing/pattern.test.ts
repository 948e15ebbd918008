import assert from 'node:assert/strict';
import { test } from 'node:test';
import { literalPrefix } from './pattern.ts';

for (const [source, expected] of [
  ['/users/[0-9]+', '/users/'],
  ['^/users/.*', '/users/'],
  ['/ab*', '/a'],
  ['/ab?', '/a'],
  ['/ab+', '/ab'],
  ['/ab{0,1}', '/a'],
  ['/a\\.b', '/a'],
  ['/a|/b', ''],
  ['(?i)/a', ''],
  ['', ''],
  ['*', ''],
  ['/plain', '/plain'],
] as const) {
  test(`every match of ${source} begins with "${expected}"`, () => assert.equal(literalPrefix(source), expected));
}
