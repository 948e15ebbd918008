/** Backends that their triggers alone wake: workers without Service and route, with their Secret, and with a source that fails. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RedisServer } from '../../services/redis.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { Guarded, Scene } from '../fixtures/scene.ts';
import { appObjects, ensureCluster } from '../machine/index.ts';

let scene: Scene;

before(async () => {
  const cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'triggers');
});
after(async () => {
  await scene?.[Symbol.asyncDispose]();
});

const PASSWORD = 'only-in-the-secret';
const PATIENCE_MS = 60_000;

/** A Redis that the operator reaches. */
function redis(): Promise<RedisServer> {
  return RedisServer.start(PASSWORD, ['--bind', '127.0.0.1', scene.cluster.nodeAddress, '--protected-mode', 'no']);
}

function secret(name: string): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { 'redis-password': PASSWORD } };
}

/** As the chart makes it of triggerSecrets. */
function right(name: string): object[] {
  const metadata = { name: 'dormouse-operator-triggers' };
  return [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata,
      rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [name], verbs: ['get'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: 'dormouse-operator', namespace: 'dormouse-system' }],
    },
  ];
}

/** A Deployment alone, and a Backend of the same name without Service and port. */
async function worker(name: string, server: RedisServer, spec: object = {}): Promise<Guarded> {
  const [deployment] = appObjects({ name, replicas: 0, terminationGracePeriodSeconds: 5 });
  await scene.namespace.apply([
    deployment!,
    {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name },
      spec: {
        kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name } },
        scale: { max: 3, idleAfter: '2s' },
        triggers: [
          {
            name: 'jobs',
            'redis-list': {
              address: `${scene.cluster.nodeAddress}:${server.port}`,
              listName: name,
              listLength: 5,
              pollingInterval: '500ms',
              authentication: { secret: 'redis', keys: { password: 'redis-password' } },
            },
          },
        ],
        ...spec,
      },
    },
  ]);
  return new Guarded(scene, name);
}

test('a queue wakes workers that nobody sends requests to, as many as it is worth, and they sleep when it is empty', async (t) => {
  await using server = await redis();
  await scene.namespace.apply([secret('redis'), ...right('redis')]);
  const app = await worker('mailer', server);
  await app.untilCondition('TriggersReady', 'True', 'Answering');
  await app.untilCondition('IdleSource', 'True', 'Triggers');
  await app.untilCondition('Ready', 'True');
  const sentMs = Date.now();
  await server.say('RPUSH', 'mailer', ...Array.from({ length: 12 }, (_, n) => `m${n}`));
  await scene.deployments.until('three workers', () => app.replicas === 3, PATIENCE_MS);
  t.diagnostic(`message -> /scale seen in a watch: ${Date.now() - sentMs} ms`);
  await app.untilReady(3);
  assert.match(scene.backends.get('mailer')?.status?.lastWoken?.by ?? '', /trigger jobs: \d+ messages wait in mailer/);
  await server.say('LTRIM', 'mailer', '0', '1');
  await scene.deployments.until('one worker', () => app.replicas === 1, PATIENCE_MS);
  await server.say('DEL', 'mailer');
  await scene.deployments.until('none', () => app.replicas === 0, PATIENCE_MS);
  await scene.backends.until('asleep', () => scene.backends.get('mailer')?.status?.state === 'asleep', PATIENCE_MS);
  await app.delete();
});

test('a source that fails is said in a condition with the next step, and the scale stays where it was', async () => {
  await using server = await redis();
  await scene.namespace.apply([secret('redis'), ...right('redis')]);
  const app = await worker('steady', server);
  await server.say('RPUSH', 'steady', ...Array.from({ length: 9 }, (_, n) => `m${n}`));
  await app.untilReady(2);
  await server.kill();
  const said = await app.untilCondition('TriggersReady', 'False', 'SourceFails');
  assert.match(
    said.message,
    /trigger jobs: Redis .* does not answer .*: see that it runs and that address is right\. Meanwhile the scale stays/,
  );
  // Longer than idleAfter.
  await new Promise((resolve) => setTimeout(resolve, 6000));
  assert.equal(app.replicas, 2);
  await server.start();
  await app.untilCondition('TriggersReady', 'True');
  await scene.deployments.until('none: it came back empty', () => app.replicas === 0, PATIENCE_MS);
  await app.delete();
});

test('a Secret that the operator may not read, and one that is not there, are said with what to do', async () => {
  await using server = await redis();
  await scene.namespace.apply([secret('redis'), secret('hidden')]);
  const source = { address: `${scene.cluster.nodeAddress}:${server.port}`, listName: 'x', pollingInterval: '500ms' };
  const named = (secretName: string): object => ({
    triggers: [{ 'redis-list': { ...source, authentication: { secret: secretName } } }],
  });
  const app = await worker('hidden', server, named('hidden'));
  const said = await app.untilCondition('TriggersReady', 'False');
  assert.match(
    said.message,
    /the operator may not read the Secret .*\/hidden: add \{ namespace: .*, names: \[hidden\] \} to the chart's value triggerSecrets/,
  );
  await app.delete();
});

test('in place: a queue wakes an application and keeps it awake beside its Service, and has no say in who reaches it', async () => {
  await using server = await redis();
  await scene.namespace.apply([secret('redis'), ...right('redis')]);
  const jobs = {
    address: `${scene.cluster.nodeAddress}:${server.port}`,
    listName: 'mixed',
    pollingInterval: '500ms',
    authentication: { secret: 'redis', keys: { password: 'redis-password' } },
  };
  const app = await scene.guarded({ name: 'mixed', backend: { triggers: [{ name: 'jobs', 'redis-list': jobs }] } });
  await app.untilAsleep();
  await server.say('RPUSH', 'mixed', 'a');
  await app.untilServing();
  assert.match(app.object?.status?.lastWoken?.by ?? '', /trigger jobs: 1 message waits in mixed/);
  // Longer than it takes to fall asleep without work.
  await new Promise((resolve) => setTimeout(resolve, 8000));
  assert.equal(app.step, 'serving');
  await server.say('DEL', 'mixed');
  await app.untilAsleep();
  await app.delete();
  await app.untilRestored(1);
});
