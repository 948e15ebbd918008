/** docs/queue-demo.md: its examples are accepted, its plots are there; and so are the demo's configurations. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig } from '../../src/config/index.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/queue-demo.md'), 'utf8');
const options = { env: {}, registry: defaultRegistry(), cores: 2 };

test('the examples are accepted', () => {
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.equal(examples.length, 1);
  for (const example of examples) parseConfig(example, { ...options, file: '/srv/dormouse.yaml' });
});

test('what it shows and links to is there', () => {
  for (const [, path] of page.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g))
    assert.ok(existsSync(join(root, 'docs', path!)), path!);
});

for (const name of ['dormouse', 'stream', 'schedule']) {
  test(`examples/queue-demo/${name}.yaml is accepted as it is`, () => {
    const file = join(root, 'examples/queue-demo', `${name}.yaml`);
    const { backends } = parseConfig(readFileSync(file, 'utf8'), { ...options, file });
    assert.deepEqual(
      backends.map(({ name: backend, triggers }) => [backend, triggers.length]),
      [['worker', 1]],
    );
  });
}
