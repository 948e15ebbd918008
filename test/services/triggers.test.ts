/** Triggers against a real Redis and a real NATS: the contract, what each counts, and what they say when their source is not what it should be. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../bench/processes.ts';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';
import { TriggerRun, triggerContract } from '../../src/triggers/trigger.contract.ts';
import { NatsServer } from './nats.ts';
import { NatsTool } from './nats-tool.ts';
import { Prometheus } from './prometheus.ts';
import { RedisServer } from './redis.ts';

const OFTEN = { pollingInterval: '100ms' };
/** So seldom that only a look that waits can tell. */
const SELDOM = { pollingInterval: '1h' };

function redisAt(server: RedisServer): { address: string } {
  return { address: `127.0.0.1:${server.port}` };
}

/** Runs with one trigger, which is ended. */
async function running(
  type: string,
  options: Record<string, unknown>,
  use: (run: TriggerRun) => Promise<void>,
  secrets: Record<string, Record<string, string>> = {},
): Promise<void> {
  const run = new TriggerRun(type, options, secrets);
  try {
    await use(run);
  } finally {
    await run.stop();
  }
}

async function fails(type: string, options: Record<string, unknown>, how: RegExp): Promise<void> {
  await running(type, { ...options, ...OFTEN }, async (run) => {
    await run.until('failure', () => run.failures.length > 0);
    assert.match(run.failures[0]!, how);
    assert.deepEqual(run.reports, [], 'it is no report');
  });
}

triggerContract('redis-list', async () => {
  const server = await RedisServer.start();
  return {
    type: 'redis-list',
    options: { ...redisAt(server), listName: 'jobs', ...OFTEN },
    work: async () => void (await server.say('RPUSH', 'jobs', 'a', 'b', 'c')),
    done: async () => void (await server.say('DEL', 'jobs')),
    kill: () => server.kill(),
    revive: () => server.start(),
    hang: () => server.stop(),
    goOn: () => server.goOn(),
    close: () => server[Symbol.asyncDispose](),
  };
});

triggerContract('redis-streams', async () => {
  const server = await RedisServer.start();
  await server.say('XGROUP', 'CREATE', 'jobs', 'workers', '$', 'MKSTREAM');
  return {
    type: 'redis-streams',
    options: { ...redisAt(server), stream: 'jobs', consumerGroup: 'workers', lagCount: 5, ...OFTEN },
    work: async () => void (await server.say('XADD', 'jobs', '*', 'n', '1')),
    done: async () => {
      await server.say('XREADGROUP', 'GROUP', 'workers', 'me', 'STREAMS', 'jobs', '>');
      const [id] = (await server.say('XREVRANGE', 'jobs', '+', '-', 'COUNT', '1')).split('\n');
      await server.say('XACK', 'jobs', 'workers', id!);
    },
    kill: () => server.kill(),
    revive: async () => {
      await server.start();
      await server.say('XGROUP', 'CREATE', 'jobs', 'workers', '$', 'MKSTREAM');
    },
    hang: () => server.stop(),
    goOn: () => server.goOn(),
    close: () => server[Symbol.asyncDispose](),
  };
});

for (const how of ['servers', 'monitoring'] as const) {
  triggerContract(`nats-jetstream by ${how}`, async () => {
    const server = await NatsServer.start();
    let tool = await NatsTool.open(server.port);
    const make = async (): Promise<void> => {
      await tool.stream('JOBS', 'jobs.>');
      await tool.consumer('JOBS', 'workers');
    };
    await make();
    const source =
      how === 'servers'
        ? { servers: [server.url] }
        : { natsServerMonitoringEndpoint: `127.0.0.1:${server.monitorPort}`, account: '$G' };
    return {
      type: 'nats-jetstream',
      options: { ...source, stream: 'JOBS', consumer: 'workers', ...OFTEN },
      work: () => tool.publish('jobs.a'),
      done: async () => {
        const acknowledge = await tool.next('JOBS', 'workers');
        await acknowledge();
      },
      kill: () => server.kill(),
      revive: async () => {
        await server.start();
        tool.close();
        tool = await NatsTool.open(server.port);
        await make();
      },
      hang: () => server.stop(),
      goOn: () => server.goOn(),
      close: async () => {
        tool.close();
        await server[Symbol.asyncDispose]();
      },
    };
  });
}

test('redis-list: a look takes nothing, keeps the order, leaves workers theirs, and is not repeated for what is known', async () => {
  await using server = await RedisServer.start();
  await running(
    'redis-list',
    { ...redisAt(server), listName: 'jobs', activationListLength: 2, ...SELDOM },
    async (run) => {
      await run.until('report', () => run.reports.length > 0);
      await server.say('RPUSH', 'jobs', 'a', 'b');
      await run.until('the two', () => run.last!.metric?.value === 2);
      assert.equal(run.last!.active, false, 'two are not above two');
      const calls = await server.say('INFO', 'commandstats');
      assert.ok(Number(/cmdstat_blmove:calls=(\d+)/.exec(calls)?.[1]) <= 2, calls);
      assert.equal(await server.say('LRANGE', 'jobs', '0', '-1'), 'a\nb');
    },
  );
  assert.equal(await server.connections(), 0);
});

test('redis-list: what workers keep in their own list is in work: it counts, and keeps the backend awake', async () => {
  await using server = await RedisServer.start();
  const options = {
    ...redisAt(server),
    listName: 'jobs',
    processingListName: 'work',
    activationListLength: 10,
    ...OFTEN,
  };
  await running('redis-list', options, async (run) => {
    await server.say('RPUSH', 'jobs', 'a', 'b', 'c');
    await server.say('LMOVE', 'jobs', 'work', 'LEFT', 'RIGHT');
    await run.until('all three', () => run.last?.metric?.value === 3 && run.last.active);
    assert.equal(run.last!.reason, '2 messages wait in jobs, 1 in work in work');
    await server.say('DEL', 'work');
    await run.until('not active: two are not above ten', () => !run.last!.active);
  });
});

test('redis-list: without the right to write it is only asked, which is told once', async () => {
  await using server = await RedisServer.start();
  await server.say('ACL', 'SETUSER', 'reader', 'on', '>pass', '~jobs', '+llen', '+select', '+ping');
  const login = { username: 'reader', password: 'pass' };
  await running('redis-list', { ...redisAt(server), listName: 'jobs', ...login, ...OFTEN }, async (run) => {
    await run.until('word of it', () => run.infos.length > 0);
    assert.match(run.infos[0]!, /asking only.*Redis 6\.2 and the right to BLMOVE jobs/);
    await server.say('RPUSH', 'jobs', 'a');
    await run.until('active', () => run.last!.active);
    await server.say('DEL', 'jobs');
    await run.until('quiet', () => !run.last!.active);
    assert.equal(run.infos.length, 1);
    assert.deepEqual(run.failures, []);
  });
});

test('Redis: what is wrong is said with the next step, and the password comes from a file or a Secret', async (t) => {
  await using open = await RedisServer.start();
  await using closed = await RedisServer.start('secret');
  const folder = mkdtempSync(join(tmpdir(), 'dormouse-triggers-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'password');
  writeFileSync(file, 'secret\n');
  await open.say('SET', 'text', 'x');
  const list = { listName: 'jobs' };
  await fails(
    'redis-list',
    { ...redisAt(open), listName: 'text' },
    /text in Redis 127\.0\.0\.1:\d+ is no list: correct listName; redis-cli TYPE text says what it is/,
  );
  await fails('redis-streams', { ...redisAt(open), stream: 'text' }, /text in Redis .* is no stream: correct stream/);
  await fails(
    'redis-list',
    { ...redisAt(closed), ...list },
    /wants a password: give password or passwordFile, in a cluster authentication/,
  );
  await fails('redis-list', { ...redisAt(closed), ...list, password: 'wrong' }, /refuses user and password: correct/);
  await fails('redis-list', { ...redisAt(open), ...list, enableTLS: true }, /TLS fails|does not answer/);
  await fails(
    'redis-list',
    { address: '127.0.0.1:1', ...list },
    /Redis 127\.0\.0\.1:1 does not answer \(ECONNREFUSED\): see that it runs and that address is right/,
  );
  await fails(
    'redis-list',
    { ...redisAt(open), ...list, authentication: { secret: 'redis' } },
    /there is no Secret redis/,
  );
  await running('redis-list', { ...redisAt(closed), ...list, passwordFile: file, ...OFTEN }, async (run) => {
    await run.until('report', () => run.reports.length > 0);
  });
  const authentication = { secret: 'redis', keys: { password: 'redis-password' } };
  await running(
    'redis-list',
    { ...redisAt(closed), ...list, authentication, ...OFTEN },
    async (run) => await run.until('report', () => run.reports.length > 0),
    { redis: { 'redis-password': 'secret' } },
  );
});

test('a Redis Cluster: the node that has the list is named', async () => {
  await using cluster = await RedisServer.start('', ['--cluster-enabled', 'yes']);
  await fails(
    'redis-list',
    { ...redisAt(cluster), listName: 'jobs' },
    /can't answer now \(CLUSTERDOWN|is one node of a Redis Cluster/,
  );
});

test('redis-streams: length, pending and lag, as KEDA decides by the keys', async () => {
  await using server = await RedisServer.start();
  const stream = { ...redisAt(server), stream: 'jobs', ...OFTEN };
  for (let n = 0; n < 12; n++) await server.say('XADD', 'jobs', '*', 'n', String(n));
  await running('redis-streams', { ...stream, streamLength: 4 }, async (run) => {
    await run.until('report', () => run.reports.length > 0);
    assert.deepEqual([run.last!.desired, run.last!.active, run.last!.reason], [3, true, '12 entries in jobs']);
  });
  const group = { ...stream, consumerGroup: 'workers' };
  await running('redis-streams', { ...group, lagCount: 6 }, async (run) => {
    await run.until('report', () => run.reports.length > 0);
    assert.equal(run.last!.desired, 2, 'nobody has made the group: all of it waits');
    assert.match(run.last!.reason, /whose group workers nobody has made yet/);
  });
  await server.say('XGROUP', 'CREATE', 'jobs', 'workers', '0');
  await running('redis-streams', { ...group, pendingEntriesCount: 2 }, async (run) => {
    await run.until('report', () => run.reports.length > 0);
    assert.deepEqual([run.last!.desired, run.last!.active], [0, true], 'nothing is pending, but somebody has to read');
    await server.say('XREADGROUP', 'GROUP', 'workers', 'me', 'COUNT', '5', 'STREAMS', 'jobs', '>');
    await run.until('five pending', () => run.last!.metric?.value === 5);
    assert.equal(run.last!.desired, 2.5);
  });
  await running('redis-streams', { ...group, lagCount: 7, activationLagCount: 100 }, async (run) => {
    await run.until('report', () => run.reports.length > 0);
    assert.deepEqual([run.last!.desired, run.last!.active], [1, true], 'seven lag; what is pending keeps it awake');
    const said = run.reports.length;
    await server.say('XGROUP', 'DESTROY', 'jobs', 'workers');
    await run.until('failure', () => run.failures.length > 0);
    assert.match(
      run.failures[0]!,
      /the group workers of jobs in Redis .* was there and is gone: make it with XGROUP CREATE jobs workers 0/,
    );
    await server.say('DEL', 'jobs');
    await run.until('failure', () => run.failures.length > 2);
    assert.match(run.failures.at(-1)!, /the stream jobs in Redis .* was there and is gone/);
    assert.equal(run.reports.length, said, 'neither is zero');
    await server.say('XGROUP', 'CREATE', 'jobs', 'workers', '0', 'MKSTREAM');
    await run.until('report', () => run.last?.active === false);
  });
});

test('a message on an empty stream, list or JetStream is seen at once', async () => {
  await using redis = await RedisServer.start();
  await using nats = await NatsServer.start();
  const tool = await NatsTool.open(nats.port);
  await tool.stream('JOBS', 'jobs.>');
  await tool.consumer('JOBS', 'workers');
  const cases: [string, Record<string, unknown>, () => Promise<unknown>][] = [
    ['redis-list', { ...redisAt(redis), listName: 'jobs' }, () => redis.say('RPUSH', 'jobs', 'a')],
    ['redis-streams', { ...redisAt(redis), stream: 'entries' }, () => redis.say('XADD', 'entries', '*', 'n', '1')],
    ['nats-jetstream', { servers: [nats.url], stream: 'JOBS', consumer: 'workers' }, () => tool.publish('jobs.a')],
  ];
  try {
    for (const [type, options, send] of cases) {
      await running(type, { ...options, ...SELDOM }, async (run) => {
        await run.until('report', () => run.reports.length > 0);
        await send();
        await run.until('the message', () => run.last!.active);
        assert.deepEqual(run.failures, []);
      });
    }
  } finally {
    tool.close();
  }
});

test('JetStream: what was delivered and not acknowledged is in work; a consumer that nobody has made leaves all of the stream', async () => {
  await using nats = await NatsServer.start();
  const tool = await NatsTool.open(nats.port);
  try {
    await tool.stream('JOBS', 'jobs.>');
    for (let n = 0; n < 3; n++) await tool.publish('jobs.a');
    const options = {
      servers: [nats.url],
      stream: 'JOBS',
      consumer: 'workers',
      lagThreshold: 2,
      activationLagThreshold: 50,
      ...OFTEN,
    };
    await running('nats-jetstream', options, async (run) => {
      await run.until('report', () => run.reports.length > 0);
      assert.match(run.last!.reason, /3 messages in JOBS, whose consumer workers nobody has made yet/);
      await tool.consumer('JOBS', 'workers');
      await run.until('consumer', () => /wait in JOBS for workers/.test(run.last!.reason));
      assert.deepEqual([run.last!.desired, run.last!.active], [1.5, false], 'three are not above fifty');
      const acknowledge = await tool.next('JOBS', 'workers');
      await run.until('one in work', () => run.last!.active);
      assert.equal(run.last!.reason, '2 messages wait in JOBS for workers, 1 in work');
      await acknowledge();
      await run.until('none in work', () => !run.last!.active);
      await tool.deleteConsumer('JOBS', 'workers');
      await run.until('failure', () => run.failures.length > 0);
      assert.match(
        run.failures[0]!,
        /the consumer workers of JOBS in NATS .* was there and is gone: make it with nats consumer add JOBS workers/,
      );
      await tool.deleteStream('JOBS');
      await run.until('failure', () => /the stream JOBS was there and is gone/.test(run.failures.at(-1)!));
    });
  } finally {
    tool.close();
  }
});

test('NATS: what is wrong is said with the next step', async () => {
  const users = `authorization { users: [
    { user: all, password: p },
    { user: mute, password: p, permissions: { publish: ["none"], subscribe: ["_INBOX.>"] } },
    { user: deaf, password: p, permissions: { publish: ["$JS.API.>"], subscribe: ["_INBOX.>"] } },
  ] }`;
  await using nats = await NatsServer.start({ config: users, login: 'all:p' });
  await using plain = await NatsServer.start({ jetStream: false });
  const tool = await NatsTool.open(nats.port, { kind: 'password', user: 'all', password: 'p' });
  try {
    await tool.stream('JOBS', 'jobs.>');
    await tool.consumer('JOBS', 'workers');
    const servers = [`nats://127.0.0.1:${nats.port}`];
    const wanted = { servers, stream: 'JOBS', consumer: 'workers' };
    await fails('nats-jetstream', wanted, /refuses this user: give username and password, or token/);
    await fails(
      'nats-jetstream',
      { ...wanted, username: 'mute', password: 'p' },
      /its account may not do this .* allow it to publish to \$JS\.API\.>/,
    );
    await fails(
      'nats-jetstream',
      { ...wanted, username: 'all', password: 'p', stream: 'NONE' },
      /the stream NONE is not there in NATS .* make it with nats stream add NONE/,
    );
    await fails('nats-jetstream', { ...wanted, servers: [plain.url] }, /has no JetStream for this account/);
    await fails(
      'nats-jetstream',
      { ...wanted, servers: ['127.0.0.1:1'] },
      /NATS 127\.0\.0\.1:1 does not answer \(ECONNREFUSED\)/,
    );
    const monitored = {
      stream: 'JOBS',
      consumer: 'workers',
      natsServerMonitoringEndpoint: `127.0.0.1:${plain.monitorPort}`,
    };
    await fails('nats-jetstream', { ...monitored, account: '$G' }, /has no JetStream|knows no account/);
    await fails(
      'nats-jetstream',
      { ...monitored, natsServerMonitoringEndpoint: `127.0.0.1:${nats.monitorPort}`, account: 'nobody' },
      /knows no account nobody with streams: correct account/,
    );
    await running('nats-jetstream', { ...wanted, username: 'deaf', password: 'p', ...OFTEN }, async (run) => {
      await run.until('word of it', () => run.infos.length > 0);
      assert.match(run.infos[0]!, /asking only.*may not subscribe to jobs/);
      await tool.publish('jobs.a');
      await run.until('active', () => run.last!.active);
      assert.deepEqual(run.failures, []);
    });
  } finally {
    tool.close();
  }
});

test('a real Prometheus: one series is a number, several, none and NaN are told apart', async () => {
  await using server = await Prometheus.start('127.0.0.1:9');
  const options = { serverAddress: server.url, threshold: 5 };
  await running('prometheus', { ...options, query: 'vector(12)', ...OFTEN }, async (run) => {
    await run.until('report', () => run.reports.length > 0);
    assert.deepEqual([run.last!.active, run.last!.desired, run.last!.reason], [true, 2.4, '12 of vector(12)']);
  });
  await running(
    'prometheus',
    { ...options, query: 'scalar(vector(3))', activationThreshold: 3, ...OFTEN },
    async (run) => {
      await run.until('report', () => run.reports.length > 0);
      assert.deepEqual([run.last!.active, run.last!.metric?.value], [false, 3]);
    },
  );
  await running('prometheus', { ...options, query: 'nothing_of_this_name', ...OFTEN }, async (run) => {
    await run.until('report', () => run.reports.length > 0);
    assert.equal(run.last!.metric?.value, 0);
  });
  await fails(
    'prometheus',
    { ...options, query: 'nothing_of_this_name', ignoreNullValues: 'off' },
    /the query gives nothing/,
  );
  await fails('prometheus', { ...options, query: 'vector(0) / vector(0)' }, /NaN/);
  await fails('prometheus', { ...options, query: 'sum(' }, /answers 400 \(bad_data: .*\): correct the query/);
  await fails(
    'prometheus',
    { ...options, query: 'label_replace(vector(1), "a", "b", "", "") or vector(2)' },
    /gives 2 series/,
  );
});

test('Redis and NATS by mutual TLS: authority and certificate out of files; a wrong name and no certificate are said', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dormouse-triggers-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const authority = await Authority.create();
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const server = await authority.issue({ names: ['queue.example.com'] });
  const client = await authority.issue({ names: ['dormouse.example.com'] });
  const caFile = file('ca.pem', authority.pem);
  const [certFile, keyFile] = [file('client.crt', client.cert), file('client.key', client.key)];
  const [serverCert, serverKey] = [file('server.crt', server.cert), file('server.key', server.key)];
  const tlsPort = await freePort();
  await using redis = await RedisServer.start('', [
    ...['--tls-port', String(tlsPort), '--tls-cert-file', serverCert, '--tls-key-file', serverKey],
    ...['--tls-ca-cert-file', caFile, '--tls-auth-clients', 'yes'],
  ]);
  await redis.say('RPUSH', 'jobs', 'a');
  const tls = `tls { cert_file: "${serverCert}", key_file: "${serverKey}", ca_file: "${caFile}", verify: true }`;
  await using nats = await NatsServer.start({ config: tls });
  const mutual = { enableTLS: 'on', caFile, certFile, keyFile, serverName: 'queue.example.com' };
  const list = { address: `127.0.0.1:${tlsPort}`, listName: 'jobs' };
  await running('redis-list', { ...list, ...mutual, ...OFTEN }, async (run) => {
    await run.until('report', () => run.last?.active === true);
  });
  const { certFile: _cert, keyFile: _key, ...oneSided } = mutual;
  await fails(
    'redis-list',
    { ...list, ...mutual, serverName: 'other.example.com' },
    /TLS fails .*: see enableTLS, caFile and serverName/,
  );
  await fails('redis-list', { ...list, ...oneSided }, /Redis .*: \S/);
  const stream = { servers: [`nats://127.0.0.1:${nats.port}`], stream: 'JOBS', consumer: 'workers' };
  // It gets as far as JetStream's own answer.
  await fails('nats-jetstream', { ...stream, ...mutual }, /the stream JOBS is not there/);
  await fails('nats-jetstream', { ...stream, ...mutual, serverName: 'other.example.com' }, /TLS fails|does not answer/);
  await fails('nats-jetstream', { ...stream, ...oneSided }, /NATS .*: \S/);
});
