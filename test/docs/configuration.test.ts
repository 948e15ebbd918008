/** docs/configuration.md and the schema hold each other: every key is there, no key is stale, the defaults are the real ones, the examples are accepted. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { jsonSchema, parseConfig } from '../../src/config/index.ts';
import { allKeys } from '../../src/config/known-keys.ts';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';
import { fileSchema } from '../../src/config/schema/file.ts';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const rows = new Map([...page.matchAll(/^\| `([^`]+)` \| ([^|]*) \|/gm)].map((match) => [match[1]!, match[2]!.trim()]));
const registry = defaultRegistry();
const known = allKeys(fileSchema(registry).whole).map((key) => key.replaceAll('*', 'NAME'));

test('every key that the file may have is documented', () => {
  const leaves = known.filter(
    (key) => !known.some((other) => other.startsWith(`${key}.`) || other.startsWith(`${key}[`)),
  );
  assert.deepEqual(
    leaves.filter((key) => !rows.has(key)),
    [],
  );
});

test('no key is documented that does not exist', () => {
  assert.deepEqual(
    [...rows.keys()].filter((key) => !known.includes(key)),
    [],
  );
});

test('the defaults in the page are those of the schema', () => {
  const defaults = new Map<string, unknown>();
  const visit = (schema: Record<string, unknown>, at: string): void => {
    for (const [name, child] of Object.entries(
      (schema['properties'] ?? {}) as Record<string, Record<string, unknown>>,
    )) {
      const key = at === '' ? name : `${at}.${name}`;
      if ('default' in child && child['properties'] === undefined) defaults.set(key, child['default']);
      visit(child, key);
    }
    if (schema['items'] !== undefined) visit(schema['items'] as Record<string, unknown>, `${at}[]`);
    const any = schema['additionalProperties'];
    if (typeof any === 'object' && any !== null) visit(any as Record<string, unknown>, `${at}.NAME`);
    for (const branch of [
      ...((schema['anyOf'] ?? []) as Record<string, unknown>[]),
      ...((schema['oneOf'] ?? []) as Record<string, unknown>[]),
    ])
      visit(branch, at);
  };
  visit(jsonSchema(registry), '');
  const spelled = (value: unknown): string => {
    if (Array.isArray(value)) return `[${value.map(String).join(', ')}]`;
    return typeof value === 'object' ? JSON.stringify(value) : String(value);
  };
  const wrong: string[] = [];
  for (const [key, value] of defaults) {
    const written = rows.get(key);
    if (written !== undefined && written !== `\`${spelled(value)}\``)
      wrong.push(`${key}: ${spelled(value)}, the page says ${written}`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(defaults.size > 60, `only ${defaults.size} defaults found`);
});

const authority = await Authority.create();
const pair = await authority.issue({ names: ['shop.example.com'] });
/** Whatever an example names is there. */
const files = {
  stat: () => ({ isFile: () => true, size: 1 }),
  read: (path: string) => Buffer.from(path.endsWith('.key') ? pair.key : path.endsWith('.pem') ? pair.cert : 'x'),
};

test('the examples of the page are accepted', () => {
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.ok(examples.length >= 9);
  const backends =
    'backends:\n' +
    ['shop', 'api-v1', 'api-v2', 'database'].map((name) => `  ${name}: { servers: [http://127.0.0.1:1] }\n`).join('') +
    '  cache: { servers: [tcp://127.0.0.1:1] }\n';
  for (const example of examples) {
    const indented = example.replaceAll(/^/gm, '    ');
    const file = /^(?:scale|wake|balance):/.test(example)
      ? `backends:\n  database: { process: { command: [x] } }\n  app:\n    process: { command: [x] }\n${indented}`
      : example.startsWith('filters:')
        ? `${backends}routes:\n  - rules:\n      - backends: [{ name: shop }]\n${example.replaceAll(/^/gm, '        ')}`
        : example.includes('backends:\n')
          ? example
          : backends + example;
    const whole =
      file.includes('routes:') || !file.startsWith(backends) ? file : `${file}routes: [{ backend: shop }]\n`;
    assert.doesNotThrow(
      () => parseConfig(whole, { file: '/srv/dormouse.yaml', env: {}, registry, files, cores: 2 }),
      example,
    );
  }
});
