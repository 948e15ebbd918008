/**
 * `npm test`: lint, format, types, then every test with node's own runner, whose summary is the last thing printed.
 *
 *   scripts/test.ts [PATH…] [--only-checks] [-- OPTION-OF-NODE…]
 *
 * A path (a file, a folder or a pattern) runs only the tests there, without the checks.
 */
import { spawn } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const WHOLE_RUN_MS = 12 * 60_000;
const ONE_FILE_MS = 120_000;

const CHECKS: readonly { name: string; command: string[] }[] = [
  { name: 'lint', command: ['node_modules/oxlint/bin/oxlint', '--deny-warnings'] },
  { name: 'format', command: ['node_modules/oxfmt/bin/oxfmt', '--check'] },
  { name: 'types', command: ['node_modules/typescript/bin/tsc', '--noEmit', '-p', '.'] },
];

async function main(args: string[]): Promise<number> {
  const split = args.includes('--') ? args.indexOf('--') : args.length;
  const paths = args.slice(0, split).filter((arg) => !arg.startsWith('--'));
  if (paths.length === 0) {
    const failed = await runChecks();
    if (failed.length > 0) {
      console.error(`\nFailed before any test was run: ${failed.join(', ')}. 'npm run format' repairs the format.`);
      return 1;
    }
    if (args.includes('--only-checks')) return 0;
  }
  const files = paths.length === 0 ? everyTest() : paths.flatMap(testsAt);
  if (files.length === 0) {
    console.error(`No test is at ${paths.join(', ')}.`);
    return 2;
  }
  return await node(
    [
      '--test',
      `--test-concurrency=${Math.max(2, availableParallelism())}`,
      `--test-timeout=${ONE_FILE_MS}`,
      ...args.slice(split + 1),
      ...files,
    ],
    'inherit',
  ).then((result) => result.code);
}

/** Tests that need programs from the distribution's packages are those of `npm run test:services`, those with h2spec of `npm run test:conformance`, those with Kubernetes of `npm run test:cluster`. */
function everyTest(): string[] {
  return globSync(['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts', 'examples/**/*.test.ts'], {
    cwd: root,
    exclude: ['test/cluster/**', 'test/services/**', 'test/conformance/**', '**/node_modules/**'],
  }).toSorted();
}

function testsAt(path: string): string[] {
  const absolute = statSync(path, { throwIfNoEntry: false }) === undefined ? null : relative(root, path) || '.';
  if (absolute === null) return globSync(path, { cwd: root });
  return absolute.endsWith('.ts') ? [absolute] : globSync(`${absolute}/**/*.test.ts`, { cwd: root }).toSorted();
}

async function runChecks(): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, command } of CHECKS) {
    const startedAt = performance.now();
    const { code, output } = await node(command, 'collect');
    const took = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
    console.log(`${code === 0 ? 'ok' : 'FAILED'}  ${name} (${took})`);
    if (code !== 0) {
      console.log(output);
      failed.push(name);
    }
  }
  return failed;
}

/** Runs this node with `args` in the root; ended by SIGKILL when the whole run takes longer than its bound. */
async function node(args: string[], output: 'inherit' | 'collect'): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: ['ignore', output === 'inherit' ? 'inherit' : 'pipe', output === 'inherit' ? 'inherit' : 'pipe'],
  });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
  const bound = setTimeout(() => {
    console.error(`Not done after ${WHOLE_RUN_MS / 60_000} minutes: ended.`);
    child.kill('SIGKILL');
  }, WHOLE_RUN_MS);
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 1));
  });
  clearTimeout(bound);
  return { code, output: Buffer.concat(chunks).toString('utf8') };
}

process.exitCode = await main(process.argv.slice(2));
