/** Each golden/*.yaml with what comes out of it: NAME.json, the compiled configuration, or NAME.txt, the errors. DORMOUSE_GOLDEN=write writes them anew. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { z } from 'zod';
import { Authority } from '../gateway/fixtures/certificates.ts';
import { ConfigError, renderIssue } from './config-error.ts';
import type { FileAccess } from './named-files.ts';
import { parseConfig } from './parse.ts';

const folder = new URL('./golden/', import.meta.url);
const write = process.env['DORMOUSE_GOLDEN'] === 'write';
const registry = {
  filters: {
    requestHeaders: z.strictObject({
      set: z.record(z.string(), z.string()).optional(),
      remove: z.array(z.string()).optional(),
    }),
    redirect: z.strictObject({ status: z.number().optional(), host: z.string().optional() }),
  },
  strategies: ['round-robin', 'random', 'consistent-hash'],
};

const authority = await Authority.create();
const pair = await authority.issue({ names: ['shop.example.com'] });

/** The only files that there are. */
const FILES: Readonly<Record<string, string>> = {
  '/srv/app/tls/c.pem': pair.cert,
  '/srv/app/tls/k.pem': pair.key,
  '/etc/ca.pem': authority.pem,
  '/srv/app/sorry.html': '<h1>Sorry</h1>',
};
const files: FileAccess = {
  stat(path) {
    if (path === '/srv/app') return { isFile: () => false, size: 4096 };
    if (FILES[path] === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
    return { isFile: () => true, size: FILES[path].length };
  },
  read: (path) => Buffer.from(FILES[path]!),
};

function outcome(yaml: string): { kind: 'json' | 'txt'; text: string } {
  const warnings: string[] = [];
  try {
    const config = parseConfig(yaml, {
      file: '/srv/app/dormouse.yaml',
      env: { NAME: '42', MIN: '1', TOKEN: 'open-sesame', URL: 'ftp://user:open-sesame@files' },
      registry,
      files,
      cores: 4,
      onWarning: (issue) => warnings.push(renderIssue(issue)),
    });
    return {
      kind: 'json',
      text: `${JSON.stringify(warnings.length > 0 ? { warnings, ...config } : config, null, 2)}\n`,
    };
  } catch (error) {
    assert.ok(error instanceof ConfigError, String((error as Error).stack));
    return { kind: 'txt', text: `${error.message}\n` };
  }
}

for (const name of readdirSync(folder).filter((file) => file.endsWith('.yaml'))) {
  test(`golden ${name}`, () => {
    const { kind, text } = outcome(readFileSync(new URL(name, folder), 'utf8'));
    const beside = (extension: string): URL => new URL(name.replace(/yaml$/, extension), folder);
    if (write) {
      rmSync(beside(kind === 'json' ? 'txt' : 'json'), { force: true });
      writeFileSync(beside(kind), text);
    }
    assert.ok(existsSync(beside(kind)), `no ${kind} beside ${name}: got ${text.slice(0, 500)}`);
    const expected = readFileSync(beside(kind), 'utf8');
    // The formatter lays out JSON in its own way.
    if (kind === 'json') assert.deepEqual(JSON.parse(text), JSON.parse(expected));
    else assert.equal(text, expected);
  });
}

test('all documented defaults together mean the same as the smallest file', () => {
  const read = (name: string): string => readFileSync(new URL(name, folder), 'utf8');
  assert.equal(outcome(read('all-defaults.yaml')).text, outcome(read('smallest.yaml')).text);
});
