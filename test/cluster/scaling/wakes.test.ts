/** How long a wake through KEDA takes until its write of /scale, and our part of it: from the request to our word, as a listener beside KEDA hears it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Keda, type Pushed } from '../../../src/apis/keda/scaler.fixture.ts';
import { Edge } from '../gateway-api/gateway.fixture.ts';
import { INSTALLATION_NAMESPACE, installDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { ensureCluster, until, type Cluster } from '../machine/index.ts';
import { isKedas, untilKedaListens, writesOf } from './keda.fixture.ts';

const WAKES = 20;
/** The bounds are those of a busy machine; docs/scaling.md has figures. */
const MOST_MS = { write: 2000, own: 300 };

let cluster: Cluster;
let scene: Scene;
let edge: Edge;

before(async () => {
  cluster = await ensureCluster({ keda: true });
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'wakes');
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
  await untilKedaListens(edge);
});
after(async () => {
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

/** One that listens to every operator, as KEDA does to one of them, with the certificate that KEDA has. `kedas`: which of them that is; -1: can't be told. */
async function listen(name: string): Promise<{ streams: Pushed[]; kedas: number; close(): void }> {
  const secret = await cluster.read<{ data: Record<string, string> }>(
    '/api/v1/namespaces/keda/secrets/dormouse-scaler-client',
  );
  const of = (key: string): Buffer => Buffer.from(secret!.data[key]!, 'base64');
  const selector = encodeURIComponent('app.kubernetes.io/component=operator');
  const { items } = (await cluster.read<{
    items: { metadata: { deletionTimestamp?: string }; status: { podIP: string } }[];
  }>(`/api/v1/namespaces/${INSTALLATION_NAMESPACE}/pods?labelSelector=${selector}`))!;
  // Those of a former installation may still be ending.
  const running = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const counts = await Promise.all(
    running.map(async ({ status }) => {
      const text = await (await fetch(`http://${status.podIP}:8082/metrics`)).text();
      return Number(/^dormouse_scaler_streams (\d+)$/m.exec(text)?.[1]);
    }),
  );
  const listeners = running.map(
    ({ status }) =>
      new Keda(
        { host: status.podIP, port: 8444 },
        { ca: of('ca.crt'), cert: of('tls.crt'), key: of('tls.key') },
        { name, namespace: scene.namespace.name },
      ),
  );
  return {
    streams: listeners.map((keda) => keda.stream()),
    kedas: counts.filter((count) => count > 0).length === 1 ? counts.findIndex((count) => count > 0) : -1,
    close: () => {
      for (const keda of listeners) keda.close();
    },
  };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
const spread = (values: readonly number[]): string =>
  `median ${median(values).toFixed(1)} ms, ${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;

test(`${WAKES} wakes through a real KEDA`, async (t) => {
  const app = await edge.sleeping({ name: 'woken', backend: { scale: { by: 'keda', idleAfter: '1s' } } });
  await app.untilCondition('AutoscalerReady', 'True', 'Keda');
  const { streams, kedas, close } = await listen('woken');
  await Promise.all(streams.map((stream) => stream.words(1)));
  const writes: number[] = [];
  const own: number[] = [];
  const atKedas: number[] = [];
  for (let wake = 0; wake < WAKES; wake++) {
    await until('asleep', async () => app.replicas === 0 && app.object?.status?.state === 'asleep');
    const before = streams.map(({ said }) => said.length);
    const sentAtMs = performance.timeOrigin + performance.now();
    assert.equal((await edge.ask('woken')).status, 200);
    const [write] = writesOf(scene.namespace.name, 'woken', sentAtMs);
    assert.ok(isKedas(write!), JSON.stringify(write));
    writes.push(write!.receivedAtMs - sentAtMs);
    // KEDA listens to one of them by chance: where it can't be told to which, the slower one counts.
    const heard = streams.map(
      ({ said }, index) =>
        said.slice(before[index]!).find(({ wanted }) => wanted)!.atMs + performance.timeOrigin - sentAtMs,
    );
    own.push(Math.max(...heard));
    atKedas.push(heard[kedas] ?? Math.max(...heard));
  }
  close();
  t.diagnostic(`request -> KEDA's write of /scale: ${spread(writes)}`);
  t.diagnostic(`of which ours (request -> our word at whoever listens, both operators): ${spread(own)}`);
  t.diagnostic(`at the operator that KEDA listens to${kedas < 0 ? ' (not known)' : ''}: ${spread(atKedas)}`);
  t.diagnostic(`and KEDA's: ${spread(writes.map((write, index) => write - atKedas[index]!))}`);
  assert.ok(median(writes) <= MOST_MS.write);
  assert.ok(median(own) <= MOST_MS.own);
  await app.delete();
});
