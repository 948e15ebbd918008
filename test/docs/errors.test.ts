/** docs/errors.md and the codes in src/ hold each other: every code is explained, none is stale. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/errors.md', root), 'utf8');
const listed = [...page.matchAll(/^\| `(DORMOUSE_[A-Z0-9_]+)` \| ([^|]+) \| ([^|]+) \|$/gm)];
const names = listed.map((match) => match[1]!);

/** Names that stand as text in shipped code (not in comments): error codes, and the variables that dormouse sets. */
function namesInCode(): Set<string> {
  const found = new Set<string>();
  for (const entry of readdirSync(new URL('src/', root), { recursive: true, withFileTypes: true })) {
    const shipped =
      entry.isFile() && entry.name.endsWith('.ts') && !/\.(?:test|fixture|contract)\.ts$/.test(entry.name);
    if (!shipped || /[\\/]fixtures?(?:[\\/]|$)/.test(entry.parentPath)) continue;
    const code = readFileSync(`${entry.parentPath}/${entry.name}`, 'utf8');
    for (const match of code.matchAll(/'(DORMOUSE_[A-Z0-9_]+)'/g)) found.add(match[1]!);
  }
  return found;
}

const inCode = namesInCode();

test('every code in src/ is explained in docs/errors.md', () => {
  assert.deepEqual([...inCode].filter((code) => !names.includes(code)).sort(), []);
});

test('docs/errors.md explains no code that is gone, and none twice', () => {
  assert.deepEqual(
    names.filter((code) => !inCode.has(code)),
    [],
  );
  assert.equal(new Set(names).size, names.length);
});

test('each row says what it means and what to do', () => {
  for (const [row, , meaning, remedy] of listed) {
    assert.ok(meaning!.trim().length > 10 && remedy!.trim().length > 5, row);
  }
});
