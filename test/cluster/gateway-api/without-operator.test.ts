/** Gateways without any operator: what is awake is served, also by pods that came meanwhile, and what sleeps is held until somebody can wake it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { INSTALLATION_NAMESPACE, installDormouse, scaleOperators } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { ensureCluster, until, type Cluster } from '../machine/index.ts';
import { Edge } from './gateway.fixture.ts';

let cluster: Cluster;
let scene: Scene;
let edge: Edge;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'alone');
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
});

after(async () => {
  await scaleOperators(cluster, 2);
  await installDormouse(cluster);
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

function pods(): string[] {
  return scene.pods
    .list()
    .filter(({ metadata }) => metadata.labels?.['app'] === 'plain')
    .map(({ metadata }) => metadata.name);
}

async function untilRolled(before: ReadonlySet<string>): Promise<void> {
  await scene.namespace.kubectl('rollout', 'status', 'deployment/plain', '--timeout=120s');
  await scene.pods.until('the old pods are gone', () => pods().length === 2 && !pods().some((pod) => before.has(pod)));
}

/** What each gateway says of itself. */
async function metrics(): Promise<string[]> {
  const { stdout } = await cluster.kubectl([
    ...['-n', INSTALLATION_NAMESPACE, 'get', 'pods', '-l', 'app.kubernetes.io/component=gateway'],
    ...['-o', 'jsonpath={range .items[*]}{.status.podIP}{"\\n"}{end}'],
  ]);
  const addresses = stdout.trim().split('\n');
  return Promise.all(addresses.map(async (address) => (await fetch(`http://${address}:8082/metrics`)).text()));
}

test('a rollout behind a route loses nothing while there is no operator, and a sleeping Backend is answered when one is back', async (t) => {
  const plain = await scene.guarded({ name: 'plain', replicas: 2, backend: null });
  const first = new Set(pods());
  // As everybody should: slices are told of the end of a pod beside its SIGTERM, not before.
  const preStop = { sleep: { seconds: 3 } };
  await scene.namespace.kubectl(
    ...['patch', 'deployment/plain', '--type=json', '--patch'],
    JSON.stringify([{ op: 'add', path: '/spec/template/spec/containers/0/lifecycle', value: { preStop } }]),
  );
  await untilRolled(first);
  await edge.route('plain', [{ backendRefs: [{ name: 'plain', port: 80 }] }]);
  await edge.sleeping({ name: 'sleeper' });
  await edge.untilRouted('plain');
  await scaleOperators(cluster, 0);
  await until('gateways watch slices', async () =>
    (await metrics()).every((text) => text.includes('dormouse_link_own_endpoints 1')),
  );
  await using traffic = await plain.traffic({
    host: edge.address,
    hostHeader: edge.host('plain'),
    methods: 'both',
    fresh: { everyMs: 25 },
    kept: { clients: 2, everyMs: 25 },
  });
  const held = edge.ask('sleeper');
  const before = new Set(pods());
  await scene.namespace.kubectl('rollout', 'restart', 'deployment/plain');
  await untilRolled(before);
  const answered = new Set<string>();
  await until('both new pods answer', async () => {
    answered.add(String((await edge.ask('plain')).headers['x-pod']));
    return pods().every((pod) => answered.has(pod));
  });
  const report = await traffic.end();
  t.diagnostic(summary(report));
  assert.equal(report.lost.length, 0, summary(report));
  assert.ok(report.sent > 50);
  await scaleOperators(cluster, 2);
  const answer = await held;
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['x-cold-start'], 'true');
});
