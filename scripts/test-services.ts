/**
 * `npm run test:services`: tests with programs from the distribution's packages (a real browser, Prometheus, curl, wrk, h2load), which are installed by apt-get
 * where they are missing (as root; otherwise the line to run is printed).
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ensurePrograms } from '../bench/packages.ts';

try {
  ensurePrograms(['prometheus', 'promtool', 'curl', 'wrk', 'h2load', 'nginx', 'chromium', 'redis-server']);
  const result = spawnSync(
    process.execPath,
    [
      join(import.meta.dirname, 'test.ts'),
      join(import.meta.dirname, '../test/services'),
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
