import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

/** What a command loads is most of its time: `dormouse status` must not bring controller, gateway, zod, yaml or pino with it. */
test('status and help load only what they need', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dormouse-light-'));
  try {
    writeFileSync(join(folder, 'dormouse.yaml'), 'stateDir: elsewhere\nlisteners: []\n');
    const hooks = `
      import { registerHooks } from 'node:module';
      const loaded = [];
      registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
      process.on('exit', () => console.log(JSON.stringify(loaded)));
    `;
    const file = join(folder, 'hooks.mjs');
    writeFileSync(file, hooks);
    const main = new URL('./main.ts', import.meta.url).pathname;
    for (const args of [['status'], ['--help'], ['backend', 'list'], ['rm', 'shop'], ['__complete', 'wake', '']]) {
      const output = execFileSync(
        'sh',
        ['-c', '"$0" "$@" 2>/dev/null || true', process.execPath, '--import', file, main, ...args],
        { cwd: folder, encoding: 'utf8' },
      );
      const loaded: string[] = JSON.parse(output.trimEnd().split('\n').at(-1)!);
      assert.ok(loaded.some((url) => url.endsWith('/cli.ts')));
      const heavy = loaded.filter((url) =>
        /\/src\/(controller|gateway|drivers|supervisor|http1|link|autoscaling)\/|node_modules\/(zod|yaml|pino|sonic-boom|re2js)\/|commands\/up\.ts/.test(
          url,
        ),
      );
      assert.deepEqual(heavy, []);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
