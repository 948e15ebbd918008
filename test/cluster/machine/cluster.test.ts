/** The cluster that other tests stand on is a real one: everything that they rely on is seen to work here. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { WebSocket } from 'ws';
import { freePort, runProgram, startProgram, untilListening } from '../../../bench/processes.ts';
import { appObjects, DORMOUSE_IMAGE, ensureCluster, until, type Cluster, type TestNamespace } from './index.ts';
import { bringUp } from './up.ts';

let cluster: Cluster;
before(async () => {
  cluster = await ensureCluster({ images: ['app', 'dormouse'] });
});

interface Scalable {
  spec: { replicas: number };
  status: { readyReplicas?: number; availableReplicas?: number };
}

const deploymentPath = (namespace: string, name: string): string =>
  `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;

async function untilReplicas(namespace: string, name: string, ready: number, timeoutMs = 60_000): Promise<void> {
  await until(
    `${ready} ready pods of ${name}`,
    async () => ((await cluster.read<Scalable>(deploymentPath(namespace, name)))?.status.readyReplicas ?? 0) === ready,
    { timeoutMs },
  );
}

async function addressOf(namespace: TestNamespace, service: string): Promise<string> {
  return namespace.kubectl('get', 'service', service, '-o', 'jsonpath={.spec.clusterIP}');
}

async function podOf(namespace: TestNamespace, app: string): Promise<string> {
  return namespace.kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'jsonpath={.items[0].metadata.name}');
}

test('its nodes are ready, and up again is quick and does nothing', async () => {
  const nodes = await cluster.kubectl(['wait', '--for=condition=Ready', 'nodes', '--all', '--timeout=5s']);
  assert.equal(nodes.code, 0, nodes.stderr);
  const again = await bringUp({});
  assert.deepEqual(again.steps, []);
  assert.ok(again.seconds < 1, `${again.seconds} s`);
});

test('a Deployment becomes ready and its Service answers; it goes to zero and comes back', async (t) => {
  await using namespace = await cluster.namespace();
  await namespace.apply(appObjects({ name: 'web', replicas: 2 }));
  await untilReplicas(namespace.name, 'web', 2);
  const url = `http://${await addressOf(namespace, 'web')}`;
  const pods = new Set<string>();
  await until('answers of both pods', async () => {
    const answer = (await (await fetch(url, { headers: { connection: 'close' } })).json()) as { pod: string };
    return pods.add(answer.pod).size === 2;
  });
  const echo = await fetch(`${url}/echo`, { method: 'POST', body: 'a body' });
  assert.equal(await echo.text(), 'a body');

  await cluster.scale(deploymentPath(namespace.name, 'web'), 0);
  await until('no answer', () =>
    fetch(url, { signal: AbortSignal.timeout(500) }).then(
      () => false,
      () => true,
    ),
  );
  await until('no pods', async () => (await namespace.kubectl('get', 'pods', '-o', 'name')) === '');
  const startedAt = performance.now();
  await cluster.scale(deploymentPath(namespace.name, 'web'), 1);
  await untilReplicas(namespace.name, 'web', 1);
  const readySeconds = ((performance.now() - startedAt) / 1000).toFixed(2);
  await until('an answer', async () => (await fetch(url, { signal: AbortSignal.timeout(200) })).ok, { everyMs: 5 });
  const answerSeconds = ((performance.now() - startedAt) / 1000).toFixed(2);
  t.diagnostic(`0 -> 1: ready after ${readySeconds} s, the Service answers after ${answerSeconds} s`);
});

test('helm reaches it', async () => {
  const { code, stdout, stderr } = await cluster.helm(['list', '--all-namespaces', '--output', 'json']);
  assert.equal(code, 0, stderr);
  assert.ok(Array.isArray(JSON.parse(stdout)));
});

test('WebSockets reach a pod', async () => {
  await using namespace = await cluster.namespace();
  await namespace.apply(appObjects({ name: 'web' }));
  await untilReplicas(namespace.name, 'web', 1);
  const url = `ws://${await addressOf(namespace, 'web')}/socket`;
  const messages: string[] = [];
  await until('an echo', () => {
    messages.length = 0;
    return new Promise<boolean>((resolve, reject) => {
      const socket = new WebSocket(url, { handshakeTimeout: 1_000 });
      socket.once('error', reject);
      socket.once('open', () => socket.send('hello'));
      socket.on('message', (data) => {
        messages.push(String(data));
        if (messages.length < 2) return;
        socket.close();
        resolve(true);
      });
    });
  });
  assert.equal(messages[1], 'hello');
});

test('pods find Services by name, and kubectl can look into them', async () => {
  await using namespace = await cluster.namespace();
  await namespace.apply([...appObjects({ name: 'web' }), ...appObjects({ name: 'other' })]);
  await untilReplicas(namespace.name, 'web', 1);
  await untilReplicas(namespace.name, 'other', 1);
  const pod = await podOf(namespace, 'web');
  const program = (url: string): string[] => [
    '/usr/local/bin/node',
    '-e',
    `fetch('${url}').then(async (answer) => console.log(await answer.text()))`,
  ];
  const host = `other.${namespace.name}.svc.cluster.local`;
  for (const name of ['other', host]) {
    const answer = await until(`answer of ${name}`, () =>
      namespace.kubectl('exec', pod, '--', ...program(`http://${name}/`)),
    );
    assert.match(answer, /"pod":"other-/);
  }
  // By its own Service: the way out and back in of one pod.
  assert.match(await namespace.kubectl('exec', pod, '--', ...program('http://web/')), /"pod":"web-/);
  assert.match(await namespace.kubectl('logs', pod), /"listening":8080/);
});

test("Dormouse's image runs as nobody with a read-only root file system", async () => {
  await using namespace = await cluster.namespace();
  await namespace.apply([
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'dormouse' },
      spec: {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'dormouse',
            image: DORMOUSE_IMAGE,
            imagePullPolicy: 'Never',
            args: ['--version'],
            securityContext: {
              runAsNonRoot: true,
              readOnlyRootFilesystem: true,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
              seccompProfile: { type: 'RuntimeDefault' },
            },
          },
        ],
      },
    },
  ]);
  const phase = await until('its end', async () => {
    const text = await namespace.kubectl('get', 'pod', 'dormouse', '-o', 'jsonpath={.status.phase}');
    return /Succeeded|Failed/.test(text) && text;
  });
  const output = await namespace.kubectl('logs', 'dormouse');
  assert.equal(phase, 'Succeeded', output);
  assert.match(output, /\d+\.\d+\.\d+/);
});

test('KEDA takes a Deployment from zero to some and back, by the length of a Redis list', async (t) => {
  const port = await freePort();
  const redis = startProgram(
    [
      'redis-server',
      '--bind',
      '127.0.0.1',
      cluster.nodeAddress,
      '--port',
      String(port),
      '--protected-mode',
      'no',
      '--save',
      '',
    ],
    { core: null },
  );
  t.after(() => redis.stop());
  await untilListening(redis, port);
  const say = (...command: string[]): Promise<string> =>
    runProgram(['redis-cli', '-h', cluster.nodeAddress, '-p', String(port), ...command], { core: null }, 5_000);
  await using namespace = await cluster.namespace();
  await namespace.apply(appObjects({ name: 'worker', replicas: 0, env: { DRAIN: '0' } }));
  await namespace.apply([
    {
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledObject',
      metadata: { name: 'worker' },
      spec: {
        scaleTargetRef: { name: 'worker' },
        pollingInterval: 1,
        cooldownPeriod: 1,
        maxReplicaCount: 3,
        advanced: { horizontalPodAutoscalerConfig: { behavior: { scaleDown: { stabilizationWindowSeconds: 0 } } } },
        triggers: [
          { type: 'redis', metadata: { address: `${cluster.nodeAddress}:${port}`, listName: 'jobs', listLength: '5' } },
        ],
      },
    },
  ]);
  await namespace.kubectl('wait', '--for=condition=Ready', 'scaledobject/worker', '--timeout=30s');
  const startedAt = performance.now();
  const seconds = (): string => ((performance.now() - startedAt) / 1000).toFixed(1);
  await say('RPUSH', 'jobs', ...Array.from({ length: 15 }, (_, index) => `job-${index}`));
  await untilReplicas(namespace.name, 'worker', 3);
  t.diagnostic(`three pods after ${seconds()} s`);
  await say('DEL', 'jobs');
  await untilReplicas(namespace.name, 'worker', 0, 90_000);
  t.diagnostic(`none after ${seconds()} s`);
});

test('the API server can be paused, cut off from pods, killed, and its history compacted; then all is well', async () => {
  const paused = cluster.pauseApiServer(1_500);
  await until('silence', () =>
    cluster.request('GET', '/livez', { timeoutMs: 300 }).then(
      () => false,
      () => true,
    ),
  );
  await paused;
  assert.equal((await cluster.request('GET', '/livez')).status, 200);

  await cluster.cutApiServer(500);
  const before = (await cluster.read<{ metadata: { resourceVersion: string } }>('/api/v1/configmaps?limit=1'))!;
  await using namespace = await cluster.namespace();
  await namespace.kubectl('create', 'configmap', 'later', '--from-literal=key=value');
  await cluster.compactEtcd();
  await cluster.restartApiServer();
  const from = `resourceVersion=${before.metadata.resourceVersion}`;
  const watch = await cluster.request('GET', `/api/v1/configmaps?watch=1&timeoutSeconds=2&${from}`);
  assert.match(`${watch.status} ${watch.body}`, /410|"code":410/);
  assert.deepEqual((await bringUp({})).steps, []);
});
