/** Writes to /scale: when, with which precondition, and what becomes of them when the API server or somebody else gets in the way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../kubernetes/api-error.ts';
import { DormouseError } from '../../model/errors.ts';
import { until, withDriver, type Subject } from './fixtures/bench.ts';
import { NAMESPACE, type FakeCluster, type Request } from './fixtures/fake-cluster.ts';

const scaleWrites = (cluster: FakeCluster): Request[] =>
  cluster.requests.filter(({ verb, resource }) => verb === 'patch' && resource === 'deployments');

const away = (): never => {
  throw new DormouseError('DORMOUSE_API_UNREACHABLE', 'connection refused');
};

async function awake({ driver, witness, cluster }: Subject, count = 1): Promise<string[]> {
  driver.scaleUp(count);
  const ready = await witness.ready(driver, count);
  await until('Ready pods', () =>
    cluster.podsOf('users').every(({ status }) => status!.conditions![0]!.status === 'True'),
  );
  return ready.map(({ id }) => id);
}

test('scaleUp has sent its write when it returns, nothing read before, on the version that it knows', async () => {
  await withDriver({}, async ({ driver, cluster }) => {
    const { resourceVersion } = cluster.targets(cluster.kinds[0]!).get(NAMESPACE, 'users')!.metadata;
    driver.scaleUp(1);
    assert.deepEqual(cluster.requests, [
      {
        verb: 'patch',
        resource: 'deployments',
        name: 'users',
        body: { spec: { replicas: 1 }, metadata: { resourceVersion } },
      },
    ]);
    driver.scaleUp(1);
    driver.scaleUp(1);
    await until('one replica', () => cluster.replicas('users') === 1);
    assert.equal(scaleWrites(cluster).length, 1);
  });
});

test('scaleUp before anything is known of the target asks first', async () => {
  await withDriver({ prepare: (cluster) => void (cluster.deaf = true) }, async ({ driver, cluster, witness }) => {
    driver.scaleUp(2);
    await witness.ready(driver, 2);
    assert.deepEqual(
      cluster.requests.map(({ verb }) => verb),
      ['get', 'patch'],
    );
  });
});

test('a version that is outdated because of something else is read again, and scaled', async () => {
  await withDriver({}, async ({ driver, cluster, witness }) => {
    cluster.deaf = true;
    cluster.touch('users');
    cluster.deaf = false;
    driver.scaleUp(1);
    await witness.ready(driver, 1);
    assert.deepEqual(
      cluster.requests.map(({ verb }) => verb),
      ['patch', 'get', 'patch'],
    );
  });
});

test('somebody who scaled higher at the same moment is not overwritten', async () => {
  await withDriver({}, async ({ driver, cluster, witness }) => {
    cluster.deaf = true;
    cluster.scaleByHand('users', 3);
    driver.scaleUp(1);
    await witness.ready(driver, 3);
    assert.equal(cluster.replicas('users'), 3);
    assert.equal(scaleWrites(cluster).length, 1);
  });
});

test('an object that changes all the time is scaled all the same', async () => {
  await withDriver({}, async ({ driver, cluster, witness }) => {
    cluster.deaf = true;
    cluster.intercept = ({ verb }) => {
      if (verb === 'patch') cluster.touch('users');
    };
    driver.scaleUp(1);
    await witness.ready(driver, 1);
    assert.deepEqual(witness.crashes, []);
  });
});

test('an API server that is away is tried until it is back, and no more often than every 50 ms or so', async () => {
  await withDriver({}, async ({ driver, cluster, witness }) => {
    cluster.intercept = away;
    driver.scaleUp(1);
    await until('four tries', () => cluster.requests.length >= 4);
    cluster.intercept = () => {};
    await witness.ready(driver, 1);
    assert.ok(cluster.requests.length < 12);
    assert.deepEqual(witness.crashes, []);
  });
});

test('the first sign of the API server ends the pause between two tries', async () => {
  await withDriver({}, async ({ driver, cluster, witness }) => {
    cluster.intercept = away;
    driver.scaleUp(1);
    await until('six tries', () => cluster.requests.length >= 6);
    cluster.intercept = () => {};
    const beganMs = performance.now();
    cluster.createService('somebody-elses', []);
    await until('one replica', () => cluster.replicas('users') === 1);
    assert.ok(performance.now() - beganMs < 100);
    await witness.ready(driver, 1);
  });
});

test('a write whose answer is lost is not taken for somebody else’s', async () => {
  await withDriver({}, async ({ driver, cluster, witness }) => {
    let lost = 0;
    cluster.intercept = ({ verb }) => {
      if (verb !== 'patch' || lost++ > 0) return;
      cluster.deaf = true;
      cluster.scaleByHand('users', 1);
      cluster.deaf = false;
      away();
    };
    driver.scaleUp(1);
    await witness.ready(driver, 1);
    assert.equal(scaleWrites(cluster).length, 1);
    assert.equal(cluster.replicas('users'), 1);
  });
});

test('what the API server refuses is a crash with its words; asked again later it is over', async () => {
  await withDriver({}, async ({ driver, cluster, witness }) => {
    cluster.intercept = () => {
      throw new ApiError('patch deployments.apps/scale shop/users: give the service account the verb "patch"', {
        status: 403,
        reason: 'Forbidden',
      });
    };
    driver.scaleUp(1);
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.match(crash!.reason, /^Deployment shop\/users can't be scaled: .*give the service account the verb "patch"/);
    assert.ok(driver.crash()!.retryAtMs >= Date.now() + 4000);
    const asked = cluster.requests.length;
    // Within its time nothing is tried.
    driver.scaleUp(1);
    assert.equal(cluster.requests.length, asked);
  });
});

test('a target that is not there is a crash', async () => {
  await withDriver({ workload: false }, async ({ driver, witness }) => {
    driver.scaleUp(1);
    const crash = await witness.until('a crash', () => witness.crashes.find((one) => one !== null));
    assert.match(crash!.reason, /Deployment users is not there, .*create it, or correct kubernetes\.target/);
  });
});

test('to zero: the version of the decision is sent, and all pods go', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject, 2);
    await driver.retire(ids);
    assert.equal(cluster.replicas('users'), 0);
    assert.deepEqual(driver.instances(), []);
    assert.notEqual(scaleWrites(cluster).at(-1)!.body!.metadata!.resourceVersion, undefined);
  });
});

test('a sleep that somebody’s scaling overtook is refused, and his number stays', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject);
    cluster.deaf = true;
    cluster.paused = true;
    cluster.scaleByHand('users', 2);
    await assert.rejects(driver.retire(ids), { code: 'DORMOUSE_SCALED_BY_OTHERS' });
    assert.equal(cluster.replicas('users'), 2);
    assert.equal(driver.instances()[0]?.state, 'ready');
  });
});

test('a sleep is refused too when somebody has scaled up and those pods are not there yet', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject);
    cluster.paused = true;
    cluster.scaleByHand('users', 2);
    await assert.rejects(driver.retire(ids), { code: 'DORMOUSE_SCALED_BY_OTHERS' });
    assert.equal(cluster.replicas('users'), 2);
  });
});

test('a status that changed meanwhile doesn’t keep it awake', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject);
    cluster.deaf = true;
    cluster.touch('users');
    await driver.retire(ids);
    assert.equal(cluster.replicas('users'), 0);
  });
});

test('a sleep that the API server did not hear of is taken back by a wake', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject);
    cluster.intercept = away;
    const retired = driver.retire(ids);
    const refused = assert.rejects(retired, { code: 'DORMOUSE_SCALE_FAILED', message: /it was woken meanwhile/ });
    await until('two tries', () => cluster.requests.length >= 3);
    driver.scaleUp(2);
    await refused;
    cluster.intercept = () => {};
    await until('ready', () => driver.instances().some(({ state }) => state === 'ready'));
    assert.ok(cluster.replicas('users') >= 1);
  });
});

test('those that are chosen go: they are marked first, and the mark is no longer there on those that stay', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject, 3);
    await driver.retire([ids[1]!]);
    assert.deepEqual(
      driver
        .instances()
        .map(({ id }) => id)
        .sort(),
      [ids[0]!, ids[2]!].sort(),
    );
    const marks = cluster.requests.filter(({ resource }) => resource === 'pods');
    assert.equal(marks.length, 1);
    assert.equal(cluster.replicas('users'), 2);
    // Both in one turn: one write.
    const before = scaleWrites(cluster).length;
    await Promise.all([driver.retire([ids[0]!]), driver.retire([ids[2]!])]);
    assert.equal(scaleWrites(cluster).length, before + 1);
    assert.equal(cluster.replicas('users'), 0);
  });
});

test('a chosen pod waits for the kubelet to see the others, which would be deleted in its place', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster, witness } = subject;
    const [first] = await awake(subject);
    cluster.kubelet = false;
    driver.scaleUp(2);
    const [, second] = await witness.ready(driver, 2);
    const retired = driver.retire([first!]);
    const name = second!.id.split('~')[0]!;
    await until('the second is Ready', () => cluster.portOf(name) > 1);
    assert.equal(cluster.replicas('users'), 2);
    cluster.setReady(name, true);
    await retired;
    assert.deepEqual(
      driver.instances().map(({ id }) => id),
      [second!.id],
    );
  });
});

test('without the right to mark pods they are made fewer all the same', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject, 2);
    cluster.intercept = ({ resource }) => {
      if (resource === 'pods') throw new ApiError('forbidden', { status: 403, reason: 'Forbidden' });
    };
    await driver.retire([ids[0]!]);
    assert.equal(cluster.replicas('users'), 1);
  });
});

test('terminating pods are out at once, and retire does not wait for their end', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster, witness } = subject;
    const ids = await awake(subject);
    cluster.graceful = true;
    await driver.retire(ids);
    assert.equal(driver.instances()[0]?.state, 'stopping');
    // A wake meanwhile gets a pod of its own.
    driver.scaleUp(1);
    const [next] = await witness.ready(driver, 1);
    assert.notEqual(next!.id, ids[0]);
    cluster.finish(ids[0]!.split('~')[0]!);
    assert.equal(driver.instances().length, 1);
  });
});

test('a wake at the moment of the zero keeps a pod that nobody has deleted yet', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject);
    cluster.paused = true;
    const retired = assert.rejects(driver.retire(ids), { code: 'DORMOUSE_POD_STAYS' });
    await until('zero', () => cluster.replicas('users') === 0);
    driver.scaleUp(2);
    await until('one', () => cluster.replicas('users') === 1);
    cluster.paused = false;
    cluster.reconcile('users');
    await retired;
    assert.equal(driver.instances()[0]?.state, 'ready');
  });
});

test('a wake while the zero is being written is written right after it', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject);
    let zeros = 0;
    cluster.intercept = ({ verb, body }) => {
      // One on top of the one that goes.
      if (verb === 'patch' && body?.spec?.replicas === 0 && zeros++ === 0) driver.scaleUp(2);
    };
    await driver.retire(ids).catch(() => {});
    await until('one', () => cluster.replicas('users') === 1);
    await until('ready', () => driver.instances().some(({ state }) => state === 'ready'));
    assert.equal(zeros, 1);
  });
});

test('a wake before the zero is written keeps it from being written', async () => {
  await withDriver({}, async (subject) => {
    const { driver, cluster } = subject;
    const ids = await awake(subject, 2);
    const retired = assert.rejects(driver.retire(ids), { message: /it was woken meanwhile/ });
    const isFirst = (): boolean => scaleWrites(cluster).some(({ body }) => body?.spec?.replicas === 0);
    cluster.intercept = ({ verb, body }) => {
      if (verb !== 'patch' || body?.spec?.replicas !== 0) return;
      driver.scaleUp(4);
      away();
    };
    await retired;
    assert.equal(isFirst(), true);
    await until('ready', () => driver.instances().filter(({ state }) => state === 'ready').length === 2);
    assert.equal(cluster.replicas('users'), 2);
  });
});

test('a target that others scale is started with as many as it had, also when it is woken on the way to zero', async () => {
  const changes = { scale: { by: 'none' }, replicasBefore: () => 3 } as const;
  await withDriver(changes, async (subject) => {
    const { driver, cluster, witness } = subject;
    driver.scaleUp(1);
    const ids = (await witness.ready(driver, 3)).map(({ id }) => id);
    let zeros = 0;
    cluster.intercept = ({ verb, body }) => {
      if (verb === 'patch' && body?.spec?.replicas === 0 && zeros++ === 0) driver.scaleUp(1 + ids.length);
    };
    await driver.retire(ids).catch(() => {});
    await until('three', () => cluster.replicas('users') === 3);
    // Where some run, how many there are is somebody else's business.
    await witness.ready(driver, 3);
    cluster.scaleByHand('users', 2);
    await until('two', () => driver.instances().length === 2);
    driver.scaleUp(1);
    assert.equal(cluster.replicas('users'), 2);
  });
});

test('starts that are given up are taken back, what somebody else scaled is not', async () => {
  const prepare = (cluster: FakeCluster): void => void (cluster.podStart = 'silent');
  await withDriver({ prepare }, async ({ driver, cluster }) => {
    driver.scaleUp(2);
    await until('two', () => cluster.podsOf('users').length === 2);
    driver.cancelStarts(0);
    await until('zero', () => cluster.replicas('users') === 0);
    driver.scaleUp(1);
    await until('one', () => cluster.replicas('users') === 1);
    cluster.scaleByHand('users', 3);
    driver.cancelStarts(0);
    driver.scaleUp(1);
    await until('three pods', () => driver.instances().length === 3);
    assert.equal(cluster.replicas('users'), 3);
  });
});

test('a start that is given up before its write was answered is taken back after it', async () => {
  const prepare = (cluster: FakeCluster): void => void (cluster.podStart = 'silent');
  await withDriver({ prepare }, async ({ driver, cluster }) => {
    driver.scaleUp(1);
    driver.cancelStarts(0);
    await until('both writes', () => scaleWrites(cluster).length === 2);
    await until('zero', () => cluster.replicas('users') === 0);
  });
});

test('who makes it smaller while a request waits is overruled', async () => {
  const prepare = (cluster: FakeCluster): void => void (cluster.podStart = 'silent');
  await withDriver({ prepare, wake: { failFastAfterMs: 60_000 } }, async ({ driver, cluster }) => {
    driver.scaleUp(1);
    await until('one', () => cluster.replicas('users') === 1);
    cluster.scaleByHand('users', 0);
    await until('one again', () => cluster.replicas('users') === 1);
  });
});
