/**
 * What a sleeping Service costs its first client: a request to a target at zero, in place, against somebody who scales the Deployment by hand and polls the Service's address until it
 * answers. The same application, Service and node for both, in turns. Then how soon the first request becomes a write of /scale, and that nothing passes a gateway while the target is awake.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchCase, BenchContext } from '../case.ts';
import type { ColdResult } from '../kubernetes/cold-program.ts';
import { startInOwnNetwork } from '../kubernetes/own-network.ts';
import { median, medianAndRange, percentile } from '../measure/statistics.ts';
import type { Table } from '../report.ts';

const MOST_OF_BARE = 0.75;
const MOST_TO_SCALE_MS = { median: 30, p99: 100 };

export const kubernetesCold: BenchCase = {
  name: 'kubernetes-cold',
  summary:
    'a cold request in place against scaling by hand, from demand to /scale, and nothing on the path while awake; needs root',
  programs: [],
  byDefault: false,
  async run(context) {
    const result = await measure(context);
    return { tables: [tableOf(result)], failures: failuresOf(result) };
  },
};

async function measure(context: BenchContext): Promise<ColdResult> {
  const result = join(context.dir, 'result.json');
  const program = startInOwnNetwork(
    [
      process.execPath,
      join(import.meta.dirname, '../kubernetes/cold-program.ts'),
      result,
      String(context.number('rounds', 20)),
      String(context.number('wakes', 100)),
      String(context.number('requests', 1000)),
    ],
    {
      dir: context.dir,
      clusterDir: `/var/lib/dormouse-bench-cluster-${process.pid}`,
      hosts: [],
      onLine: (line) => context.progress(line),
    },
  );
  const code = await program.ended;
  if (code !== 0) throw new Error(`the measurement ended with ${code}:\n${program.errors()}`);
  return JSON.parse(readFileSync(result, 'utf8')) as ColdResult;
}

function tableOf({ inPlaceMs, bareMs, toScaleMs, awake, steps }: ColdResult): Table {
  const ms = (value: number): string => value.toFixed(0);
  return {
    id: 'kubernetes-cold',
    title: 'Kubernetes: the first request of a sleeping Service',
    note: "ms. A real cluster with one node on this machine (test/cluster: kubelet, containerd, kube-proxy in nftables mode), the chart with its defaults, a Node program that a readiness probe asks every second. In place: one GET to the address of a Service whose target is at zero, from before the connection is opened until the answer begins. By hand: a merge patch of /scale from 0 to 1, from before it is sent until a GET to the Service's address is answered, a new one begun every 5 ms. In turns; median (least-greatest). Steps are when a watch of the bench saw them. From demand to /scale: from the moment at which the first byte of a request is given to the system until the API server received the write, by its audit log (same clock). Awake: what the gateways' own counters say of requests to the Service's address, each on a connection of its own.",
    columns: ['what', 'in place', 'by hand'],
    rows: [
      ['until the answer begins', medianAndRange(inPlaceMs, 0), medianAndRange(bareMs, 0)],
      ['the medians as a ratio', (median(inPlaceMs) / median(bareMs)).toFixed(2), '1'],
      ['number', String(inPlaceMs.length), String(bareMs.length)],
      ['until the pod is seen', ms(steps.inPlace.podSeen), ms(steps.bare.podSeen)],
      ['until it has an address', ms(steps.inPlace.addressSeen), ms(steps.bare.addressSeen)],
      ['until it is Ready', ms(steps.inPlace.readySeen), ms(steps.bare.readySeen)],
      [`from demand to /scale, median of ${toScaleMs.length}`, median(toScaleMs).toFixed(1), ''],
      ['from demand to /scale, p99', percentile(toScaleMs, 99).toFixed(1), ''],
      ['from demand to /scale, most', percentile(toScaleMs, 100).toFixed(1), ''],
      [
        `awake: of ${awake.requests} requests at gateways (connections, requests)`,
        `${awake.connections}, ${awake.requestsOfGateways}`,
        '',
      ],
    ],
  };
}

function failuresOf({ inPlaceMs, bareMs, toScaleMs, awake }: ColdResult): string[] {
  const ratio = median(inPlaceMs) / median(bareMs);
  const [middle, p99] = [median(toScaleMs), percentile(toScaleMs, 99)];
  return [
    ...(ratio > MOST_OF_BARE ? [`a cold request in place takes ${ratio.toFixed(2)} of scaling by hand`] : []),
    ...(middle > MOST_TO_SCALE_MS.median ? [`from demand to /scale: median ${middle.toFixed(1)} ms`] : []),
    ...(p99 > MOST_TO_SCALE_MS.p99 ? [`from demand to /scale: p99 ${p99.toFixed(1)} ms`] : []),
    ...(awake.connections > 0 || awake.requestsOfGateways > 0
      ? [`while awake gateways saw ${awake.connections} connections and ${awake.requestsOfGateways} requests`]
      : []),
    ...(awake.failed > 0 ? [`${awake.failed} requests to an awake Service failed`] : []),
  ];
}
