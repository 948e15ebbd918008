import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { makeFolder } from './make-folder.ts';

it('makes missing parents, gives the mode, leaves an existing folder alone, refuses a file', (context) => {
  const root = mkdtempSync(join(tmpdir(), 'dormouse-folder-'));
  context.after(() => rmSync(root, { recursive: true }));
  makeFolder(join(root, 'a/b/c'), 0o700);
  assert.equal(statSync(join(root, 'a/b/c')).mode & 0o777, 0o700);
  makeFolder(join(root, 'a/b/c'), 0o755);
  assert.equal(statSync(join(root, 'a/b/c')).mode & 0o777, 0o700);
  writeFileSync(join(root, 'file'), '');
  assert.throws(() => makeFolder(join(root, 'file'), 0o700), { code: 'ENOTDIR' });
});

// mkdirSync with `recursive` turned in a circle here, and `dormouse up` could not even be ended by SIGTERM.
it('says no where the system says no', { skip: process.platform !== 'linux' }, () => {
  assert.throws(() => makeFolder('/proc/nowhere/state', 0o700), { code: 'ENOENT' });
});
