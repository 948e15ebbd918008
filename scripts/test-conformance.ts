/**
 * `npm run test:conformance`: h2spec, which is built from its Go module into ~/.cache/dormouse where it is missing, against a running gateway. What it finds
 * is held against docs/conformance.md.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensureH2spec } from '../test/conformance/h2spec.ts';

try {
  ensureH2spec();
  const result = spawnSync(
    process.execPath,
    [
      join(import.meta.dirname, 'test.ts'),
      join(import.meta.dirname, '../test/conformance'),
      '--',
      ...process.argv.slice(2),
    ],
    { stdio: 'inherit' },
  );
  process.exitCode = result.status ?? 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
