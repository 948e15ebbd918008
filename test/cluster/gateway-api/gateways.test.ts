/** Gateways themselves: they are rolled while routes have traffic and requests wait, and follow grants and policies at run time. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { INSTALLATION_NAMESPACE, installDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { appObjects, ensureCluster, until, type Cluster } from '../machine/index.ts';
import { Edge } from './gateway.fixture.ts';

let cluster: Cluster;
let scene: Scene;
let edge: Edge;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'gateways');
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
});

after(async () => {
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

const toService = (name: string, namespace?: string): object => ({
  backendRefs: [{ name, port: 80, ...(namespace === undefined ? {} : { namespace }) }],
});

async function rollGateways(): Promise<void> {
  const kubectl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await cluster.kubectl(['-n', INSTALLATION_NAMESPACE, ...args], undefined, 180_000);
    assert.equal(code, 0, stderr);
  };
  await kubectl('rollout', 'restart', 'deployment/dormouse-gateway');
  await kubectl('rollout', 'status', 'deployment/dormouse-gateway', '--timeout=170s');
  // The last of the former ones still drain.
  await until(
    'only new gateways',
    async () => {
      const { stdout } = await cluster.kubectl([
        ...['-n', INSTALLATION_NAMESPACE, 'get', 'pods', '-o', 'name'],
        ...['-l', 'app.kubernetes.io/component=gateway'],
      ]);
      return stdout.trim().split('\n').length === 2;
    },
    { timeoutMs: 120_000, everyMs: 500 },
  );
}

test('gateways are rolled while routes have traffic: nothing is lost', { timeout: 300_000 }, async (t) => {
  const app = await scene.guarded({ name: 'steady', replicas: 2, backend: null });
  await edge.route('steady', [toService('steady')]);
  await edge.untilRoutedEverywhere('steady');
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('steady'),
    fresh: { everyMs: 25 },
    kept: { clients: 4, everyMs: 25 },
    methods: 'both',
  });
  await rollGateways();
  const report = await traffic.end();
  t.diagnostic(summary(report));
  assert.equal(report.lost.length, 0, summary(report));
  assert.deepEqual(scene.witness.duplicates, []);
});

test('a request that waits for a wake outlives its gateway', { timeout: 300_000 }, async () => {
  const app = await edge.sleeping({ name: 'slow', env: { START_DELAY_MS: '9000' } });
  await edge.untilRoutedEverywhere('slow', { path: '/nothing' }).catch(() => {});
  await edge.untilAsleep(app);
  const waiting = Promise.all(
    Array.from({ length: 8 }, (_, number) =>
      edge.ask('slow', { method: 'POST', path: '/count', body: `held-${number}` }),
    ),
  );
  await scene.backends.until('slow is waking', () => app.object?.status?.state !== 'asleep');
  await rollGateways();
  const answers = await waiting;
  assert.deepEqual(
    answers.map(({ status, text }) => (status === 200 ? (JSON.parse(text) as { count: number }).count : text)),
    Array.from({ length: 8 }, () => 1),
  );
});

test('a route leads into another namespace while a ReferenceGrant lets it', async () => {
  await using far = await cluster.namespace('far');
  await far.apply(appObjects({ name: 'far' }));
  await far.kubectl('rollout', 'status', 'deployment/far', '--timeout=60s');
  await edge.route('granted', [toService('far', far.name)]);
  const becomes = (wanted: number): Promise<unknown> =>
    until(`${wanted} through the grant`, async () => (await edge.ask('granted')).status === wanted);
  await edge.untilTold('HTTPRoute', 'granted', 'ResolvedRefs', 'False', 'RefNotPermitted');
  await becomes(500);
  const from = [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: scene.namespace.name }];
  await far.apply([
    {
      apiVersion: 'gateway.networking.k8s.io/v1beta1',
      kind: 'ReferenceGrant',
      metadata: { name: 'let' },
      spec: { from, to: [{ group: '', kind: 'Service' }] },
    },
  ]);
  await edge.untilTold('HTTPRoute', 'granted', 'ResolvedRefs');
  await becomes(200);
  await far.kubectl('delete', 'referencegrant', 'let');
  await edge.untilTold('HTTPRoute', 'granted', 'ResolvedRefs', 'False', 'RefNotPermitted');
  await becomes(500);
});

test('a RoutePolicy says how often is tried again', async (t) => {
  const app = await scene.guarded({ name: 'half', backend: null });
  const own = (kind: string, name: string, spec: object): object => ({
    apiVersion: 'dormouse.dev/v1alpha1',
    kind,
    metadata: { name },
    spec,
  });
  // Every second request goes to one that refuses it.
  const refusing = createServer((_request, response) => response.writeHead(503).end());
  await new Promise<void>((resolve) => refusing.listen(0, cluster.nodeAddress, resolve));
  t.after(() => refusing.close());
  const { port } = refusing.address() as AddressInfo;
  const servers = [{ url: `http://${app.host}:80` }, { url: `http://${cluster.nodeAddress}:${port}` }];
  const ejection = { consecutiveErrors: 0, failurePercent: 0 };
  await scene.namespace.apply([own('Backend', 'halves', { servers, ejection })]);
  const policy = (attempts: number): object =>
    own('RoutePolicy', 'again', {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'half' }],
      // Half of all requests: more than the budget would let through by default.
      retry: { attempts, conditions: ['503'], budgetPercent: 100 },
    });
  await scene.namespace.apply([policy(1)]);
  await edge.route('half', [{ backendRefs: [{ group: 'dormouse.dev', kind: 'Backend', name: 'halves' }] }]);
  await edge.untilTold('RoutePolicy', 'again', 'Accepted');
  const statuses = async (): Promise<Set<number>> =>
    new Set(await Promise.all(Array.from({ length: 12 }, async () => (await edge.ask('half')).status)));
  await until('some fail', async () => {
    const now = await statuses();
    return now.has(200) && now.size === 2 && !now.has(404);
  });
  await scene.namespace.apply([policy(3)]);
  await until('none fails', async () => {
    const now = await statuses();
    return now.size === 1 && now.has(200);
  });
});
