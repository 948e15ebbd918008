/** docs/triggers.md: its examples are accepted, every trigger is in it, and the formula's words are all of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig } from '../../src/config/index.ts';
import { ObjectCompiler } from '../../src/config/objects/object-compiler.ts';
import { BINARY_OPERATORS, FORMULA_FUNCTIONS } from '../../src/model/formula.ts';
import { triggers } from '../../src/triggers/registry.ts';

const page = readFileSync(new URL('../../docs/triggers.md', import.meta.url), 'utf8');
const registry = defaultRegistry();

test('every example is accepted', () => {
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.ok(examples.length >= 5);
  for (const text of examples) {
    if (text.startsWith('apiVersion')) {
      const compiled = new ObjectCompiler(registry).backend(parse(text) as never);
      assert.ok('backend' in compiled, JSON.stringify(compiled));
    } else parseConfig(text, { file: '/srv/dormouse.yaml', env: {}, registry });
  }
});

test('every trigger has its line, and formulas have no other words', () => {
  const lines = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]!);
  assert.deepEqual(lines.toSorted(), Object.keys(triggers).toSorted());
  const words = page.slice(page.indexOf('Numbers, `+'), page.indexOf('nothing else, no more than'));
  for (const name of FORMULA_FUNCTIONS) assert.match(words, new RegExp(`\\b${name}\\b`));
  for (const operator of BINARY_OPERATORS) assert.ok(words.includes(operator) || /[<>=]/.test(operator), operator);
});
