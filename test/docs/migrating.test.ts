/** docs/migrating.md: the keys that it leads to exist, its examples are accepted, and every key of the prototype has a row. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig } from '../../src/config/index.ts';
import { allKeys } from '../../src/config/known-keys.ts';
import { fileSchema } from '../../src/config/schema/file.ts';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';

const page = readFileSync(new URL('../../docs/migrating.md', import.meta.url), 'utf8');
const registry = defaultRegistry();
const known = new Set(allKeys(fileSchema(registry).whole).map((key) => key.replaceAll('*', 'NAME')));
const rows = [...page.matchAll(/^\| (.+?) \| (.+?) \| (.*?) ?\|$/gm)].filter(([, theirs]) => !/^-+$/.test(theirs!));

test('every key that the tables lead to exists', () => {
  const named = rows.filter(([, , ours]) => ours !== 'dormouse.yaml').map(([, , ours]) => ours!);
  assert.ok(named.length > 100);
  for (const ours of named) {
    if (ours === '–') continue;
    const keys = [...ours.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
    assert.ok(keys.length > 0, ours);
    for (const key of keys) assert.ok(known.has(key), key);
  }
});

test('the examples are accepted', async () => {
  const pair = await (await Authority.create()).issue({ names: ['shop.example.com'] });
  const files = {
    stat: () => ({ isFile: () => true, size: 1 }),
    read: (path: string) => Buffer.from(path.endsWith('.key') ? pair.key : pair.cert),
  };
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.equal(examples.length, 4);
  for (const example of examples) {
    const warnings: string[] = [];
    parseConfig(example, {
      file: '/srv/dormouse.yaml',
      env: {},
      registry,
      files,
      cores: 2,
      onWarning: ({ key, message }) => warnings.push(`${key}: ${message}`),
    });
    assert.deepEqual(warnings, []);
  }
});

test("every key of the prototype's configuration has a row", () => {
  const table = page.slice(page.indexOf('## The first prototype'));
  for (const key of [
    ...['id', 'url', 'weight', 'healthCheckPath', 'strategy', 'sessionSticky', 'sessionCookieName'],
    ...['failureRateThreshold', 'waitDurationInOpenState', 'ringBufferSizeInClosedState'],
    ...['ringBufferSizeInHalfOpenState', 'automaticTransitionFromOpenToHalfOpenEnabled', 'ssl', 'whitelistOnly'],
    ...['whitelist', 'blacklist', 'limit', 'window', 'pingInterval', 'timeout', 'reconnectTime', 'eventBufferSize'],
    'heartbeatInterval',
  ])
    assert.match(table, new RegExp(`^\\| [^|]*\\b${key}\\b`, 'm'), key);
});
