/** The examples of docs/limits.md are accepted. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig } from '../../src/config/index.ts';

const page = readFileSync(new URL('../../docs/limits.md', import.meta.url), 'utf8');

test('the examples are accepted', () => {
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.equal(examples.length, 4);
  const start =
    'backends: { shop: { servers: [http://127.0.0.1:1] } }\nroutes:\n  - rules:\n      - backends: [{ name: shop }]\n';
  for (const example of examples) {
    const text = start + example.replaceAll(/^/gm, '        ');
    assert.doesNotThrow(
      () => parseConfig(text, { file: '/srv/dormouse.yaml', env: {}, registry: defaultRegistry(), cores: 2 }),
      example,
    );
  }
});
