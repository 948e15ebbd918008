/** Gateways of a cluster publish traffic events to a real Redis, and KEDA's own scaler counts them. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { requestEvent } from '../../../src/events/event-bus.contract.ts';
import { readTrafficEvent, type TrafficEvent } from '../../../src/model/traffic-event.ts';
import { openBus } from '../../services/events.ts';
import { NatsServer } from '../../services/nats.ts';
import { RedisServer } from '../../services/redis.ts';
import { INSTALLATION_NAMESPACE, installDormouse } from '../fixtures/installation.ts';
import { Scene, type Guarded } from '../fixtures/scene.ts';
import { appObjects, ensureCluster, run, until, type Cluster } from '../machine/index.ts';
import { program } from '../machine/programs.ts';

const PASSWORD = 'in-a-file-of-a-secret';
let cluster: Cluster;
let redis: RedisServer;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster({ keda: true });
  // The last word on an option counts: pods reach it by the node's address.
  redis = await RedisServer.start(PASSWORD, ['--bind', '0.0.0.0']);
  const kubectl = [program('kubectl'), `--kubeconfig=${cluster.kubeconfigPath}`];
  const has = await cluster.read(`/api/v1/namespaces/${INSTALLATION_NAMESPACE}`);
  if (has === null) await run([...kubectl, 'create', 'namespace', INSTALLATION_NAMESPACE]);
  if ((await cluster.read(`/api/v1/namespaces/${INSTALLATION_NAMESPACE}/secrets/bus`)) === null)
    await run([
      ...kubectl,
      '-n',
      INSTALLATION_NAMESPACE,
      'create',
      'secret',
      'generic',
      'bus',
      `--from-literal=password=${PASSWORD}`,
    ]);
  const bus = `redis://${cluster.nodeAddress}:${redis.port}`;
  const events = { bus, passwordFile: '/var/run/dormouse/events/password', each: true };
  await installDormouse(cluster, { values: { settings: { events }, events: { secret: 'bus' } } });
  scene = await Scene.open(cluster, 'events');
});
after(async () => {
  await scene?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
});

const stream = (app: string): string => `dormouse.traffic.${scene.namespace.name}.${app}`;

async function eventsOf(app: string): Promise<TrafficEvent[]> {
  const text = await redis.say('XRANGE', stream(app), '-', '+');
  return text.split('\n').flatMap((line) => (line.startsWith('{') ? [readTrafficEvent(line)!] : []));
}

async function asleep(name: string): Promise<Guarded> {
  const app = await scene.guarded({ name, replicas: 1, backend: { scale: { idleAfter: '3s' } } });
  await app.untilAsleep();
  return app;
}

test('a wake, its request and its window are told by the gateway that held it', async () => {
  const app = await asleep('shop');
  const before = (await eventsOf('shop')).length;
  const answer = await app.get('/cart?secret=1');
  assert.equal(answer.status, 200, answer.text);
  const events = await until('all of it is told', async () => {
    const all = (await eventsOf('shop')).slice(before);
    const types = all.map(({ type }) => type);
    return ['wake', 'window', 'request'].every((type) => types.includes(type as never)) && all;
  });
  const wake = events.find(({ type }) => type === 'wake') as Extract<TrafficEvent, { type: 'wake' }>;
  assert.equal(wake.backend, `${scene.namespace.name}/shop`);
  assert.deepEqual([wake.by.method, wake.by.path], ['GET', '/cart']);
  assert.match(wake.gateway, /^dormouse-gateway-/);
  const request = events.find(({ type }) => type === 'request') as Extract<TrafficEvent, { type: 'request' }>;
  assert.deepEqual([request.status, request.cold], [200, true]);
  assert.equal(events[0]!.type, 'wake', 'before anything else');
});

test("KEDA's redis-streams scaler starts a consumer of one backend's events, and ends it when they are read", async () => {
  const app = await asleep('watched');
  await redis.say('XGROUP', 'CREATE', stream('watched'), 'reports', '$', 'MKSTREAM');
  await scene.namespace.apply(appObjects({ name: 'reports', replicas: 0 }));
  const metadata = { name: 'reports', namespace: scene.namespace.name };
  const trigger = {
    type: 'redis-streams',
    metadata: {
      address: `${cluster.nodeAddress}:${redis.port}`,
      passwordFromEnv: 'BUS_PASSWORD',
      stream: stream('watched'),
      consumerGroup: 'reports',
      lagCount: '5',
      activationLagCount: '0',
    },
  };
  await scene.namespace.kubectl('set', 'env', 'deployment/reports', `BUS_PASSWORD=${PASSWORD}`);
  await scene.namespace.apply([
    {
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledObject',
      metadata,
      spec: {
        scaleTargetRef: { name: 'reports' },
        minReplicaCount: 0,
        maxReplicaCount: 2,
        pollingInterval: 1,
        cooldownPeriod: 1,
        triggers: [trigger],
      },
    },
  ]);
  const replicas = (): number => scene.deployments.get('reports')?.spec.replicas ?? -1;
  assert.equal((await app.get('/')).status, 200);
  await until('the consumer is started', () => replicas() >= 1, { timeoutMs: 60_000 });
  await until(
    'the backend is quiet',
    async () => {
      const read = await redis.say(
        'XREADGROUP',
        'GROUP',
        'reports',
        'one',
        'NOACK',
        'COUNT',
        '1000',
        'STREAMS',
        stream('watched'),
        '>',
      );
      return read.trim() === '' && replicas() === 0;
    },
    { timeoutMs: 90_000, everyMs: 500 },
  );
});

test("KEDA's nats-jetstream scaler does the same for a durable consumer", async () => {
  await using nats = await NatsServer.start({ host: '0.0.0.0' });
  const name = `${scene.namespace.name}/counted`;
  const bus = await openBus(nats.url, { stream: 'dormouse.traffic' });
  // The durable consumer is there as soon as somebody has subscribed once.
  const first = bus.subscribe({ group: 'reports', consumer: 'one', backend: name, from: 'new' }, () => {});
  await first.ready;
  await first.close();
  await scene.namespace.apply(appObjects({ name: 'counters', replicas: 0 }));
  const trigger = {
    type: 'nats-jetstream',
    metadata: {
      natsServerMonitoringEndpoint: `${cluster.nodeAddress}:${nats.monitorPort}`,
      account: '$G',
      stream: 'dormouse_traffic',
      consumer: `reports-${scene.namespace.name}-counted`,
      lagThreshold: '5',
      activationLagThreshold: '0',
    },
  };
  const spec = { scaleTargetRef: { name: 'counters' }, minReplicaCount: 0, maxReplicaCount: 2, pollingInterval: 1 };
  await scene.namespace.apply([
    {
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledObject',
      metadata: { name: 'counters', namespace: scene.namespace.name },
      spec: { ...spec, cooldownPeriod: 1, triggers: [trigger] },
    },
  ]);
  const replicas = (): number => scene.deployments.get('counters')?.spec.replicas ?? -1;
  bus.publish([requestEvent('other', 'default/other'), requestEvent('one', name), requestEvent('two', name)]);
  await until('the consumer is started', () => replicas() >= 1, { timeoutMs: 60_000 });
  const heard: string[] = [];
  const second = bus.subscribe({ group: 'reports', consumer: 'one', backend: name, from: 'new' }, (batch) => {
    for (const { event, ack } of batch) {
      heard.push(event.id);
      ack();
    }
  });
  await until('the consumer is ended', () => replicas() === 0, { timeoutMs: 60_000 });
  assert.deepEqual(heard, ['one', 'two']);
  await second.close();
  await bus.close(1000);
});

test('the bus is killed: a sleeping Service wakes all the same, and its wake is told when the bus is back', async () => {
  const app = await asleep('brave');
  await redis.kill();
  const answer = await app.get('/');
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers.get('x-cold-start'), 'true');
  await redis.start();
  await until('its wake is told', async () => (await eventsOf('brave')).some(({ type }) => type === 'wake'), {
    timeoutMs: 30_000,
  });
});
