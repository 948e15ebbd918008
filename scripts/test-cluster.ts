/**
 * `npm run test:cluster [-- PATH… OPTION-OF-NODE…]`: tests with a real Kubernetes on this machine, one file after the other. The cluster is brought up when it is
 * not, and then taken down at the end; one that ran before stays as the tests leave it. As root, on Debian or what is made of it (docs/test-cluster.md).
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { ensurePrograms } from '../bench/packages.ts';
import { takeDown } from '../test/cluster/machine/down.ts';
import { withLock } from '../test/cluster/machine/state.ts';
import { bringUp } from '../test/cluster/machine/up.ts';

const root = join(import.meta.dirname, '..');
const ONE_FILE_MS = 15 * 60_000;
/** Some of these want a cluster into which nobody has installed dormouse. In a run of their own: node sorts the files of one. */
const FIRST = ['test/cluster/chart', 'test/cluster/crd'];

async function main(args: string[]): Promise<number> {
  const paths = args.filter((arg) => !arg.startsWith('-'));
  const options = args.filter((arg) => arg.startsWith('-'));
  const files = (paths.length === 0 ? ['test/cluster'] : paths).flatMap((path) =>
    path.endsWith('.test.ts') ? [path] : globSync(`${path}/**/*.test.ts`, { cwd: root }),
  );
  if (files.length === 0) {
    console.error(`No test is at ${paths.join(', ')}.`);
    return 2;
  }
  ensurePrograms(['redis-server', 'prometheus']);
  const { steps, seconds } = await bringUp({});
  console.error(`cluster: ${steps.join(', ') || 'was up'} (${seconds.toFixed(1)} s)`);
  try {
    const isFirst = (file: string): boolean =>
      FIRST.some((folder) => relative(root, resolve(root, file)).startsWith(folder));
    // Ctrl-C and the like reach the tests too; the cluster is taken down after them.
    let interrupted = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (interrupted = true));
    let code = 0;
    for (const some of [files.filter(isFirst), files.filter((file) => !isFirst(file))]) {
      if (some.length === 0 || interrupted) continue;
      code = Math.max(code, await runTests([`--test-timeout=${ONE_FILE_MS}`, ...options, ...some]));
    }
    return code;
  } finally {
    if (steps.includes('control plane')) await withLock(takeDown);
  }
}

async function runTests(args: string[]): Promise<number> {
  const child = spawn(process.execPath, ['--test', '--test-concurrency=1', ...args], { cwd: root, stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
