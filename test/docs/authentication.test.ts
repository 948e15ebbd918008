/** The examples of docs/authentication.md are accepted, and its list of headers is the one in the code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig } from '../../src/config/index.ts';
import { WELL_KNOWN_IDENTITY_HEADERS } from '../../src/gateway/auth/identity-headers.ts';

const page = readFileSync(new URL('../../docs/authentication.md', import.meta.url), 'utf8');

test('the examples are accepted', () => {
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.equal(examples.length, 4);
  const start =
    'backends: { shop: { servers: [http://127.0.0.1:1] }, auth: { process: { command: [x] } } }\nroutes:\n  - rules:\n      - backends: [{ name: shop }]\n';
  for (const example of examples) {
    const text = start + example.replaceAll(/^/gm, '        ');
    assert.doesNotThrow(
      () => parseConfig(text, { file: '/srv/dormouse.yaml', env: {}, registry: defaultRegistry(), cores: 2 }),
      example,
    );
  }
});

test('the headers that go are those of the code', () => {
  const list = page.slice(page.indexOf('**Identity headers'), page.indexOf('and those that the filter itself sets'));
  const named = [...list.matchAll(/`([A-Z][\w-]+)`/g)].map((match) => match[1]!.toLowerCase());
  assert.deepEqual(named, [...WELL_KNOWN_IDENTITY_HEADERS]);
});
