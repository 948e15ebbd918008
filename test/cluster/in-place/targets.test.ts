/** What can be put to sleep in place, what somebody else does to it, and what is refused: each refusal is a condition and an event that say what to do. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SELECTOR_KEY } from '../../../src/operator/redirect.ts';
import { Replicator } from '../driver/replicator.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { backendObject, Guarded, Scene } from '../fixtures/scene.ts';
import { appObjects, ensureCluster, until, type Cluster } from '../machine/index.ts';

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'targets');
});
after(() => scene?.[Symbol.asyncDispose]());

/** An API server leaves out what is zero. */
const replicasAt = async (path: string): Promise<number | undefined> =>
  (await cluster.read<{ spec: { replicas?: number } }>(`${path}/scale`))!.spec.replicas ?? 0;

async function statefulSet(): Promise<void> {
  const name = 'db';
  const [deployment, service] = appObjects({ name, replicas: 2, terminationGracePeriodSeconds: 5 }) as [
    { spec: object },
    object,
  ];
  const set = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name },
    spec: { ...deployment.spec, serviceName: name, podManagementPolicy: 'Parallel' },
  };
  await scene.namespace.apply(scene.witnessed([set, service]));
  const app = new Guarded(scene, name);
  const path = `/apis/apps/v1/namespaces/${scene.namespace.name}/statefulsets/${name}`;
  await until('two pods', async () => {
    const found = await cluster.read<{ status?: { readyReplicas?: number } }>(path);
    return found?.status?.readyReplicas === 2;
  });
  await app.declare({ kubernetes: { target: { apiVersion: 'apps/v1', kind: 'StatefulSet', name }, service: name } });
  await app.untilAsleep();
  assert.equal(await replicasAt(path), 0);
  const passed = app.steps.length;
  assert.equal((await app.get()).headers.get('x-cold-start'), 'true');
  await app.untilPassed('serving', passed);
  assert.equal(await replicasAt(path), 2);
  await app.delete();
  await scene.backends.untilGone(name);
}

async function customResource(): Promise<void> {
  const name = 'own';
  await using replicator = await Replicator.install(cluster, scene.client);
  await scene.namespace.apply([...appObjects({ name, replicas: 0 }).slice(1), replicator.object(name, 2)]);
  const app = new Guarded(scene, name);
  await until('it answers', async () => (await app.get('/healthz')).status === 200);
  await app.declare({ kubernetes: { target: { ...replicator.target, name }, service: name } });
  await app.untilAsleep();
  const path = `/apis/driver.dormouse.test/v1/namespaces/${scene.namespace.name}/replicators/${name}`;
  assert.equal(await replicasAt(path), 0);
  const passed = app.steps.length;
  assert.equal((await app.get()).status, 200);
  await app.untilPassed('serving', passed);
  assert.equal(await replicasAt(path), 2);
  await app.delete();
  await scene.backends.untilGone(name);
  await app.untilWithoutGateways();
}

test('a StatefulSet, and anything else with a scale subresource, sleeps and wakes with as many as it had', async () => {
  await Promise.all([statefulSet(), customResource()]);
});

async function scaledUpAsleep(): Promise<void> {
  const app = await scene.guarded({ name: 'raised', backend: { scale: { idleAfter: '20s' } } });
  await app.patch({ spec: { scale: { idleAfter: '1s' } } });
  await app.untilAsleep();
  await app.patch({ spec: { scale: { idleAfter: '20s' } } });
  const passed = app.steps.length;
  await app.scale(3);
  await app.untilPassed('serving', passed);
  await app.untilReady(3);
  await app.untilWithoutGateways();
  assert.equal(app.object?.status?.lastWoken?.by, 'somebody else scaled it up');
  assert.equal((await app.get()).headers.get('x-cold-start'), null);
  await app.delete();
  await app.untilRestored(3);
}

async function scaledDownAwake(): Promise<void> {
  const app = await scene.guarded({ name: 'lowered', replicas: 2, backend: { scale: { idleAfter: '10m' } } });
  await app.untilCondition('Ready', 'True');
  await app.scale(0);
  // There is nothing left to wait for: gateways stand in, and the next request wakes it.
  await app.untilAsleep();
  const passed = app.steps.length;
  assert.equal((await app.get()).status, 200);
  await app.untilPassed('serving', passed);
  await app.delete();
  await scene.backends.untilGone('lowered');
}

/** And stays there when we go: nobody waits for pods that nobody wants. */
async function leftAtZero(): Promise<void> {
  const app = await scene.guarded({ name: 'left', replicas: 0 });
  await app.untilAsleep();
  await app.delete();
  await scene.backends.untilGone('left', 20_000);
  await app.untilWithoutGateways();
  assert.equal(app.selector[SELECTOR_KEY], undefined);
  assert.equal(app.replicas, 0);
}

async function atZeroBefore(): Promise<void> {
  const app = await scene.guarded({ name: 'zero', replicas: 0 });
  await app.untilAsleep();
  await app.untilCondition('Ready', 'True');
  assert.equal(app.condition('Crashing')?.status, 'False');
  const passed = app.steps.length;
  assert.equal((await app.get()).headers.get('x-cold-start'), 'true');
  await app.untilPassed('serving', passed);
  await app.untilReady(1);
  await app.delete();
  await app.untilRestored(1);
}

test('what others scale is accepted: up while it sleeps, to zero while it is awake, at zero before we came', async () => {
  await Promise.all([scaledUpAsleep(), scaledDownAwake(), atZeroBefore(), leftAtZero()]);
});

test('what can not sleep in place is refused with a condition and an event, and left alone', async (t) => {
  const { namespace } = scene;
  const service = (name: string, spec: object): object => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 'http' }], ...spec },
  });
  const cases: [name: string, service: object | null, reason: string, message: RegExp][] = [
    ['headless', service('headless', { clusterIP: 'None' }), 'Headless', /route to the Backend through a Gateway/],
    [
      'external',
      { ...service('external', {}), spec: { type: 'ExternalName', externalName: 'example.com' } },
      'ExternalName',
      /Name a Service that selects pods/,
    ],
    ['unselecting', service('unselecting', { selector: null }), 'NoSelector', /written by somebody else/],
    [
      'datagrams',
      service('datagrams', {
        ports: [
          { name: 'a', port: 80 },
          { name: 'dns', port: 53, protocol: 'UDP' },
        ],
      }),
      'UnsupportedProtocol',
      /port 53 .* is UDP.*a Service of its own/,
    ],
    ['unserved', null, 'ServiceNotFound', /there is no Service unserved.*create it/],
  ];
  await namespace.apply(
    cases.flatMap(([name, object]) => [
      appObjects({ name })[0]!,
      ...(object === null ? [] : [object]),
      backendObject(name),
    ]),
  );
  await namespace.apply([backendObject('untargeted'), service('untargeted', {})]);
  for (const [name, , reason, message] of cases) {
    const app = new Guarded(scene, name);
    const condition = await app.untilCondition('ServiceReady', 'False', reason);
    assert.match(condition.message, message);
    await app.untilCondition('Ready', 'False', reason);
    await scene.events.until(`event of ${name}`, () => scene.eventsOf(name).includes(reason));
    t.diagnostic(`${reason}: ${condition.message}`);
  }
  const missing = new Guarded(scene, 'untargeted');
  const condition = await missing.untilCondition('TargetReady', 'False');
  assert.match(condition.message, /Deployment untargeted is not there.*create it, or correct kubernetes\.target/s);
  await scene.events.until('event of untargeted', () => scene.eventsOf('untargeted').includes(condition.reason));
  t.diagnostic(`${condition.reason}: ${condition.message}`);
  for (const [name] of cases) {
    assert.equal(scene.services.get(name)?.spec.selector?.[SELECTOR_KEY], undefined);
    assert.equal(scene.deployments.get(name)?.spec.replicas, 1);
  }
  // And what is corrected is taken up.
  await namespace.kubectl('delete', 'service', 'headless');
  await namespace.apply([
    ...appObjects({ name: 'untargeted' }).slice(0, 1),
    ...appObjects({ name: 'unserved' }).slice(1),
    service('headless', {}),
  ]);
  const mended = ['headless', 'unserved', 'untargeted'].map((name) => new Guarded(scene, name));
  await Promise.all(mended.map((app) => app.untilAsleep()));
  for (const app of mended) await app.untilCondition('Ready', 'True');
  await Promise.all([...cases.map(([name]) => name), 'untargeted'].map((name) => new Guarded(scene, name).delete()));
});

test('of two Backends on one target or one Service the older one wins, until it goes', async () => {
  const app = await scene.guarded({ name: 'first', backend: { scale: { idleAfter: '10m' } } });
  await app.untilCondition('Ready', 'True');
  const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'first' };
  await scene.namespace.apply([
    ...appObjects({ name: 'other' }),
    backendObject('same-target', { kubernetes: { target, service: 'other' } }),
    backendObject('same-service', { kubernetes: { target: { ...target, name: 'other' }, service: 'first' } }),
  ]);
  const [byTarget, byService] = [new Guarded(scene, 'same-target'), new Guarded(scene, 'same-service')];
  const first = await byTarget.untilCondition('Accepted', 'False', 'Conflict');
  assert.match(first.message, /Deployment first belongs to Backend .*\/first, which is older.*Delete one of the two/);
  const second = await byService.untilCondition('Accepted', 'False', 'Conflict');
  assert.match(second.message, /Service first belongs to Backend .*\/first/);
  for (const name of ['same-target', 'same-service'])
    await scene.events.until(`event of ${name}`, () => scene.eventsOf(name).includes('Conflict'));
  assert.equal(app.condition('Ready')?.status, 'True');
  await app.delete();
  await scene.backends.untilGone('first');
  await byTarget.untilCondition('Accepted', 'True');
  await byService.untilCondition('Accepted', 'True');
  await Promise.all([byTarget.delete(), byService.delete()]);
});

test('two services of one name in two namespaces sleep and wake apart', async () => {
  await using elsewhere = await Scene.open(cluster, 'targets-elsewhere');
  const [here, there] = await Promise.all(
    [scene, elsewhere].map((one, index) => one.guarded({ name: 'twin', env: { NAME: `twin ${index}` } })),
  );
  await Promise.all([here!.untilAsleep(), there!.untilAsleep()]);
  const passed = here!.steps.length;
  const answer = await here!.get();
  assert.equal((JSON.parse(answer.text) as { name: string }).name, 'twin 0');
  await here!.untilPassed('serving', passed);
  assert.equal(there!.step, 'asleep');
  assert.equal(there!.replicas, 0);
  const other = await there!.get();
  assert.equal((JSON.parse(other.text) as { name: string }).name, 'twin 1');
  await Promise.all([here!.delete(), there!.delete()]);
});
