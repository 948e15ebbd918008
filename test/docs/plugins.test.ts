/** docs/plugins.md: its modules have the right types and are plugins, its keys are those of the file, its links lead somewhere. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadPlugin } from '../../src/plugins/load-plugin.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/plugins.md'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'dormouse-docs-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const examples = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map((match, index) => {
  const path = join(folder, `example-${index}.ts`);
  writeFileSync(path, match[1]!);
  return path;
});

test('the examples are plugins', async () => {
  assert.equal(examples.length, 2);
  for (const path of examples) await loadPlugin({ path, version: '1' });
});

test('the examples have the types that authors get', () => {
  const compilerOptions = {
    paths: { 'dormouse/plugin': [join(root, 'src/plugins/plugin.ts')] },
    typeRoots: [join(root, 'node_modules/@types')],
  };
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [`${folder}/*.ts`] };
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', folder],
    { encoding: 'utf8' },
  );
  // What is imported is checked too; only what is said of the examples counts here.
  const ofExamples = stdout.split('\n').filter((line) => line.includes('example-'));
  assert.deepEqual([ofExamples, status === 0 || stdout !== ''], [[], true]);
});

test('files that the page names are there', () => {
  const links = [...page.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1]!);
  assert.ok(links.length >= 6);
  for (const link of links) assert.ok(existsSync(join(root, 'docs', link)), link);
});
