/**
 * HTTP/2 beside Caddy: CPU time per small GET, 10 connections with 32 streams each, in the clear and over TLS; the endpoint speaks HTTP/1.1. Measured as in
 * proxy-cost: the proxy has a core to itself, peers take turns, ratios are taken round by round.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeCertificate } from '../peers/certificate.ts';
import type { BenchCase, BenchContext } from '../case.ts';
import { runClosedLoop } from '../load/h2load.ts';
import { cpuTimeMs, processTree } from '../measure/process-tree.ts';
import { median, medianAndRange } from '../measure/statistics.ts';
import { inTurns } from '../measure/turns.ts';
import { caddyPeer } from '../peers/caddy.ts';
import { dormousePeer } from '../peers/dormouse.ts';
import type { Table } from '../report.ts';
import { withPeers, type RunningPeer } from './proxies.ts';

const PEERS = [caddyPeer, dormousePeer];
const CONNECTIONS = 10;
const STREAMS = 32;
const WARM_UP_REQUESTS = 30_000;

interface Sample {
  cpuUs: number;
  requestsPerSecond: number;
}

export const http2: BenchCase = {
  name: 'http2',
  summary: 'HTTP/2: CPU time per small GET against Caddy, in the clear and over TLS',
  programs: ['nginx', 'caddy', 'h2load', 'taskset'],
  byDefault: true,
  async run(context) {
    const tls = await writeCertificate(context.dir);
    const tables: Table[] = [];
    for (const [name, files] of [
      ['h2c', undefined],
      ['tls', tls],
    ] as const) {
      const own = { ...context, dir: join(context.dir, name) };
      mkdirSync(own.dir);
      tables.push(await withPeers(own, PEERS, (peers) => measure(own, peers, name), files));
    }
    return { tables, failures: [] };
  },
};

async function measure(context: BenchContext, peers: readonly RunningPeer[], transport: string): Promise<Table> {
  const rounds = context.number('rounds', 5);
  const requests = context.number('requests', 100_000);
  for (const peer of peers) await load(context, peer, WARM_UP_REQUESTS);
  const samples = await inTurns(peers, rounds, {
    name: (peer) => peer.name,
    progress: (text) => context.progress(`${transport}, ${text}`),
    measure: (peer) => load(context, peer, requests),
  });
  const caddy = samples.get('caddy')!;
  return {
    id: `http2-${transport}`,
    title: `HTTP/2 ${transport === 'tls' ? 'over TLS' : 'in the clear'}, small GET, ${CONNECTIONS} connections with ${STREAMS} streams: CPU time per request`,
    note: `µs of user and system time of all the proxy's processes per request, on one core, access log to a file and metrics on; ${rounds} rounds of ${requests} requests in turns, closed loop (h2load).`,
    columns: ['proxy', 'µs per request', 'x caddy', 'requests/s'],
    rows: [...samples].map(([name, own]) => [
      name,
      medianAndRange(
        own.map((sample) => sample.cpuUs),
        1,
      ),
      medianAndRange(
        own.map((sample, index) => sample.cpuUs / (caddy[index]?.cpuUs ?? NaN)),
        2,
      ),
      median(own.map((sample) => sample.requestsPerSecond)).toFixed(0),
    ]),
  };
}

async function load(context: BenchContext, peer: RunningPeer, requests: number): Promise<Sample> {
  const pids = processTree(peer.program.pid);
  const [cpuBefore, startedAt] = [cpuTimeMs(pids), performance.now()];
  await runClosedLoop({
    url: `${peer.url}/`,
    requests,
    connections: CONNECTIONS,
    streams: STREAMS,
    core: context.loadCore,
  });
  const [cpuMs, elapsedMs] = [cpuTimeMs(pids) - cpuBefore, performance.now() - startedAt];
  return { cpuUs: (cpuMs * 1000) / requests, requestsPerSecond: (requests * 1000) / elapsedMs };
}
