/**
 * TLS beside its peers: CPU time per small GET on kept connections, and per full handshake (TLS 1.3, ECDSA P-256). Measured as in proxy-cost: the proxy has a
 * core to itself, peers take turns, ratios are taken round by round.
 */
import type { BenchCase, BenchContext } from '../case.ts';
import { runWrk } from '../load/wrk.ts';
import { cpuTimeMs, processTree } from '../measure/process-tree.ts';
import { medianAndRange } from '../measure/statistics.ts';
import { inTurns } from '../measure/turns.ts';
import { caddyPeer } from '../peers/caddy.ts';
import { writeCertificate } from '../peers/certificate.ts';
import { dormousePeer } from '../peers/dormouse.ts';
import { nginxPeer } from '../peers/nginx.ts';
import { runProgram } from '../processes.ts';
import type { Table } from '../report.ts';
import { withPeers, type RunningPeer } from './proxies.ts';

const PEERS = [nginxPeer({ bufferedLog: false }), caddyPeer, dormousePeer];
const CONNECTIONS = 32;
const WARM_UP_SECONDS = 3;
/** Connections of one run of h2load, one request each. */
const HANDSHAKES = 500;

export const tlsCost: BenchCase = {
  name: 'tls-cost',
  summary: 'TLS: CPU time per small GET and per full handshake against nginx and Caddy',
  programs: ['nginx', 'caddy', 'wrk', 'h2load', 'taskset'],
  byDefault: true,
  async run(context) {
    const tls = await writeCertificate(context.dir);
    return withPeers(
      context,
      PEERS,
      async (peers) => ({ tables: [await keepAlive(context, peers), await handshakes(context, peers)], failures: [] }),
      tls,
    );
  },
};

async function keepAlive(context: BenchContext, peers: readonly RunningPeer[]): Promise<Table> {
  const rounds = context.number('rounds', 5);
  const seconds = context.number('seconds', 4);
  const get = (peer: RunningPeer, forSeconds: number) => () =>
    runWrk({
      url: `${peer.url}/`,
      seconds: forSeconds,
      connections: CONNECTIONS,
      core: context.loadCore,
      dir: context.dir,
    }).then((result) => result.requests);
  for (const peer of peers) await get(peer, WARM_UP_SECONDS)();
  const samples = await inTurns(peers, rounds, {
    name: (peer) => peer.name,
    progress: (text) => context.progress(`keep-alive, ${text}`),
    measure: (peer) => cpuUsPer(peer, get(peer, seconds)),
  });
  return tableOf(
    'tls-cost-get',
    'TLS, small GET, 32 keep-alive connections: CPU time per request',
    `µs of user and system time of all the proxy's processes per request, on one core, access log to a file and metrics on; ${rounds} rounds of ${seconds} s in turns, closed loop (wrk).`,
    'µs per request',
    samples,
  );
}

async function handshakes(context: BenchContext, peers: readonly RunningPeer[]): Promise<Table> {
  const rounds = context.number('rounds', 5);
  const connect = (peer: RunningPeer) => async () => {
    await runProgram(
      ['h2load', '--h1', `-n${HANDSHAKES}`, `-c${HANDSHAKES}`, `${peer.url}/`],
      { core: context.loadCore },
      60_000,
    );
    return HANDSHAKES;
  };
  for (const peer of peers) await connect(peer)();
  const samples = await inTurns(peers, rounds, {
    name: (peer) => peer.name,
    progress: (text) => context.progress(`handshakes, ${text}`),
    measure: (peer) => cpuUsPer(peer, connect(peer)),
  });
  return tableOf(
    'tls-cost-handshake',
    'Full TLS handshakes (ECDSA P-256), one request each: CPU time per connection',
    `µs of user and system time of all the proxy's processes per connection: accept, full handshake, one GET, close; ${rounds} rounds of ${HANDSHAKES} connections at once, in turns (h2load, which doesn't resume sessions).`,
    'µs per connection',
    samples,
  );
}

async function cpuUsPer(peer: RunningPeer, work: () => Promise<number>): Promise<number> {
  const pids = processTree(peer.program.pid);
  const before = cpuTimeMs(pids);
  const count = await work();
  return ((cpuTimeMs(pids) - before) * 1000) / count;
}

function tableOf(
  id: string,
  title: string,
  note: string,
  unit: string,
  samples: ReadonlyMap<string, readonly number[]>,
): Table {
  const ratios = (name: string, own: readonly number[]): string =>
    medianAndRange(
      own.map((sample, index) => sample / (samples.get(name)?.[index] ?? NaN)),
      2,
    );
  return {
    id,
    title,
    note,
    columns: ['proxy', unit, 'x nginx', 'x caddy'],
    rows: [...samples].map(([name, own]) => [name, medianAndRange(own, 1), ratios('nginx', own), ratios('caddy', own)]),
  };
}
