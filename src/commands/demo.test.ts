import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const MAIN = new URL('./main.ts', import.meta.url).pathname;

test('demo services: says what to try, tells of a wake, and Ctrl-C leaves nothing', { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dormouse-demo-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const child = spawn(process.execPath, [MAIN, 'demo', 'services'], {
    // Port 0: any that is free, so that the test can run beside a demo.
    env: { ...process.env, DORMOUSE_PORT: '0', DORMOUSE_OBSERVE_PORT: '0', DORMOUSE_STATE: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  let output = '';
  let errors = '';
  let changed: () => void = () => {};
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  const seen = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(output);
      if (found !== null) return found;
      assert.equal(child.exitCode, null, `ended early: ${output}${errors}`);
      await Promise.race([new Promise<void>((resolve) => (changed = resolve)), ended]);
    }
  };
  try {
    const [, api] = await seen(/curl (http:\S+\/api\/users\/123)/);
    await seen(/http:\S+\/slow +open it in a browser/);
    await seen(/What happens:\n/);
    const response = await fetch(api!, { headers: { connection: 'close' } });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-cold-start'), 'true');
    assert.equal(((await response.json()) as { id: number }).id, 123);
    await seen(/\d\d:\d\d:\d\d {2}api is awake after .*GET \/api\/users\/123/);
  } finally {
    child.kill('SIGINT');
  }
  const [code] = await ended;
  assert.equal(code, 0, errors);
  assert.match(output, /Ended; nothing is left running\.\n$/);
  assert.equal(errors, '');
  assert.ok(!(await readdir(folder)).includes('control.sock'));
});
