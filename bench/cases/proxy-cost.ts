/**
 * CPU time of the proxy per request, and its highest rate, beside its peers. The proxy has one core to itself, load and backend the other.
 * CPU time is user + system time of all the proxy's processes; the peers take turns within each round, so that what the machine does
 * meanwhile falls on all of them. Ratios are taken round by round.
 */
import type { BenchCase, BenchContext } from '../case.ts';
import { runWrk } from '../load/wrk.ts';
import { cpuTimeMs, processTree } from '../measure/process-tree.ts';
import { median, medianAndRange } from '../measure/statistics.ts';
import { inTurns } from '../measure/turns.ts';
import type { Table } from '../report.ts';
import { PEERS, withPeers, type RunningPeer } from './proxies.ts';

interface Job {
  id: string;
  title: string;
  path: string;
  postBytes?: number;
}

const JOBS: readonly Job[] = [
  { id: 'get', title: 'Small GET, 32 keep-alive connections', path: '/' },
  { id: 'post', title: 'POST of 10 kB, 32 keep-alive connections', path: '/', postBytes: 10_240 },
  { id: 'large', title: 'GET of 1 MB, 32 keep-alive connections', path: '/large' },
];
const CONNECTIONS = 32;
const WARM_UP_SECONDS = 3;

interface Sample {
  cpuUs: number;
  requestsPerSecond: number;
  /** Share of the proxy's core that it used, percent. */
  busyPercent: number;
}

export const proxyCost: BenchCase = {
  name: 'proxy-cost',
  summary: 'CPU time per request and highest rate against nginx, HAProxy, Caddy and a byte pipe',
  programs: ['nginx', 'haproxy', 'caddy', 'wrk', 'taskset'],
  byDefault: true,
  run: (context) =>
    withPeers(context, PEERS, async (peers) => ({ tables: await measureAll(context, peers), failures: [] })),
};

async function measureAll(context: BenchContext, peers: readonly RunningPeer[]): Promise<Table[]> {
  const rounds = context.number('rounds', 5);
  const seconds = context.number('seconds', 4);
  const tables: Table[] = [];
  for (const job of JOBS) {
    for (const peer of peers) await load(context, peer, job, WARM_UP_SECONDS);
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
  const [cpuBefore, startedAt] = [cpuTimeMs(pids), performance.now()];
  const result = await runWrk({
    url: `${peer.url}${job.path}`,
    seconds,
    connections: CONNECTIONS,
    core: context.loadCore,
    postBytes: job.postBytes,
    dir: context.dir,
  });
  const [cpuMs, elapsedMs] = [cpuTimeMs(pids) - cpuBefore, performance.now() - startedAt];
  return {
    cpuUs: (cpuMs * 1000) / result.requests,
    requestsPerSecond: result.requestsPerSecond,
    busyPercent: (100 * cpuMs) / elapsedMs,
  };
}

function tableOf(job: Job, samples: ReadonlyMap<string, Sample[]>, rounds: number, seconds: number): Table {
  const ratiosTo = (name: string, own: readonly Sample[]): string => {
    const other = samples.get(name) ?? [];
    return medianAndRange(
      own.map((sample, index) => sample.cpuUs / (other[index]?.cpuUs ?? NaN)),
      2,
    );
  };
  return {
    id: `proxy-cost-${job.id}`,
    title: `${job.title}: CPU time per request`,
    note: `µs of user and system time of all the proxy's processes per request, on one core, access log to a file and metrics on; ${rounds} rounds of ${seconds} s in turns, closed loop (wrk). "Core" is how much of its core the proxy used: below 100 % the other core was the limit and the rate says little.`,
    columns: ['proxy', 'µs per request', 'x nginx', 'x caddy', 'requests/s', 'core %'],
    rows: [...samples].map(([name, own]) => [
      name,
      medianAndRange(
        own.map((sample) => sample.cpuUs),
        job.id === 'large' ? 0 : 1,
      ),
      ratiosTo('nginx', own),
      ratiosTo('caddy', own),
      median(own.map((sample) => sample.requestsPerSecond)).toFixed(0),
      median(own.map((sample) => sample.busyPercent)).toFixed(0),
    ]),
  };
}
