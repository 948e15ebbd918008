/**
 * `npm run demo:spike [-- --write]`: the queue demo's scenario. Depth jumps from zero to 5,000 in seconds, workers go from zero to twenty, back to a few
 * gradually, and to zero. Prints what was measured; fails when a message was lost or done twice. With --write the samples become docs/queue-spike.svg.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Flow } from '../src/commands/queue/flow.ts';
import { spikeFigures, spikePlot, type SpikeSample } from './queue-spike-plot.ts';
import { runProgram, startProgram, type Program } from './processes.ts';

const ROOT = join(import.meta.dirname, '..');
const DORMOUSE = join(ROOT, 'src/commands/main.ts');
const BOUND_MS = 300_000;
const { values } = parseArgs({
  options: {
    messages: { type: 'string', default: '5000' },
    workers: { type: 'string', default: '20' },
    work: { type: 'string', default: '50' },
    length: { type: 'string', default: '100' },
    source: { type: 'string', default: 'list' },
    // In a cluster, whose Backends have at most ten workers in the demo.
    kubeconfig: { type: 'string', default: '' },
    by: { type: 'string', default: 'dormouse' },
    image: { type: 'string', default: '' },
    'server-image': { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const messages = Number(values.messages);
const most = Number(values.workers);

const inCluster = values.kubeconfig !== '';
const plot = inCluster ? 'docs/queue-spike-cluster.svg' : 'docs/queue-spike.svg';
const folder = mkdtempSync(join(tmpdir(), 'dormouse-spike-'));
const state = join(folder, 'demo');
const env = {
  QUEUE_DEMO_MAX: values.workers,
  QUEUE_DEMO_IDLE: '5s',
  QUEUE_DEMO_DELAY: '3s',
};
const where = inCluster ? ['--namespace', 'queue-spike', '--kubeconfig', values.kubeconfig] : ['--folder', state];
const dormouse = (...args: string[]): string[] => [process.execPath, DORMOUSE, ...args, ...where];
const load = ['--source', values.source, '--work', values.work, '--per-worker', values.length];
const images = [
  ...(values.image === '' ? [] : ['--image', values.image]),
  ...(values['server-image'] === '' ? [] : ['--server-image', values['server-image']]),
];

let demo: Program | null = null;
let watching: Program | null = null;
try {
  const early = Promise.withResolvers<never>();
  early.promise.catch(() => {});
  if (inCluster) {
    await runProgram(dormouse('demo', 'queue', 'up', ...load, '--by', values.by, ...images), { core: null }, BOUND_MS);
  } else {
    const up = Promise.withResolvers<void>();
    demo = startProgram(dormouse('demo', 'queue', 'up', ...load), {
      core: null,
      env,
      onLine: (line) => line.startsWith('Ctrl-C ends it') && up.resolve(),
    });
    void demo.ended.then((code) => early.reject(new Error(`the demo ended with ${code}:\n${demo?.errors()}`)));
    await Promise.race([up.promise, early.promise]);
  }

  const samples: SpikeSample[] = [];
  const over = Promise.withResolvers<void>();
  const seen = Promise.withResolvers<void>();
  watching = startProgram(dormouse('demo', 'queue', 'status', '--watch', '--json'), {
    core: null,
    onLine: (line) => {
      const flow = JSON.parse(line) as Flow;
      if (flow.stats === null) return;
      const { depth, inFlight, done, taken, returned, repeated } = flow.stats;
      const workers = flow.stages.at(-1)?.value ?? 0;
      const desired = flow.stages.at(-2)?.value ?? 0;
      samples.push({ atMs: flow.stats.atMs, depth, inFlight, done, taken, returned, repeated, workers, desired });
      seen.resolve();
      if (done >= messages && workers === 0) over.resolve();
    },
  });
  // So that the plot begins before the spike does.
  await Promise.race([seen.promise, early.promise]);
  const beganMs = Date.now();
  await Promise.race([
    runProgram(dormouse('queue', 'enqueue', String(messages)), { core: null }, BOUND_MS),
    early.promise,
  ]);
  const appendedMs = Date.now();
  const bound = setTimeout(() => over.reject(new Error(`not over after ${BOUND_MS / 1000} s`)), BOUND_MS);
  await Promise.race([over.promise, early.promise]).finally(() => clearTimeout(bound));

  const figures = spikeFigures({ samples, messages, most, beganMs, appendedMs });
  console.log(figures.lines.join('\n'));
  if (values.write) {
    writeFileSync(join(ROOT, plot), spikePlot({ samples, messages, most, beganMs }));
    console.log(`written: ${plot}`);
  }
  if (figures.faults.length > 0) {
    console.error(figures.faults.join('\n'));
    process.exitCode = 1;
  }
} finally {
  watching?.child.kill('SIGTERM');
  await watching?.ended;
  demo?.child.kill('SIGTERM');
  await demo?.ended;
  if (inCluster) await runProgram(dormouse('demo', 'queue', 'down'), { core: null }, BOUND_MS);
  rmSync(folder, { recursive: true, force: true });
}
