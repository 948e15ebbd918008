/** What an operator and a gateway cost with many Backends: real objects at a real API server, targets at zero. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchCase, BenchContext } from '../case.ts';
import { startInOwnNetwork } from '../kubernetes/own-network.ts';
import type { ScaleResult } from '../kubernetes/scale-program.ts';
import { median } from '../measure/statistics.ts';

const SHARES = [0.25, 0.5, 1];
const MOST_OPERATOR_MB = 200;
const MOST_CHANGE_MS = 60_000;

export const kubernetesScale: BenchCase = {
  name: 'kubernetes-scale',
  summary: 'operator and gateway with 1,000 Backends: memory, writes, CPU, time to see changes; needs root',
  programs: [],
  byDefault: false,
  async run(context) {
    const results = await measure(context);
    return { tables: [tableOf(results)], failures: failuresOf(results) };
  },
};

async function measure(context: BenchContext): Promise<ScaleResult[]> {
  const most = context.number('backends', 1000);
  const sizes = SHARES.map((share) => String(Math.round(most * share)));
  const result = join(context.dir, 'result.json');
  const program = startInOwnNetwork(
    [
      process.execPath,
      join(import.meta.dirname, '../kubernetes/scale-program.ts'),
      join(context.dir, 'run'),
      result,
      String(context.number('quiet', 60)),
      ...sizes,
    ],
    {
      dir: context.dir,
      clusterDir: `/var/lib/dormouse-bench-cluster-${process.pid}`,
      hosts: ['dormouse-operator'],
      onLine: (line) => context.progress(line),
    },
  );
  const code = await program.ended;
  if (code !== 0) throw new Error(`the measurement ended with ${code}:\n${program.errors()}`);
  return JSON.parse(readFileSync(result, 'utf8')) as ScaleResult[];
}

function tableOf(results: readonly ScaleResult[]): { id: string; title: string; note: string } & {
  columns: string[];
  rows: string[][];
} {
  const row = (what: string, value: (result: ScaleResult) => string): string[] => [what, ...results.map(value)];
  return {
    id: 'kubernetes-scale',
    title: 'Kubernetes: many Backends',
    note: 'Every Backend guards a Deployment of its own (at zero replicas) and its Service in place, with a schedule as idle source. A real API server and controller manager (test/cluster), one operator and one gateway as processes, as the package holds them; every Service has a listener and a route of its own at the gateway. Memory is RSS: after the start and a time without changes, and the most there was while everything was changed. Changed: spec.wake.timeout of every object, 16 requests at once, from the first request until every status says that its generation was seen; the requests alone are the floor. There is no kube-proxy, so that a new Backend looks for its redirect in vain, for 30 s, before it is asleep. A start goes from the start of the process until a gateway that has just started is ready. Writes are those that the API server has counted, Leases apart.',
    columns: ['what', ...results.map(({ size }) => `${size} Backends`)],
    rows: [
      row('operator, memory at rest, MB', ({ operatorMb }) => operatorMb.toFixed(0)),
      row('operator, most memory, MB', ({ operatorPeakMb }) => operatorPeakMb.toFixed(0)),
      row('operator, CPU at rest, % of a core', ({ quiet }) => quiet.operatorPercent.toFixed(2)),
      row('writes a minute at rest', ({ quiet }) => ((count(quiet.writes) * 60) / quiet.seconds).toFixed(0)),
      row('start, s', ({ start }) => seconds(start.ms)),
      row('writes of a start', ({ start }) => String(count(start.writes))),
      row('new Backends until all are asleep, s (number)', ({ takeIn }) => `${seconds(takeIn.ms)} (${takeIn.added})`),
      row('all changed, until every status says so, s', ({ change }) => seconds(change.totalMs)),
      row('of that the requests that change them, s', ({ change }) => seconds(change.patchingMs)),
      row('CPU of the operator for it, s', ({ change }) => seconds(change.operatorCpuMs)),
      row('CPU of the API server for it, s', ({ change }) => seconds(change.apiServerCpuMs)),
      row('writes for it', ({ change }) => change.writes.map(([what, times]) => `${times} ${what}`).join(', ')),
      row('one changed, until its status says so, ms', ({ single }) => median(single.seenMs).toFixed(0)),
      row('CPU of the operator for it, ms', ({ single }) => single.operatorCpuMs.toFixed(0)),
      row('CPU of the gateway for it, ms', ({ single }) => single.gatewayCpuMs.toFixed(0)),
      row('gateway, memory at rest, MB', ({ gatewayMb }) => gatewayMb.toFixed(0)),
      row('gateway, most memory, MB', ({ gatewayPeakMb }) => gatewayPeakMb.toFixed(0)),
      row('gateway, CPU at rest, % of a core', ({ quiet }) => quiet.gatewayPercent.toFixed(2)),
    ],
  };
}

function failuresOf(results: readonly ScaleResult[]): string[] {
  return results.flatMap(({ size, start, operatorMb, quiet, change }) => [
    ...(operatorMb > MOST_OPERATOR_MB ? [`${size}: the operator has ${operatorMb.toFixed(0)} MB`] : []),
    ...(change.totalMs > MOST_CHANGE_MS ? [`${size}: all changed took ${seconds(change.totalMs)} s`] : []),
    ...(count(start.writes) > 0 ? [`${size}: written by a start: ${JSON.stringify(start.writes)}`] : []),
    ...(count(quiet.writes) > 0 ? [`${size}: written while nothing changed: ${JSON.stringify(quiet.writes)}`] : []),
  ]);
}

function count(writes: readonly [string, number][]): number {
  return writes.reduce((sum, [, times]) => sum + times, 0);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
