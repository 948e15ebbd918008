/** Does the cost of a request grow with the number of routes and backends, how soon is a large configuration ready, and what does it cost asleep? */
import { join } from 'node:path';
import { mkdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchCase, BenchContext } from '../case.ts';
import { runWrk } from '../load/wrk.ts';
import { cpuTimeMs, processTree, rssBytes } from '../measure/process-tree.ts';
import { medianAndRange } from '../measure/statistics.ts';
import { startStaticBackend } from '../peers/nginx.ts';
import { freePort } from '../processes.ts';
import { withDormouse, type RunningDormouse } from './running-dormouse.ts';

const SIZES = [10, 5000] as const;
const QUIET_SECONDS = 10;

interface Result {
  readyMs: number;
  quietPercent: number;
  rssMb: number;
  cpuUs: number[];
}

export const manyRoutes: BenchCase = {
  name: 'many-routes',
  summary: '5,000 backends and routes beside 10: ready time, idle CPU, CPU per request',
  programs: ['nginx', 'wrk', 'taskset'],
  byDefault: true,
  async run(context) {
    const backendPort = await freePort();
    const dir = join(context.dir, 'backend');
    mkdirSync(dir);
    const backend = await startStaticBackend(dir, backendPort, context.loadCore);
    try {
      const results = await measureBoth(context, backendPort);
      return {
        tables: [
          {
            id: 'many-routes',
            title: 'Many backends and routes',
            note: `Every route has a host of its own and a sleeping process backend of its own; one more has the static backend that is measured. Ready: from the start of the command to the first accepted connection. Asleep: CPU time of supervisor and worker over ${QUIET_SECONDS} s without a request. CPU per request as in the first table; both run at once and take turns.`,
            columns: ['backends and routes', 'ready, ms', 'asleep, % of a core', 'memory, MB', 'µs per request'],
            rows: SIZES.map((size, index) => {
              const result = results[index];
              return [
                String(size),
                (result?.readyMs ?? NaN).toFixed(0),
                (result?.quietPercent ?? NaN).toFixed(2),
                (result?.rssMb ?? NaN).toFixed(0),
                medianAndRange(result?.cpuUs ?? [], 1),
              ];
            }),
          },
        ],
        failures: [],
      };
    } finally {
      await backend.stop();
    }
  },
};

function configurationOf(size: number, backendPort: number): Record<string, unknown> {
  const sleeping = Array.from({ length: size - 1 }, (_, index) => `app-${index}`);
  return {
    backends: Object.fromEntries([
      ...sleeping.map((name) => [name, { process: { command: ['sleep', '1d'] } }]),
      ['measured', { servers: [`http://127.0.0.1:${backendPort}`] }],
    ]),
    routes: [
      ...sleeping.map((name) => ({ hosts: [`${name}.example`], backend: name })),
      { hosts: ['127.0.0.1'], backend: 'measured' },
    ],
  };
}

async function measureBoth(context: BenchContext, backendPort: number): Promise<Result[]> {
  const startedAt: number[] = [performance.now()];
  return await withDormouse(
    context,
    configurationOf(SIZES[0], backendPort),
    async (small) => {
      const readySmall = performance.now() - (startedAt[0] ?? 0);
      startedAt.push(performance.now());
      return await withDormouse(
        context,
        configurationOf(SIZES[1], backendPort),
        async (large) => {
          const readyLarge = performance.now() - (startedAt[1] ?? 0);
          const quiet = await quietPercents([small, large]);
          const cpu = await costs(context, [small, large]);
          return [small, large].map((dormouse, index) => ({
            readyMs: [readySmall, readyLarge][index] ?? NaN,
            quietPercent: quiet[index] ?? NaN,
            rssMb: rssBytes(processTree(dormouse.program.pid)) / 1e6,
            cpuUs: cpu[index] ?? [],
          }));
        },
        { name: 'large' },
      );
    },
    { name: 'small' },
  );
}

async function quietPercents(all: readonly RunningDormouse[]): Promise<number[]> {
  await delay(2000);
  const read = (): number[] => all.map((one) => cpuTimeMs(processTree(one.program.pid)));
  const before = read();
  await delay(QUIET_SECONDS * 1000);
  return read().map((after, index) => (after - (before[index] ?? 0)) / (QUIET_SECONDS * 10));
}

async function costs(context: BenchContext, all: readonly RunningDormouse[]): Promise<number[][]> {
  const rounds = context.number('rounds', 5);
  const samples: number[][] = all.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    context.progress(`round ${round} of ${rounds}`);
    for (const [index, dormouse] of all.entries()) {
      const pids = processTree(dormouse.program.pid);
      const before = cpuTimeMs(pids);
      const url = `http://127.0.0.1:${dormouse.port}/`;
      const result = await runWrk({ url, seconds: 4, connections: 32, core: context.loadCore, dir: context.dir });
      // The first turn warms up.
      if (round > 0) samples[index]?.push(((cpuTimeMs(pids) - before) * 1000) / result.requests);
    }
  }
  return samples;
}
