/**
 * CPU time per request with traffic events published to Redis and NATS, windows alone and each request, beside the same request with the bus in memory. Each is a Dormouse of its own on
 * the same core; they take turns within each round, and ratios are taken round by round.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchCase, BenchContext } from '../case.ts';
import { runWrk } from '../load/wrk.ts';
import { cpuTimeMs, processTree } from '../measure/process-tree.ts';
import { median, medianAndRange } from '../measure/statistics.ts';
import { inTurns } from '../measure/turns.ts';
import { startStaticBackend } from '../peers/nginx.ts';
import { freePort, startProgram, untilListening, type Program } from '../processes.ts';
import { withDormouse } from './running-dormouse.ts';

const CONNECTIONS = 32;
const WARM_UP_SECONDS = 3;

interface Candidate {
  name: string;
  events: Record<string, unknown>;
}

interface Sample {
  cpuUs: number;
  requestsPerSecond: number;
}

interface Running {
  candidate: Candidate;
  port: number;
  metrics: string;
  program: Program;
}

export const eventCost: BenchCase = {
  name: 'event-cost',
  summary: 'CPU time per request: traffic events to Redis and NATS, windows and each request, against memory',
  programs: ['nginx', 'wrk', 'taskset', 'redis-server', 'nats-server'],
  byDefault: false,
  async run(context) {
    const backendPort = await freePort();
    const folder = (name: string): string => {
      const path = join(context.dir, name);
      mkdirSync(path);
      return path;
    };
    const programs: Program[] = [];
    try {
      programs.push(await startStaticBackend(folder('backend'), backendPort, context.loadCore));
      const redisPort = await freePort();
      const redis = ['--port', String(redisPort), '--dir', folder('redis'), '--save', '', '--appendonly', 'no'];
      programs.push(startProgram(['redis-server', '--bind', '127.0.0.1', ...redis], { core: context.loadCore }));
      await untilListening(programs.at(-1)!, redisPort);
      const natsPort = await freePort();
      const natsFile = join(folder('nats'), 'nats.conf');
      const store = JSON.stringify(join(context.dir, 'nats', 'store'));
      writeFileSync(natsFile, `listen: "127.0.0.1:${natsPort}"\njetstream { store_dir: ${store} }\n`);
      programs.push(startProgram(['nats-server', '-c', natsFile], { core: context.loadCore }));
      await untilListening(programs.at(-1)!, natsPort);
      const [redisUrl, natsUrl] = [`redis://127.0.0.1:${redisPort}`, `nats://127.0.0.1:${natsPort}`];
      const candidates: Candidate[] = [
        { name: 'memory, windows', events: { bus: 'memory' } },
        { name: 'Redis, windows', events: { bus: redisUrl, stream: 'a' } },
        { name: 'NATS, windows', events: { bus: natsUrl, stream: 'a' } },
        { name: 'memory, each', events: { bus: 'memory', each: true } },
        { name: 'Redis, each', events: { bus: redisUrl, stream: 'b', each: true } },
        { name: 'NATS, each', events: { bus: natsUrl, stream: 'b', each: true } },
      ];
      return await withAll(context, candidates, backendPort, (running) => measure(context, running));
    } finally {
      for (const program of programs.toReversed()) await program.stop();
    }
  },
};

/** All of them run at once; those that get no requests take no time. */
async function withAll<T>(
  context: BenchContext,
  candidates: readonly Candidate[],
  backendPort: number,
  work: (running: readonly Running[]) => Promise<T>,
  running: readonly Running[] = [],
): Promise<T> {
  const candidate = candidates[running.length];
  if (candidate === undefined) return work(running);
  const metricsPort = await freePort();
  const configuration = {
    backends: { app: { servers: [`http://127.0.0.1:${backendPort}`] } },
    observe: { address: `127.0.0.1:${metricsPort}` },
    admin: 'off',
    events: candidate.events,
  };
  const name = `dormouse-${running.length}`;
  return withDormouse(
    context,
    configuration,
    ({ port, program }) => {
      const one = { candidate, port, program, metrics: `http://127.0.0.1:${metricsPort}/metrics` };
      return withAll(context, candidates, backendPort, work, [...running, one]);
    },
    { name, timeoutMs: 60_000 },
  );
}

async function measure(context: BenchContext, running: readonly Running[]) {
  const rounds = context.number('rounds', 7);
  const seconds = context.number('seconds', 4);
  const load = async ({ port, program }: Running, forSeconds: number): Promise<Sample> => {
    const pids = processTree(program.pid);
    const before = cpuTimeMs(pids);
    const result = await runWrk({
      url: `http://127.0.0.1:${port}/`,
      headers: {},
      seconds: forSeconds,
      connections: CONNECTIONS,
      core: context.loadCore,
      dir: context.dir,
    });
    // What is still on its way to the bus belongs to these requests.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    return {
      cpuUs: ((cpuTimeMs(pids) - before) * 1000) / result.requests,
      requestsPerSecond: result.requestsPerSecond,
    };
  };
  for (const one of running) await load(one, WARM_UP_SECONDS);
  const samples = await inTurns(running, rounds, {
    name: ({ candidate }) => candidate.name,
    progress: (text) => context.progress(text),
    measure: (one) => load(one, seconds),
  });
  const plain = samples.get(running[0]!.candidate.name)!;
  const rows: string[][] = [];
  for (const { candidate, metrics } of running) {
    const own = samples.get(candidate.name)!;
    const text = await (await fetch(metrics)).text();
    const count = (name: string): number =>
      [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))].reduce(
        (sum, [, value]) => sum + Number(value),
        0,
      );
    rows.push([
      candidate.name,
      medianAndRange(
        own.map(({ cpuUs }) => cpuUs),
        1,
      ),
      medianAndRange(
        own.map(({ cpuUs }, index) => cpuUs / plain[index]!.cpuUs),
        2,
      ),
      median(own.map(({ requestsPerSecond }) => requestsPerSecond)).toFixed(0),
      String(count('dormouse_events_published_total')),
      String(count('dormouse_events_dropped_total')),
    ]);
  }
  return {
    tables: [
      {
        id: 'event-cost',
        title: 'Traffic events: CPU time per request',
        note: `µs of user and system time of all processes of dormouse (one worker and the supervisor) per request, on one core, access log to a file and metrics on; ${rounds} rounds of ${seconds} s in turns, closed loop (wrk, ${CONNECTIONS} keep-alive connections), small GET. Redis and NATS are on the other core, with the load. With the bus in memory windows are made too, and go nowhere. Dropped: more than events.buffer while the bus, which shares its core with the load, was behind. Anything else that runs on the machine widens the ranges: their lower ends are what to compare.`,
        columns: ['bus, events', 'µs per request', 'x memory, windows', 'requests/s', 'events published', 'dropped'],
        rows,
      },
    ],
    failures: [],
  };
}
