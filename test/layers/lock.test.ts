/** A fresh clone could not be installed: the lock file had been written against a registry without some platforms' packages. */
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { complete, missingFrom, type Lock } from '../../scripts/lock.ts';

const root = join(import.meta.dirname, '../..');
const text = readFileSync(join(root, 'package-lock.json'), 'utf8');

it('the lock file has an entry for the optional packages of every platform (npm run lock)', () => {
  assert.deepEqual([...missingFrom(JSON.parse(text) as Lock).keys()], []);
});

it('the lock file names no address of a registry', () => {
  assert.doesNotMatch(text, /"resolved"/);
});

it('a package that the registry did not serve is added with its platform', () => {
  const lock: Lock = {
    packages: {
      'node_modules/tool': {
        version: '1.2.3',
        dev: true,
        optionalDependencies: { '@tool/binding-linux-x64-musl': '1.2.3' },
      },
    },
  };
  assert.deepEqual(complete(lock), ['@tool/binding-linux-x64-musl']);
  assert.deepEqual(lock.packages['node_modules/@tool/binding-linux-x64-musl'], {
    version: '1.2.3',
    dev: true,
    optional: true,
    cpu: ['x64'],
    os: ['linux'],
    libc: ['musl'],
  });
});
