/** The external scaler as KEDA uses it, over mutual TLS; one replica that leads, and one that asks it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { silentLogger } from '../../model/ports.ts';
import { unavailableFigures } from '../scale/figures.ts';
import { LeaderClient } from './leader-client.ts';
import { certificates, FakeFigures, Keda, metric, replica, SERVER_NAME } from './scaler.fixture.ts';

async function leader() {
  const known = new FakeFigures();
  const made = await replica();
  made.figures.lead(known);
  const pem = await certificates();
  const keda = (ref = {}): Keda => new Keda(made.server.address, pem.keda, ref);
  const close = async (...kedas: Keda[]): Promise<void> => {
    for (const one of kedas) one.close();
    await made.server.close();
  };
  return { ...made, known, keda, pem, close };
}

const refused = async (asked: Promise<unknown>): Promise<[number, string]> =>
  asked.then(
    () => assert.fail('it was answered'),
    ({ code, details }: { code: number; details: string }) => [code, details],
  );

test('metrics, targets and activity of a Backend, by its name or by that of the ScaledObject', async () => {
  const { known, keda, close } = await leader();
  known.set('shop/users', true, metric('http', 12.5, 7), metric('jobs', 3000, 5));
  const [own, named, long] = [
    keda(),
    keda({ name: 'x', scalerMetadata: { backend: 'users', scalerAddress: 'dormouse:8444', metrics: 'http=7' } }),
    keda({ name: 'x', scalerMetadata: { backend: 'shop/users' } }),
  ];
  for (const one of [own, named, long]) {
    assert.equal(await one.isActive(), true);
    assert.deepEqual(await one.specs(), [
      { metricName: 'http', target: 7 },
      { metricName: 'jobs', target: 5 },
    ]);
    assert.deepEqual(await one.metrics('http'), [{ metricName: 'http', value: 12.5 }]);
    assert.deepEqual(await one.metrics('jobs'), [{ metricName: 'jobs', value: 3000 }]);
  }
  known.set('shop/users', false, metric('http', 0));
  assert.equal(await own.isActive(), false);
  assert.deepEqual(await own.metrics('http'), [{ metricName: 'http', value: 0 }]);
  await close(own, named, long);
});

test('what is asked wrongly is refused with what to write', async () => {
  const { known, keda, server, pem, close } = await leader();
  known.set('shop/users', true, metric('http', 1));
  const cases: [Partial<Keda['ref']>, number, RegExp][] = [
    [
      { name: 'nobody' },
      status.NOT_FOUND,
      /there is no Backend nobody in namespace shop.*kubectl get backends -n shop/,
    ],
    [
      { scalerMetadata: { bakend: 'users' } },
      status.INVALID_ARGUMENT,
      /"bakend" is not a key of it; write backend: NAME/,
    ],
    [{ scalerMetadata: { backend: 'a/b/c' } }, status.INVALID_ARGUMENT, /is not the name of a Backend/],
    [{ scalerMetadata: { backend: 'Users' } }, status.INVALID_ARGUMENT, /is not the name of a Backend/],
    [{ scalerMetadata: { backend: 'x'.repeat(300) } }, status.INVALID_ARGUMENT, /is not the name of a Backend/],
    [{ name: '', namespace: '' }, status.INVALID_ARGUMENT, /is not the name/],
    [{ namespace: 'b/c' }, status.INVALID_ARGUMENT, /is not a namespace/],
    [
      { scalerMetadata: { backend: 'bank/users' } },
      status.PERMISSION_DENIED,
      /of its own namespace; write backend: users/,
    ],
  ];
  for (const [ref, code, details] of cases) {
    const one = keda(ref);
    for (const asked of [
      one.isActive(),
      one.specs(),
      one.metrics('http'),
      one.stream().ended.then((error) => Promise.reject(error)),
    ]) {
      const [told, text] = await refused(asked);
      assert.equal(told, code, JSON.stringify(ref));
      assert.match(text, details);
    }
    one.close();
  }
  const users = keda();
  const [code, details] = await refused(users.metrics('x'.repeat(300)));
  assert.equal(code, status.NOT_FOUND);
  assert.match(details, /has no metric "x{99}…"; it has http/);
  const gateway = new Keda(server.address, pem.gateway);
  assert.deepEqual(await refused(gateway.isActive()), [
    status.PERMISSION_DENIED,
    "the client's certificate is not one of spiffe://dormouse/scaler-client",
  ]);
  assert.equal((await gateway.stream().ended)?.code, status.PERMISSION_DENIED);
  await close(users, gateway);
});

test('figures that nobody has, or that are old, are an error: never zero', async () => {
  const { known, keda, close } = await leader();
  known.set('shop/users', true, metric('http', 4));
  known.known.get('shop/users')!.metrics[0]!.isStale = true;
  const users = keda();
  assert.match((await refused(users.metrics('http')))[1], /older than 5 s/);
  assert.deepEqual(await users.specs(), [{ metricName: 'http', target: 1 }]);
  known.fails = unavailableFigures('no operator leads');
  for (const asked of [users.isActive(), users.specs(), users.metrics('http')])
    assert.equal((await refused(asked))[0], status.UNAVAILABLE);
  known.fails = new Error('secret');
  assert.deepEqual(await refused(users.isActive()), [
    status.INTERNAL,
    'the scaler failed; look at the logs of the operator',
  ]);
  await close(users);
});

test('a stream says true at once, again while it is wanted, and ends well when the server closes', async () => {
  const { known, keda, server, figures } = await leader();
  known.set('shop/users', false, metric('http', 0));
  const users = keda();
  const stream = users.stream();
  assert.deepEqual(await stream.words(1), [false]);
  const atMs = performance.now();
  known.set('shop/users', true, metric('http', 1));
  assert.deepEqual(await stream.words(2), [false, true]);
  assert.ok(stream.said[1]!.atMs - atMs < 500, `${stream.said[1]!.atMs - atMs} ms`);
  // A gateway says it to this replica itself.
  figures.wanted('shop/users');
  figures.wanted('shop/others');
  assert.deepEqual(await stream.words(3), [false, true, true]);
  assert.equal(server.streams, 1);
  assert.deepEqual(await stream.words(4), [false, true, true, true]);
  await server.close();
  assert.equal(await stream.ended, null);
  users.close();
});

test('a stream outlives a moment in which nobody leads, and is forgotten when it is cancelled', async () => {
  const { known, keda, server, close } = await leader();
  known.fails = unavailableFigures('no operator leads');
  const users = keda();
  const stream = users.stream();
  await new Promise<void>((resolve) => {
    const asked = setInterval(() => {
      if (known.asked === 0) return;
      clearInterval(asked);
      resolve();
    }, 5);
  });
  known.fails = null;
  known.set('shop/users', true, metric('http', 1));
  assert.equal((await stream.words(1))[0], true);
  stream.cancel();
  await stream.ended;
  while (server.streams > 0) await new Promise(setImmediate);
  await close(users);
});

test('a replica that does not lead asks the leader for each answer, and hears at once of what is wanted', async () => {
  const { known, server, figures, close } = await leader();
  const { operator, keda: pem } = await certificates();
  let address: { host: string; port: number } | null = server.address;
  const client = new LeaderClient({
    leader: () => address,
    serverName: SERVER_NAME,
    credentials: () => operator,
    logger: silentLogger,
  });
  const follower = await replica(client);
  client.start();
  known.set('shop/users', false, metric('http', 0));
  const users = new Keda(follower.server.address, pem);
  const stream = users.stream();
  assert.deepEqual(await stream.words(1), [false]);
  assert.equal(await users.isActive(), false);
  // Until the follower listens.
  while (stream.said.length === 1) {
    known.set('shop/users', false, metric('http', 0));
    known.set('shop/users', true, metric('http', 5));
    await Promise.race([stream.words(2), new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  assert.equal(await users.isActive(), true);
  assert.deepEqual(await users.metrics('http'), [{ metricName: 'http', value: 5 }]);
  assert.match((await refused(users.metrics('x')))[1], /has no metric "x"/);
  const nobody = new Keda(follower.server.address, pem, { name: 'nobody' });
  assert.equal((await refused(nobody.isActive()))[0], status.NOT_FOUND);
  // The leader is gone: nobody can say, and above all not that it isn't wanted.
  figures.lead(null);
  assert.equal((await refused(users.isActive()))[0], status.UNAVAILABLE);
  address = null;
  assert.equal((await refused(users.isActive()))[0], status.UNAVAILABLE);
  // What a gateway says itself is enough.
  const before = stream.said.length;
  follower.figures.wanted('shop/users');
  assert.equal((await stream.words(before + 1)).at(-1), true);
  // It leads itself from now on.
  follower.figures.lead(known);
  assert.equal(await users.isActive(), true);
  const ended = stream.ended;
  client.close();
  await follower.server.close();
  assert.equal(await ended, null);
  nobody.close();
  await close(users);
});

test('new certificates are used from the next handshake on', async () => {
  const { known, keda, server, pem, close } = await leader();
  known.set('shop/users', true, metric('http', 1));
  const before = keda();
  assert.equal(await before.isActive(), true);
  assert.throws(() => server.setCredentials({ ...pem.server, key: 'x' }), /can't be used/);
  server.setCredentials(pem.server);
  const after = keda();
  assert.equal(await after.isActive(), true);
  assert.equal(await before.isActive(), true);
  await close(before, after);
});
