/** From a pod to a ready instance, and starts that hang. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until, withDriver } from './fixtures/bench.ts';
import { NAMESPACE, type FakeCluster } from './fixtures/fake-cluster.ts';

const silent = (cluster: FakeCluster): void => void (cluster.podStart = 'silent');
const unseen = (cluster: FakeCluster): void => void (cluster.kubelet = false);
const nameOf = (id: string): string => id.split('~')[0]!;

test('ready is what listens, long before the kubelet says so', async () => {
  await withDriver({ prepare: unseen }, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    const [instance] = await witness.ready(driver, 1);
    assert.deepEqual(instance!.address, { host: '127.0.0.1', port: cluster.portOf(nameOf(instance!.id)) });
    assert.deepEqual(instance!.ports, { '': instance!.address!.port });
    assert.match(instance!.id, /^users-0~[0-9a-f]{8}$/);
    assert.ok(instance!.startedAtMs > 0);
  });
});

test('with ready: pod the condition alone counts, which readiness gates hold back', async () => {
  await withDriver({ prepare: unseen, kubernetes: { ready: 'pod' } }, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    await until('a pod that listens', () => driver.instances()[0]?.address != null);
    assert.equal(driver.instances()[0]!.state, 'starting');
    cluster.setReady('users-0', true);
    await witness.ready(driver, 1);
  });
});

test('once the kubelet has seen it, what the kubelet says counts: unhealthy with its reason, and back', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    const [instance] = await witness.ready(driver, 1);
    cluster.setReady('users-0', true);
    cluster.setReady('users-0', false, 'containers with unready status: [app]');
    const unhealthy = await witness.state(instance!.id, 'unhealthy');
    assert.equal(unhealthy.reason, 'is not ready: containers with unready status: [app]');
    cluster.setReady('users-0', true);
    assert.equal(driver.instances()[0]!.state, 'ready');
    assert.equal(driver.instances()[0]!.reason, '');
  });
});

test('a container that ends takes its pod out with the exit code; its next one is back as soon as it listens', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    const [instance] = await witness.ready(driver, 1);
    cluster.setReady('users-0', true);
    const server = cluster.servers.get('users-0')!;
    await new Promise<void>((resolve) => void server.close(() => resolve()));
    cluster.setContainer('users-0', { terminated: { exitCode: 137, reason: 'OOMKilled' } });
    cluster.setReady('users-0', false);
    const unhealthy = await witness.state(instance!.id, 'unhealthy');
    assert.equal(unhealthy.reason, 'container app ended with exit code 137 (OOMKilled)');
    cluster.setContainer('users-0', { running: {} }, 1);
    assert.equal(driver.instances()[0]!.state, 'unhealthy');
    await cluster.listen('users-0');
    await witness.until('ready again', () => driver.instances()[0]!.state === 'ready');
    assert.deepEqual(witness.crashes, []);
  });
});

test('a pod that ends by itself is gone, with the reason', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    const [instance] = await witness.ready(driver, 1);
    cluster.updatePod('users-0', ({ status }) =>
      Object.assign(status!, { phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' }),
    );
    const gone = await witness.state(instance!.id, 'gone');
    assert.match(gone.reason, /^pod users-0 has ended: Evicted: The node was low/);
    assert.deepEqual(driver.instances(), []);
  });
});

test('a pod of the same name is another instance, also when its end was missed', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    const [first] = await witness.ready(driver, 1);
    cluster.updatePod('users-0', ({ metadata }) => void (metadata.uid = 'ffffffff-another'));
    await witness.state(first!.id, 'gone');
    const [second] = await witness.ready(driver, 1);
    assert.equal(second!.id, 'users-0~ffffffff');
  });
});

test('what runs already is found, in the state that it has', async () => {
  const prepare = (cluster: FakeCluster): void => {
    cluster.createWorkload('users', 0);
    cluster.podStart = 'manual';
    cluster.scaleByHand('users', 4);
    const longAgo = new Date(Date.now() - 60_000).toISOString();
    const later = new Date(Date.now() - 30_000).toISOString();
    const running = [{ name: 'app', ready: false, restartCount: 0, state: { running: { startedAt: longAgo } } }];
    for (const name of ['users-0', 'users-1', 'users-2'])
      cluster.updatePod(name, (pod) => {
        pod.status = { phase: 'Running', podIP: '127.0.0.1', containerStatuses: running };
      });
    cluster.updatePod('users-0', ({ status }) => {
      status!.conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: longAgo }];
    });
    cluster.updatePod('users-1', ({ status }) => {
      status!.conditions = [
        { type: 'Ready', status: 'False', lastTransitionTime: later, reason: 'ContainersNotReady' },
      ];
    });
    cluster.updatePod('users-3', ({ status }) => void (status!.phase = 'Succeeded'));
  };
  await withDriver({ prepare, workload: false }, async ({ driver, cluster }) => {
    await until('three', () => driver.instances().length === 3);
    assert.deepEqual(
      driver.instances().map(({ id, state }) => `${nameOf(id)} ${state}`),
      // Nothing listens there: the first is taken at the kubelet's word, since it has been Ready for long.
      ['users-0 ready', 'users-1 unhealthy', 'users-2 starting'],
    );
    assert.deepEqual(cluster.requests, []);
  });
});

test('what somebody else scales is told, and nothing is written', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    cluster.scaleByHand('users', 2);
    await witness.ready(driver, 2);
    cluster.scaleByHand('users', 1);
    await until('one', () => driver.instances().length === 1);
    assert.deepEqual(cluster.requests, []);
  });
});

test('a Service that changes its port moves its pods; one that is deleted leaves them', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    const [instance] = await witness.ready(driver, 1);
    cluster.services.remove(NAMESPACE, 'users');
    assert.equal(driver.instances()[0]!.state, 'ready');
    cluster.createService('users', [{ port: 80, targetPort: instance!.address!.port, name: 'web' }]);
    assert.deepEqual(driver.instances()[0]!.ports, { web: instance!.address!.port });
    assert.equal(driver.instances()[0]!.state, 'ready');
    cluster.createService('users', [{ port: 1 }]);
    assert.deepEqual(driver.instances()[0]!.address, { host: '127.0.0.1', port: 1 });
    assert.equal(driver.instances()[0]!.state, 'starting');
  });
});

test('a slow start is no crash', async () => {
  await withDriver({ prepare: silent }, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    await until('a pod', () => driver.instances()[0]?.address != null);
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.deepEqual(witness.crashes, []);
    await cluster.listen('users-0');
    await witness.ready(driver, 1);
  });
});

test('a pod that hangs is a crash after failFastAfter; it stays, and its success ends the crash', async () => {
  await withDriver({ prepare: silent }, async ({ driver, witness, cluster }) => {
    const beganMs = performance.now();
    driver.scaleUp(1);
    await until('a pod', () => driver.instances()[0]?.address != null);
    cluster.setContainer('users-0', { terminated: { exitCode: 2 } });
    cluster.setContainer('users-0', { waiting: { reason: 'CrashLoopBackOff' } }, 3);
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.ok(performance.now() - beganMs >= 49);
    assert.equal(
      crash!.reason,
      'pod users-0 container app ended with exit code 2, 4 times so far (CrashLoopBackOff); look at: kubectl describe pod -n shop users-0',
    );
    assert.deepEqual(driver.crash(), crash);
    driver.cancelStarts(0);
    assert.equal(cluster.replicas('users'), 1);
    cluster.setContainer('users-0', { running: {} }, 4);
    await cluster.listen('users-0');
    await witness.ready(driver, 1);
    assert.deepEqual(witness.crashes.at(-1), null);
    assert.equal(driver.crash(), null);
  });
});

test('what hangs is found when it begins to hang after failFastAfter, too', async () => {
  await withDriver({ prepare: silent }, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    await until('a pod', () => driver.instances()[0]?.address != null);
    await new Promise((resolve) => setTimeout(resolve, 100));
    cluster.setContainer('users-0', { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "x"' } });
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.match(
      crash.reason,
      /^pod users-0 can't start container app \(ImagePullBackOff\): Back-off pulling image "x"/,
    );
  });
});

test('pods that hang are given up after wake.timeout', async () => {
  await withDriver({ prepare: silent, wake: { timeoutMs: 200 } }, async ({ driver, witness, cluster }) => {
    driver.scaleUp(1);
    await until('a pod', () => driver.instances()[0]?.address != null);
    cluster.setContainer('users-0', { waiting: { reason: 'ErrImagePull' } });
    await witness.until('a crash', () => witness.crashes[0]);
    assert.equal(cluster.replicas('users'), 1);
    await until('zero', () => cluster.replicas('users') === 0);
    assert.notEqual(driver.crash(), null);
  });
});

test('one pod that gets on keeps the others from being a crash', async () => {
  await withDriver({ prepare: silent }, async ({ driver, witness, cluster }) => {
    driver.scaleUp(2);
    await until(
      'two',
      () => driver.instances().every(({ address }) => address !== null) && driver.instances().length === 2,
    );
    cluster.setContainer('users-0', { waiting: { reason: 'ErrImagePull' } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(witness.crashes, []);
    cluster.setContainer('users-1', { waiting: { reason: 'ErrImagePull' } });
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.match(crash.reason, /^pod users-0 .* \(and 1 more\)$/);
  });
});

test('a target that may not make pods says why; while the API server is away nothing is concluded', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    cluster.paused = true;
    driver.scaleUp(1);
    await until('one', () => cluster.replicas('users') === 1);
    cluster.intercept = () => {
      throw new Error('away');
    };
    await until('it has been asked', () => cluster.requests.some(({ verb }) => verb === 'get'));
    assert.deepEqual(witness.crashes, []);
    const message = 'pods "users-x" is forbidden: exceeded quota: none';
    cluster.touch('users', { conditions: [{ type: 'ReplicaFailure', status: 'True', message }] });
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.equal(
      crash!.reason,
      `Deployment users gets no pod: ${message}; look at: kubectl describe deployment -n shop users`,
    );
  });
});

test('a pod without the port of its Service, and a Service that is not there, are crashes that say so', async () => {
  await withDriver({}, async ({ driver, witness, cluster }) => {
    cluster.createService('users', [{ port: 80, targetPort: 'web' }]);
    driver.scaleUp(1);
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.match(crash!.reason, /^pod users-0 has no TCP port for Service users \(targetPort web\)/);
  });
  await withDriver({ kubernetes: { service: 'nobody' } }, async ({ driver, witness }) => {
    driver.scaleUp(1);
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.match(crash!.reason, /Service nobody is not there or has no ports/);
  });
});
