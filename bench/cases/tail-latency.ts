/**
 * Latency at half of nginx's highest rate. Open loop (h2load --h1 --rps): requests go out on time whether or not the last was answered, over
 * more connections than are ever busy, so that a stall is seen by every request that it delays.
 */
import type { BenchCase, BenchContext } from '../case.ts';
import { runOpenLoop } from '../load/h2load.ts';
import { runWrk } from '../load/wrk.ts';
import { median, medianAndRange, percentile } from '../measure/statistics.ts';
import { caddyPeer } from '../peers/caddy.ts';
import { dormousePeer } from '../peers/dormouse.ts';
import { haproxyPeer } from '../peers/haproxy.ts';
import { nginxPeer } from '../peers/nginx.ts';
import { withPeers, type RunningPeer } from './proxies.ts';

const CONNECTIONS = 64;
const PERCENTS = [50, 99, 99.9] as const;

export const tailLatency: BenchCase = {
  name: 'tail-latency',
  summary: "latency at half of nginx's highest rate, open loop",
  programs: ['nginx', 'haproxy', 'caddy', 'wrk', 'h2load', 'taskset'],
  byDefault: true,
  run: (context) =>
    withPeers(context, [nginxPeer({ bufferedLog: false }), haproxyPeer, caddyPeer, dormousePeer], async (peers) =>
      measure(context, peers),
    ),
};

async function measure(context: BenchContext, peers: readonly RunningPeer[]): ReturnType<BenchCase['run']> {
  const rounds = context.number('rounds', 5);
  const seconds = context.number('seconds', 5);
  const highest = await highestRate(context, peers[0]?.url ?? '');
  const rate = highest / 2;
  const results = new Map<string, Map<number, number[]>>();
  for (let round = 0; round <= rounds; round++) {
    context.progress(round === 0 ? `warm-up at ${rate.toFixed(0)} requests/s` : `round ${round} of ${rounds}`);
    for (const peer of peers) {
      const durations = await rateOrNull(context, peer, rate, round === 0 ? 2 : seconds);
      if (round === 0) continue;
      const byPercent = results.get(peer.name) ?? new Map<number, number[]>();
      results.set(peer.name, byPercent);
      for (const percent of PERCENTS) {
        byPercent.set(percent, [
          ...(byPercent.get(percent) ?? []),
          durations === null ? Infinity : percentile(durations, percent),
        ]);
      }
    }
  }
  const reference = results.get('nginx')?.get(99) ?? [];
  return {
    tables: [
      {
        id: 'tail-latency',
        title: `Latency at ${rate.toFixed(0)} requests/s, half of nginx's highest rate`,
        note: `ms from a request's sending to its answer's end, ${CONNECTIONS} connections, open loop, ${rounds} rounds of ${seconds} s in turns; "behind" means that the rate was not reached. nginx's highest rate in the same run: ${highest.toFixed(0)} requests/s.`,
        columns: ['proxy', ...PERCENTS.map((percent) => `p${percent}`), 'p99 x nginx'],
        rows: [...results].map(([name, byPercent]) => [
          name,
          ...PERCENTS.map((percent) => milliseconds(byPercent.get(percent) ?? [])),
          ratio(byPercent.get(99) ?? [], reference),
        ]),
      },
    ],
    failures: [],
  };
}

async function highestRate(context: BenchContext, url: string): Promise<number> {
  const rates: number[] = [];
  for (let round = 0; round < 3; round++) {
    const result = await runWrk({
      url: `${url}/`,
      seconds: 3,
      connections: 32,
      core: context.loadCore,
      dir: context.dir,
    });
    rates.push(result.requestsPerSecond);
  }
  return median(rates);
}

/** null when the proxy can't keep up with the rate. */
async function rateOrNull(
  context: BenchContext,
  peer: RunningPeer,
  rate: number,
  seconds: number,
): Promise<number[] | null> {
  try {
    return await runOpenLoop({
      url: `${peer.url}/`,
      requestsPerSecond: rate,
      connections: CONNECTIONS,
      seconds,
      warmUpSeconds: 1,
      core: context.loadCore,
      dir: context.dir,
    });
  } catch (error) {
    context.progress(`${peer.name}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`);
    return null;
  }
}

function milliseconds(durationsUs: readonly number[]): string {
  const reached = durationsUs.filter(Number.isFinite).map((value) => value / 1000);
  return reached.length === 0 ? 'behind' : medianAndRange(reached, 2);
}

function ratio(own: readonly number[], reference: readonly number[]): string {
  const ratios = own.map((value, index) => value / (reference[index] ?? NaN)).filter(Number.isFinite);
  return ratios.length === 0 ? 'behind' : medianAndRange(ratios, 2);
}
