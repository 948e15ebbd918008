/** The Kubernetes driver at a real API server, with real controllers, kubelets and pods. */
import assert from 'node:assert/strict';
import { before, test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connects, type Witness } from '../../../src/drivers/driver.contract.ts';
import type { Driver } from '../../../src/drivers/driver.ts';
import type { Crash } from '../../../src/model/backend.ts';
import {
  appObjects,
  ensureCluster,
  until,
  type AppOptions,
  type Cluster,
  type TestNamespace,
} from '../machine/index.ts';
import { Replicator } from './replicator.ts';
import { Road } from './road.ts';
import { Bench } from './workloads.ts';

let cluster: Cluster;
before(async () => {
  cluster = await ensureCluster({ images: ['app'] });
});

const deployment = (name: string) => ({ apiVersion: 'apps/v1', kind: 'Deployment', name });
const pathOf = (namespace: TestNamespace, name: string, plural = 'deployments'): string =>
  `/apis/apps/v1/namespaces/${namespace.name}/${plural}/${name}`;

async function replicasOf(path: string): Promise<number> {
  return (await cluster.read<{ spec: { replicas?: number } }>(path))!.spec.replicas ?? 0;
}

/** A Deployment at zero with its Service, and a driver of it. */
async function scene(t: TestContext, app: Partial<AppOptions> = {}, changes: Parameters<Bench['drive']>[2] = {}) {
  const bench = await Bench.open(cluster);
  const namespace = await cluster.namespace('driver');
  t.after(async () => {
    await bench[Symbol.asyncDispose]();
    await namespace[Symbol.asyncDispose]();
  });
  // No pod can be made before.
  const account = `/api/v1/namespaces/${namespace.name}/serviceaccounts/default`;
  await until('the namespace has its service account', async () => (await cluster.read(account)) !== null);
  await namespace.apply(appObjects({ name: 'web', replicas: 0, terminationGracePeriodSeconds: 1, ...app }));
  const driven = await bench.drive(namespace, deployment('web'), changes);
  return { bench, namespace, ...driven };
}

function crashOf(witness: Witness): Promise<Crash> {
  return witness.until('a crash', () => witness.crashes.find((crash) => crash !== null));
}

function states(driver: Driver): string[] {
  return driver.instances().map(({ state }) => state);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

test('a Deployment goes 0 -> 1 -> 3 -> 2 -> 0: the chosen pod goes, and pods are ready as soon as they listen', async (t) => {
  const { bench, namespace, driver, witness } = await scene(t);
  driver.scaleUp(1);
  const [first] = await witness.ready(driver, 1);
  assert.equal(await connects(first!.address), true);
  assert.match(first!.id, /^web-[a-z0-9]+-[a-z0-9]+~[0-9a-f]{8}$/);
  assert.deepEqual(first!.ports, { http: 8080 });

  driver.scaleUp(3);
  const three = await witness.ready(driver, 3);
  // Not the one that a ReplicaSet would take by itself: it gives up the youngest.
  assert.equal(three[0]!.id, first!.id);
  await driver.retire([first!.id], { freeze: false });
  assert.notEqual(driver.instances().find(({ id }) => id === first!.id)?.state, 'ready');
  await witness.state(first!.id, 'gone');
  assert.deepEqual(states(driver), ['ready', 'ready']);
  assert.equal(await replicasOf(pathOf(namespace, 'web')), 2);

  const rest = driver.instances().map(({ id }) => id);
  await driver.retire(rest, { freeze: false });
  assert.equal(await replicasOf(pathOf(namespace, 'web')), 0);
  for (const id of rest) await witness.state(id, 'gone');
  assert.deepEqual(driver.instances(), []);
  assert.deepEqual(witness.crashes, []);
  const writes = bench.scaleWrites('web');
  assert.deepEqual(
    writes.filter(({ error }) => error === '').map(({ body }) => body.spec?.replicas),
    [1, 3, 2, 0],
  );
  // The deployment controller writes the status meanwhile: a write that was refused for that is made again.
  for (const { error } of writes)
    if (error !== '') assert.match(error, /it has been changed or replaced since it was read/);
});

test('from scaleUp to the write, and to the pod', async (t) => {
  const { bench, driver, witness } = await scene(t, { env: { DRAIN: '0' } });
  const figures: { sent: number; answered: number; ready: number }[] = [];
  for (let round = 0; round < 10; round++) {
    const beganMs = performance.now();
    driver.scaleUp(1);
    const sentAfter = bench.scaleWrites('web').length;
    const [instance] = await witness.ready(driver, 1);
    const readyMs = performance.now();
    const write = bench.scaleWrites('web')[sentAfter - 1]!;
    assert.equal(write.body.spec?.replicas, 1);
    figures.push({
      sent: write.atMs - beganMs,
      answered: write.answeredAtMs - beganMs,
      ready: readyMs - beganMs,
    });
    await driver.retire([instance!.id], { freeze: false });
    await witness.state(instance!.id, 'gone');
  }
  const line = (['sent', 'answered', 'ready'] as const)
    .map((key) => {
      const values = figures.map((figure) => figure[key]);
      return `${key} median ${median(values).toFixed(1)} ms, longest ${Math.max(...values).toFixed(1)} ms`;
    })
    .join('; ');
  t.diagnostic(`scaleUp(1) of a Deployment at zero, 10 times: ${line}`);
  assert.ok(median(figures.map(({ sent }) => sent)) <= 10);
});

test('named ports are those of each pod', async (t) => {
  const { namespace, driver, witness } = await scene(t);
  driver.scaleUp(1);
  await witness.ready(driver, 1);
  // Nobody's pod but the selector's, with the port elsewhere.
  const [objects] = appObjects({ name: 'web', env: { PORT: '9090' } }) as [
    { spec: { template: { spec: { containers: { ports: object[] }[] } } } },
  ];
  const { spec } = objects.spec.template;
  spec.containers[0]!.ports = [{ name: 'http', containerPort: 9090 }];
  await namespace.apply([{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'other', labels: { app: 'web' } }, spec }]);
  const both = await witness.ready(driver, 2);
  assert.deepEqual(both.map(({ address }) => address!.port).sort(), [8080, 9090]);
  for (const { address } of both) assert.equal(await connects(address), true);
});

test('a program that ends is a crash with its exit code; it recovers when it is corrected', async (t) => {
  const { namespace, driver, witness } = await scene(t, {
    podSpec: {
      containers: [
        {
          name: 'app',
          image: 'dormouse.test/app:latest',
          imagePullPolicy: 'Never',
          command: ['/usr/local/bin/node', '-e', 'process.exit(3)'],
          ports: [{ name: 'http', containerPort: 8080 }],
        },
      ],
    },
  });
  driver.scaleUp(1);
  const crash = await crashOf(witness);
  assert.match(crash.reason, /^pod web-\S+ container app ended with exit code 3/);
  assert.match(crash.reason, /kubectl describe pod -n driver-\S+ web-/);
  assert.ok(crash.retryAtMs > Date.now());
  assert.deepEqual(states(driver), ['starting']);
  t.diagnostic(crash.reason);
  await namespace.apply(appObjects({ name: 'web', replicas: 1 }));
  await witness.ready(driver, 1);
  await witness.until('recovered', () => witness.crashes.includes(null));
  assert.equal(driver.crash(), null);
});

for (const [what, podSpec, expected] of [
  [
    'an image that is not there',
    { containers: [{ name: 'app', image: 'dormouse.test/no-such-image:latest', imagePullPolicy: 'Never' }] },
    /^pod web-\S+ can't start container app \(ErrImageNeverPull\)/,
  ],
  [
    'a node that is not there',
    { nodeSelector: { 'dormouse.test/no-such': 'node' } },
    /^pod web-\S+ can't be scheduled: .*nodes are available/,
  ],
  [
    'a Secret that is not there',
    {
      containers: [
        {
          name: 'app',
          image: 'dormouse.test/app:latest',
          imagePullPolicy: 'Never',
          envFrom: [{ secretRef: { name: 'no-such-secret' } }],
        },
      ],
    },
    /^pod web-\S+ can't start container app \(CreateContainerConfigError\): secret "no-such-secret" not found/,
  ],
] as const) {
  test(`a start that waits for ${what} is a crash that says so`, async (t) => {
    const { driver, witness } = await scene(t, { podSpec });
    const beganMs = performance.now();
    driver.scaleUp(1);
    const crash = await crashOf(witness);
    assert.match(crash.reason, expected);
    t.diagnostic(`after ${((performance.now() - beganMs) / 1000).toFixed(1)} s: ${crash.reason}`);
  });
}

test('a quota that allows no pod is a crash that says so', async (t) => {
  const { namespace, driver, witness } = await scene(t);
  await namespace.apply([
    { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'none' }, spec: { hard: { pods: '0' } } },
  ]);
  driver.scaleUp(1);
  const crash = await crashOf(witness);
  assert.match(crash.reason, /^Deployment web gets no pod: .*exceeded quota: none/);
  t.diagnostic(crash.reason);
});

test('a target that is not there, or of a kind that is not there, is a crash that says what to do', async (t) => {
  const { bench, namespace } = await scene(t);
  const missing = await bench.drive(namespace, deployment('nobody'));
  missing.driver.scaleUp(1);
  const crash = await crashOf(missing.witness);
  assert.match(
    crash.reason,
    /Deployment driver-\S+\/nobody can't be scaled: .*create it, or correct kubernetes.target/,
  );
  const unknown = await bench.drive(namespace, { apiVersion: 'example.com/v1', kind: 'Nothing', name: 'web' });
  unknown.driver.scaleUp(1);
  const other = await crashOf(unknown.witness);
  assert.match(other.reason, /the cluster has no such kind/);
});

test('a service account without the right to scale is a crash that names the right', async (t) => {
  const { namespace } = await scene(t);
  const user = `system:serviceaccount:${namespace.name}:default`;
  // It may read everything, so that informers work.
  await cluster.apply([
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: namespace.name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: namespace.name }],
    },
  ]);
  t.after(() => cluster.kubectl(['delete', 'clusterrolebinding', namespace.name]));
  await using bench = await Bench.open(cluster, { impersonate: { user, groups: [] } });
  const { driver, witness } = await bench.drive(namespace, deployment('web'));
  driver.scaleUp(1);
  const crash = await crashOf(witness);
  assert.match(crash.reason, /give the service account "default" .* the verb "patch" on "deployments\/scale"/);
  t.diagnostic(crash.reason);
});

for (const mode of ['refused', 'silent'] as const) {
  test(`a wake while connections to the API server are ${mode} is made as soon as it is back`, async (t) => {
    const { namespace } = await scene(t);
    await using road = await Road.to(cluster.server);
    await using bench = await Bench.open(cluster, { server: road.url });
    const { driver, witness } = await bench.drive(namespace, deployment('web'));
    await road.close(mode);
    driver.scaleUp(1);
    // Long enough for back-offs to be at their longest, and for a time limit of a request to pass.
    await delay(5000);
    assert.deepEqual(driver.instances(), []);
    await road.open();
    const backMs = performance.now();
    const path = pathOf(namespace, 'web');
    await until('it is scaled', async () => (await replicasOf(path)) === 1, { everyMs: 10 });
    const tookMs = performance.now() - backMs;
    await witness.ready(driver, 1);
    assert.deepEqual(witness.crashes, []);
    t.diagnostic(`scaled ${tookMs.toFixed(0)} ms after the API server was back`);
    // A connection that was begun meanwhile and is never answered is given up by its own time limit, of 10 s, before another is made.
    assert.ok(tookMs < (mode === 'refused' ? 2000 : 12_000));
  });
}

test('who scales by hand meanwhile wins: what is up is found, and a sleep decided before is refused', async (t) => {
  const { namespace, driver, witness, bench } = await scene(t);
  const path = pathOf(namespace, 'web');
  await cluster.scale(path, 1);
  const [instance] = await witness.ready(driver, 1);
  assert.deepEqual(bench.scaleWrites('web'), []);
  // The informer can't have heard of it yet, as it can't when both happen at once.
  await cluster.scale(path, 2);
  await assert.rejects(driver.retire([instance!.id], { freeze: false }), { code: 'DORMOUSE_SCALED_BY_OTHERS' });
  assert.equal(await replicasOf(path), 2);
  await witness.ready(driver, 2);
  assert.ok(driver.instances().some(({ id, state }) => id === instance!.id && state === 'ready'));
  // And lowered by others: told by the pods.
  await cluster.scale(path, 1);
  await witness.until('one is gone', () => driver.instances().length === 1);
});

test('a StatefulSet gives up its highest ordinals, and says so', async (t) => {
  const { bench, namespace } = await scene(t);
  const [{ spec }] = appObjects({ name: 'db', terminationGracePeriodSeconds: 1 }) as [{ spec: object }];
  await namespace.apply([
    ...appObjects({ name: 'db', replicas: 0 }).slice(1),
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db' },
      spec: { ...spec, replicas: 0, serviceName: 'db' },
    },
  ]);
  const target = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'db' };
  const { driver, witness } = await bench.drive(namespace, target);
  driver.scaleUp(3);
  const three = await witness.ready(driver, 3);
  const names = (ids: readonly string[] | null | undefined): string[] => (ids ?? []).map((id) => id.split('~')[0]!);
  assert.deepEqual(names(driver.retireFirst?.()), ['db-2', 'db-1', 'db-0']);
  const idOf = (name: string): string => three.find(({ id }) => id.startsWith(`${name}~`))!.id;
  await assert.rejects(driver.retire([idOf('db-0')], { freeze: false }), { code: 'DORMOUSE_POD_STAYS' });
  const path = pathOf(namespace, 'db', 'statefulsets');
  assert.equal(await replicasOf(path), 3);
  // One after the other, in the wrong order.
  await Promise.all([
    driver.retire([idOf('db-1')], { freeze: false }),
    driver.retire([idOf('db-2')], { freeze: false }),
  ]);
  assert.equal(await replicasOf(path), 1);
  await witness.until('db-0 alone', () => driver.instances().length === 1);
  await driver.retire([idOf('db-0')], { freeze: false });
  assert.equal(await replicasOf(path), 0);
});

test('anything with a scale subresource will do', async (t) => {
  const { bench, namespace } = await scene(t);
  await using replicator = await Replicator.install(cluster, bench.client);
  await namespace.apply(appObjects({ name: 'own', replicas: 0 }).slice(1));
  await namespace.apply([replicator.object('own', 0)]);
  const { driver, witness } = await bench.drive(namespace, { ...replicator.target, name: 'own' });
  driver.scaleUp(2);
  const ready = await witness.ready(driver, 2);
  for (const { address } of ready) assert.equal(await connects(address), true);
  await driver.retire(
    ready.map(({ id }) => id),
    { freeze: false },
  );
  await witness.until('none', () => driver.instances().length === 0);
  assert.deepEqual(
    bench.scaleWrites('own').map(({ body }) => body.spec?.replicas),
    [2, 0],
  );
  assert.deepEqual(witness.crashes, []);
});
