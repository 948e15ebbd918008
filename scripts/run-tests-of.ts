import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Runs the tests of a folder, with this process' arguments, after `install` has put there what they need; what it throws is printed. Sets the exit code. */
export function runTestsOf(folder: string, install: () => void): void {
  try {
    install();
    const result = spawnSync(
      process.execPath,
      [join(import.meta.dirname, 'test.ts'), join(import.meta.dirname, '..', folder), '--', ...process.argv.slice(2)],
      { stdio: 'inherit' },
    );
    process.exitCode = result.status ?? 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
