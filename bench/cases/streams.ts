/**
 * What passing on costs where a response never ends: messages of a WebSocket, events of an event stream, and bodies of 1 MB whose length nobody knows, against nginx in the
 * same run and rounds. One core for the proxy, the other for backend and clients.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchCase, BenchContext } from '../case.ts';
import { cpuTimeMs, processTree } from '../measure/process-tree.ts';
import { median, medianAndRange } from '../measure/statistics.ts';
import { inTurns } from '../measure/turns.ts';
import { dormousePeer } from '../peers/dormouse.ts';
import { nginxStreamPeer } from '../peers/nginx.ts';
import { freePort, runProgram, startProgram, type Program } from '../processes.ts';
import type { Table } from '../report.ts';
import type { RunningPeer } from './proxies.ts';

export const STREAM_APP = new URL('../apps/stream-app.ts', import.meta.url).pathname;
export const STREAM_CLIENTS = new URL('../load/stream-clients.ts', import.meta.url).pathname;

interface Job {
  id: 'echo' | 'events' | 'bodies';
  title: string;
  unit: string;
  connections: number;
}

const JOBS: readonly Job[] = [
  {
    id: 'echo',
    title: 'WebSocket echo, messages of 125 bytes, 32 clients',
    unit: 'message and its answer',
    connections: 32,
  },
  { id: 'events', title: 'Event streams, events of 100 bytes every 5 ms, 64 clients', unit: 'event', connections: 64 },
  { id: 'bodies', title: 'Event streams of 1 MB, 16 clients', unit: 'body', connections: 16 },
];

interface Sample {
  cpuUs: number;
  perSecond: number;
}

export const streams: BenchCase = {
  name: 'streams',
  summary: 'CPU time per WebSocket message, per event and per streamed MB against nginx',
  programs: ['nginx', 'taskset'],
  byDefault: true,
  async run(context) {
    const { program: app, port } = await startStreamApp(context);
    const programs: Program[] = [app];
    const peers: RunningPeer[] = [];
    try {
      for (const [index, peer] of [nginxStreamPeer, dormousePeer].entries()) {
        const dir = join(context.dir, `peer-${index}`);
        mkdirSync(dir);
        const [own, metricsPort] = [await freePort(), await freePort()];
        const setting = { dir, port: own, metricsPort, backendPort: port, core: context.proxyCore };
        const program = await peer.start(setting);
        programs.push(program);
        peers.push({ name: peer.name, url: String(own), program });
      }
      return { tables: await measureAll(context, peers), failures: [] };
    } finally {
      for (const program of programs.toReversed()) await program.stop();
    }
  },
};

export async function startStreamApp(
  context: BenchContext,
  prefix: readonly string[] = [],
): Promise<{ program: Program; port: number }> {
  let told: (port: number) => void = () => {};
  const port = new Promise<number>((resolve) => (told = resolve));
  const program = startProgram([...prefix, process.execPath, STREAM_APP], {
    core: context.loadCore,
    onLine: (line) => told(Number(line.replace('port ', ''))),
  });
  const ended = program.ended.then((): never => {
    throw new Error(`the application ended:\n${program.errors()}`);
  });
  return { program, port: await Promise.race([port, ended]) };
}

async function measureAll(context: BenchContext, peers: readonly RunningPeer[]): Promise<Table[]> {
  const rounds = context.number('rounds', 5);
  const seconds = context.number('seconds', 4);
  const tables: Table[] = [];
  for (const job of JOBS) {
    for (const peer of peers) await load(context, peer, job, 2);
    const samples = await inTurns(peers, rounds, {
      name: (peer) => peer.name,
      progress: (text) => context.progress(`${job.id}, ${text}`),
      measure: (peer) => load(context, peer, job, seconds),
    });
    tables.push(tableOf(job, samples, rounds, seconds));
  }
  return tables;
}

async function load(context: BenchContext, peer: RunningPeer, job: Job, seconds: number): Promise<Sample> {
  const pids = processTree(peer.program.pid);
  const before = cpuTimeMs(pids);
  const printed = await runProgram(
    [process.execPath, STREAM_CLIENTS, job.id, peer.url, String(job.connections), String(seconds)],
    { core: context.loadCore },
    (seconds + 20) * 1000,
  );
  const cpuMs = cpuTimeMs(pids) - before;
  const result = JSON.parse(printed) as { count: number; seconds: number };
  if (result.count === 0) throw new Error(`${peer.name}: nothing came through (${job.id})`);
  return { cpuUs: (cpuMs * 1000) / result.count, perSecond: result.count / result.seconds };
}

function tableOf(job: Job, samples: ReadonlyMap<string, Sample[]>, rounds: number, seconds: number): Table {
  const nginx = samples.get(nginxStreamPeer.name) ?? [];
  return {
    id: `streams-${job.id}`,
    title: `${job.title}: CPU time`,
    note: `µs of user and system time of all the proxy's processes per ${job.unit}, on one core; ${rounds} rounds of ${seconds} s in turns. nginx with proxy_buffering off; Dormouse with its defaults (frames followed, pings, heartbeats).`,
    columns: ['proxy', `µs per ${job.unit}`, 'x nginx', 'per second'],
    rows: [...samples].map(([name, own]) => [
      name,
      medianAndRange(
        own.map((sample) => sample.cpuUs),
        job.id === 'bodies' ? 0 : 1,
      ),
      medianAndRange(
        own.map((sample, index) => sample.cpuUs / (nginx[index]?.cpuUs ?? NaN)),
        2,
      ),
      median(own.map((sample) => sample.perSecond)).toFixed(0),
    ]),
  };
}
