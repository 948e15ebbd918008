/** Backends as kubectl sees them, huge ones, and what becomes of them when the operator loses a right. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { installDormouse } from '../fixtures/installation.ts';
import { backendObject, Guarded, Scene } from '../fixtures/scene.ts';
import { appObjects, ensureCluster, until, type Cluster } from '../machine/index.ts';

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'objects');
});
after(() => scene?.[Symbol.asyncDispose]());

test('kubectl waits for its conditions and its state, and prints what matters', async () => {
  const app = await scene.guarded({ name: 'printed' });
  for (const type of ['Ready', 'Accepted', 'TargetReady', 'ServiceReady', 'AutoscalerReady', 'IdleSource'])
    await scene.namespace.kubectl('wait', `--for=condition=${type}`, 'backend/printed', '--timeout=20s');
  await scene.namespace.kubectl('wait', '--for=condition=Crashing=false', 'backend/printed', '--timeout=20s');
  await scene.namespace.kubectl('wait', '--for=jsonpath={.status.state}=asleep', 'backend/printed', '--timeout=60s');
  await app.untilAsleep();
  const passed = app.steps.length;
  assert.equal((await app.get('/hello')).status, 200);
  await app.untilPassed('serving', passed);
  const [head = '', line = ''] = (await scene.namespace.kubectl('get', 'backends')).split('\n');
  assert.deepEqual(head.trim().split(/\s+/), ['NAME', 'STATE', 'INSTANCES', 'SINCE', 'WOKEN-BY', 'READY', 'AGE']);
  assert.match(line, /^printed\s+awake\s+1\s+\S+\s+GET \/hello from .*\s+True\s+\S+$/);
  const wide = await scene.namespace.kubectl('get', 'dmb', 'printed', '-o', 'wide');
  assert.match(wide, /WHY/);
  await app.delete();
});

test('a Backend of nearly 1 MB is stood', async () => {
  const answers = Array.from({ length: 40 }, (_, number) => ({
    match: { path: { exact: `/large/${number}` } },
    body: String(number % 10).repeat(15_000),
  }));
  const spec = { wake: { answers } };
  await scene.guarded({ name: 'large', backend: null });
  const object = backendObject('large', spec) as { metadata: object };
  // As many bytes of annotations as the API server allows.
  object.metadata = { ...object.metadata, annotations: { 'example.com/notes': 'n'.repeat(250_000) } };
  await scene.namespace.apply([object]);
  const app = new Guarded(scene, 'large');
  await app.untilAsleep();
  const { text } = await app.get('/large/7');
  assert.equal(text.length, 15_000);
  assert.equal(app.replicas, 0);
  const passed = app.steps.length;
  assert.equal((await app.get()).status, 200);
  await app.untilPassed('serving', passed);
  await app.delete();
  await app.untilRestored(1);
});

interface Role {
  metadata: object;
  rules: { resources?: string[]; verbs: string[] }[];
}

/** Runs `act` while the operator may not `verb` these resources. */
async function without(resource: string, verb: string, act: () => Promise<void>): Promise<void> {
  const path = '/apis/rbac.authorization.k8s.io/v1/clusterroles/dormouse-operator';
  const { rules } = (await cluster.read<Role>(path))!;
  const set = async (to: Role['rules']): Promise<void> => {
    const { status, body } = await cluster.request('PATCH', path, {
      body: { rules: to },
      contentType: 'application/merge-patch+json',
    });
    assert.equal(status, 200, body);
  };
  const isConcerned = ({ resources = [] }: Role['rules'][number]): boolean => resources.includes(resource);
  await set(
    rules.map((rule) => (isConcerned(rule) ? { ...rule, verbs: rule.verbs.filter((one) => one !== verb) } : rule)),
  );
  try {
    await act();
  } finally {
    await set(rules);
  }
}

test('a right that is taken away is told by a condition and an event, and all goes on when it is given back', async (t) => {
  const [stuck, asleep] = await Promise.all([
    scene.guarded({ name: 'stuck', backend: { scale: { idleAfter: '5s' } } }),
    scene.guarded({ name: 'scaled', backend: { wake: { failFastAfter: '2s' } } }),
  ]);
  await asleep.untilAsleep();
  const passed = asleep.steps.length;
  await without('deployments/scale', 'patch', async () => {
    const answer = await until('the loss is felt', async () => {
      const one = await asleep.get();
      return one.status === 503 ? one : null;
    });
    const { detail } = JSON.parse(answer.text) as { detail: string };
    assert.match(detail, /give the service account .*"patch" on "deployments\/scale"/);
    const condition = await asleep.untilCondition('TargetReady', 'False');
    assert.match(condition.message, /give the service account/);
    t.diagnostic(`${condition.reason}: ${condition.message}`);
  });
  await until('it wakes again', async () => (await asleep.get()).status === 200, { timeoutMs: 90_000 });
  await asleep.untilPassed('serving', passed);
  await asleep.untilCondition('Ready', 'True');
  await asleep.delete();

  await stuck.untilAsleep();
  await stuck.patch({ spec: { scale: { idleAfter: '2s' } } });
  const before = stuck.steps.length;
  assert.equal((await stuck.get()).status, 200);
  await stuck.untilPassed('serving', before);
  await without('services', 'patch', async () => {
    const condition = await stuck.untilCondition('ServiceReady', 'False', 'HandoverFailed');
    assert.match(condition.message, /give the service account .*"patch" on "services"/);
    t.diagnostic(`${condition.reason}: ${condition.message}`);
    await scene.events.until('event of stuck', () => scene.eventsOf('stuck').includes('HandoverFailed'));
    // It serves meanwhile.
    assert.equal((await stuck.get()).status, 200);
  });
  await stuck.untilAsleep();
  await stuck.untilCondition('Ready', 'True');
  await stuck.delete();
  await stuck.untilRestored(1);
});

test('a Service that loses its selector and gets it back by somebody else meanwhile sleeps on', async () => {
  const app = await scene.guarded({ name: 'reset' });
  await app.untilAsleep();
  // As GitOps tools do: the whole selector, as it is in their files.
  await scene.namespace.apply(appObjects({ name: 'reset', replicas: 0 }).slice(1));
  await scene.services.until('our key is back', () => 'dormouse.dev/asleep' in app.selector);
  const passed = app.steps.length;
  assert.equal((await app.get()).headers.get('x-cold-start'), 'true');
  await app.untilPassed('serving', passed);
  await app.untilWithoutGateways();
  await app.delete();
});
