/** Traffic events when Redis or NATS hang, are killed, refuse, or are something else than the configuration says: what is kept, what is dropped, what is told. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { freePort } from '../../bench/processes.ts';
import { Heard, keepingLogger, requestEvent } from '../../src/events/event-bus.contract.ts';
import type { EventBus } from '../../src/events/event-bus.ts';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';
import { publicName } from '../../src/nats/nats-credentials.ts';
import { until } from '../e2e/fixtures/until.ts';
import { openBus, type BusChanges } from './events.ts';
import { NatsServer } from './nats.ts';
import { RedisServer } from './redis.ts';

const BOUND = { timeout: 60_000 };

interface Server extends AsyncDisposable {
  url: string;
  start(): Promise<void>;
  stop(): void;
  goOn(): void;
  kill(): Promise<void>;
}

const SERVERS: readonly (readonly [name: string, start: () => Promise<Server>, keeps: boolean])[] = [
  ['Redis', () => RedisServer.start(), false],
  ['NATS', () => NatsServer.start(), true],
];

function publish(bus: EventBus, from: number, to: number, backend = 'shop'): void {
  bus.publish(Array.from({ length: to - from }, (_, at) => requestEvent(`e${from + at}`, backend)));
}

/** Reads all that is there, from the oldest. */
async function readAll(url: string, last: string): Promise<string[]> {
  const bus = await openBus(url);
  const heard = new Heard();
  const subscription = bus.subscribe({ group: 'all', consumer: 'one', backend: null, from: 'oldest' }, (batch) => {
    for (const delivery of batch) delivery.ack();
    heard.take(batch);
  });
  await subscription.ready;
  await until(`${last} is read`, () => heard.ids.includes(last));
  await bus.close(1000);
  return heard.ids;
}

/** A bus with what it says; closed at the end. */
async function withBus(
  url: string,
  changes: BusChanges,
  body: (bus: EventBus, log: string[]) => Promise<void>,
): Promise<void> {
  const log: string[] = [];
  const bus = await openBus(url, changes, keepingLogger(log));
  try {
    await body(bus, log);
  } finally {
    await bus.close(0);
  }
}

/** What it says first about not being able to publish. */
async function refusal(url: string, changes: BusChanges = {}): Promise<string> {
  let said = '';
  await withBus(url, changes, async (bus, log) => {
    publish(bus, 0, 1);
    said = await until('it says why', () => log[0]);
    assert.equal(bus.stats.up, false);
    assert.doesNotMatch(log.join(), /hunter2/);
  });
  return said;
}

for (const [name, start, keeps] of SERVERS)
  describe(`${name}: faults`, () => {
    it(
      'killed and started again: events are kept meanwhile and published in order; said once each way',
      BOUND,
      async () => {
        await using server = await start();
        await withBus(server.url, {}, async (bus, log) => {
          publish(bus, 0, 10);
          await until('they are published', () => bus.stats.published === 10);
          await server.kill();
          await until('it is noticed', () => !bus.stats.up);
          publish(bus, 10, 300);
          assert.equal(bus.stats.kept, 290);
          await server.start();
          await until('they are published', () => bus.stats.published === 300);
          assert.deepEqual([bus.stats.kept, bus.stats.dropped.buffer], [0, 0]);
          const ids = await readAll(server.url, 'e299');
          assert.deepEqual(
            ids,
            Array.from({ length: keeps ? 300 : 290 }, (_, at) => `e${keeps ? at : at + 10}`),
          );
          // "closed" and then "refused": each reason is told once.
          assert.ok(log.length >= 2 && log.length <= 4, log.join('\n'));
          assert.match(
            log[0]!,
            /^warn traffic events are not published: requests go on, and the last 1000 events are kept/,
          );
          assert.match(log.at(-1)!, /^info traffic events are published again/);
        });
      },
    );

    it(
      'hangs: events are kept up to the bound, then the oldest are dropped and counted; nobody waits',
      BOUND,
      async () => {
        await using server = await start();
        await withBus(server.url, { buffer: 500 }, async (bus, log) => {
          publish(bus, 0, 10);
          await until('they are published', () => bus.stats.published === 10);
          server.stop();
          const beganMs = performance.now();
          for (let at = 0; at < 100; at++) publish(bus, 100 * at + 10, 100 * at + 110);
          const tookMs = performance.now() - beganMs;
          assert.ok(tookMs < 1000, `${tookMs} ms`);
          assert.equal(bus.stats.kept, 500);
          assert.equal(bus.stats.dropped.buffer, 9500);
          await until('it is noticed', () => log.length > 0);
          assert.match(log[0]!, /no answer within 5000 ms/);
          server.goOn();
          await until('the rest is published', () => bus.stats.kept === 0, 30_000);
          assert.equal(bus.stats.published, 510);
          const ids = await readAll(server.url, 'e10009');
          assert.deepEqual(
            [...new Set(ids)].slice(-100),
            Array.from({ length: 100 }, (_, at) => `e${9910 + at}`),
          );
        });
      },
    );

    it('is not there at first: events of that time are published when it is', BOUND, async () => {
      await using server = await start();
      await server.kill();
      await withBus(server.url, {}, async (bus, log) => {
        publish(bus, 0, 5);
        await until('it is noticed', () => log.length > 0);
        assert.match(log[0]!, /ECONNREFUSED.*start it, or correct the address in events\.bus/);
        await server.start();
        await until('they are published', () => bus.stats.published === 5);
      });
    });

    it('a subscriber goes on where it was when the bus comes back, or with what has come since', BOUND, async () => {
      await using server = await start();
      await withBus(server.url, {}, async (bus, log) => {
        const heard = new Heard();
        const subscription = bus.subscribe({ group: 'g', consumer: 'c', backend: null, from: 'new' }, (batch) => {
          for (const delivery of batch) delivery.ack();
          heard.take(batch);
        });
        await subscription.ready;
        publish(bus, 0, 10);
        await heard.atLeast(10);
        await server.kill();
        await until('it is noticed', () => log.some((line) => /not read/.test(line)));
        publish(bus, 10, 20);
        await server.start();
        await until('the rest has come', () => heard.ids.includes('e19'));
        assert.deepEqual(
          [...new Set(heard.ids)],
          Array.from({ length: 20 }, (_, at) => `e${at}`),
        );
      });
    });

    it('the end does not wait for a bus that is gone: what is kept is dropped and counted', BOUND, async () => {
      await using server = await start();
      await withBus(server.url, {}, async (bus) => {
        await until('it is there', () => bus.stats.up);
        server.stop();
        publish(bus, 0, 10);
        const beganMs = performance.now();
        await bus.close(200);
        const tookMs = performance.now() - beganMs;
        assert.ok(tookMs >= 190 && tookMs < 2000, `${tookMs} ms`);
        assert.deepEqual([bus.stats.kept, bus.stats.dropped.closed], [0, 10]);
      });
    });

    it('something else answers there: bounded, told, nothing is left open', BOUND, async () => {
      const sockets = new Set<net.Socket>();
      const echo = net.createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => sockets.delete(socket));
        socket.pipe(socket);
      });
      echo.listen(0, '127.0.0.1');
      await once(echo, 'listening');
      const { port } = echo.address() as net.AddressInfo;
      try {
        const scheme = name === 'Redis' ? 'redis' : 'nats';
        assert.match(await refusal(`${scheme}://127.0.0.1:${port}`), /^warn traffic events are not published/);
        await until('its connections are closed', () => sockets.size === 0);
      } finally {
        echo.close();
      }
    });
  });

describe('Redis: refusals', () => {
  it('says what is wrong and what to do next', BOUND, async () => {
    await using locked = await RedisServer.start('hunter2');
    const bare = `redis://127.0.0.1:${locked.port}`;
    assert.match(await refusal(bare), /NOAUTH.*it wants a password/);
    assert.match(await refusal(`redis://:wrong@127.0.0.1:${locked.port}`), /WRONGPASS.*correct user and password/);
    assert.match(await refusal(`${locked.url.replace(/\/0$/, '/99')}`), /DB index.*no such database/);
    await locked.say('ACL', 'SETUSER', 'poor', 'on', '>hunter2', '~test.traffic*', '+ping', '+client');
    assert.match(
      await refusal(`redis://poor:hunter2@127.0.0.1:${locked.port}`),
      /NOPERM.*rights that docs\/events\.md lists/,
    );
    await locked.say('ACL', 'SETUSER', 'poor', '+eval', '+evalsha', '+xadd');
    await withBus(`redis://poor:hunter2@127.0.0.1:${locked.port}`, {}, async (bus) => {
      publish(bus, 0, 3);
      await until('they are published', () => bus.stats.published === 3);
    });
    await withBus(`redis://poor:hunter2@127.0.0.1:${locked.port}`, { stream: 'other' }, async (bus, log) => {
      publish(bus, 0, 3);
      assert.match(await until('it says why', () => log[0]), /NOPERM|No permissions/);
    });
  });

  it('a password in a file is used, and the changed one at the next try', BOUND, async () => {
    await using locked = await RedisServer.start('hunter2');
    const folder = mkdtempSync(join(tmpdir(), 'dormouse-events-'));
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, 'wrong\n');
    try {
      await withBus(`redis://127.0.0.1:${locked.port}`, { bus: { passwordFile } }, async (bus, log) => {
        publish(bus, 0, 3);
        await until('it is refused', () => log.length > 0);
        writeFileSync(passwordFile, 'hunter2\n');
        await until('they are published', () => bus.stats.published === 3);
        rmSync(passwordFile);
      });
      assert.match(
        await refusal(`redis://127.0.0.1:${locked.port}`, { bus: { passwordFile } }),
        /password can't be read.*correct the file/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it(
    'a key of another type: where all events go, they are kept until it is gone; where a backend has its own, they are left out there',
    BOUND,
    async () => {
      await using redis = await RedisServer.start();
      await redis.say('RPUSH', 'test.traffic.shop', 'x');
      await withBus(redis.url, {}, async (bus, log) => {
        publish(bus, 0, 3);
        publish(bus, 3, 5, 'other');
        await until('they are published', () => bus.stats.published === 2);
        assert.equal(bus.stats.dropped.refused, 3);
        assert.equal((await redis.say('XLEN', 'test.traffic')).trim(), '5');
        assert.equal((await redis.say('XLEN', 'test.traffic.other')).trim(), '2');
        publish(bus, 5, 7);
        await until('they are refused', () => bus.stats.dropped.refused === 5);
        assert.deepEqual(log.length, 1);
        assert.match(log[0]!, /some traffic events are refused.*test\.traffic\.shop: WRONGTYPE.*delete the key/);
        await redis.say('DEL', 'test.traffic');
        await redis.say('SET', 'test.traffic', 'x');
        publish(bus, 7, 9, 'other');
        await until('it is noticed', () => log.length > 1);
        assert.match(log[1]!, /WRONGTYPE.*name another events\.stream, or delete the key/);
        assert.equal(bus.stats.kept, 2);
        await redis.say('DEL', 'test.traffic');
        await until('they are published', () => bus.stats.kept === 0);
      });
    },
  );

  it('has no memory left, is a replica: kept, and published when that has ended', BOUND, async () => {
    await using redis = await RedisServer.start();
    await withBus(redis.url, {}, async (bus, log) => {
      await until('it is there', () => bus.stats.up);
      await redis.say('CONFIG', 'SET', 'maxmemory', '1');
      publish(bus, 0, 3);
      await until('it is noticed', () => log.length > 0);
      assert.match(log[0]!, /OOM.*raise its maxmemory/);
      await redis.say('CONFIG', 'SET', 'maxmemory', '0');
      await until('they are published', () => bus.stats.published === 3);
      await redis.say('REPLICAOF', '127.0.0.1', '1');
      publish(bus, 3, 6);
      await until('it is noticed', () => log.some((line) => /READONLY.*name the primary/.test(line)));
      await redis.say('REPLICAOF', 'NO', 'ONE');
      await until('they are published', () => bus.stats.published === 6);
    });
  });

  it('a Redis Cluster: says that a hash tag is needed, and follows to the node that has the keys', BOUND, async () => {
    await using one = await RedisServer.start('', ['--cluster-enabled', 'yes']);
    await using two = await RedisServer.start('', ['--cluster-enabled', 'yes']);
    const slot = Number(await one.say('CLUSTER', 'KEYSLOT', '{test}.traffic'));
    // The node that is not asked has the slot of the tag; the other one all others.
    await two.say('CLUSTER', 'ADDSLOTS', String(slot));
    const ranges = [
      [0, slot - 1],
      [slot + 1, 16_383],
    ]
      .filter(([from, to]) => from! <= to!)
      .flat();
    await one.say('CLUSTER', 'ADDSLOTSRANGE', ...ranges.map(String));
    await one.say('CLUSTER', 'MEET', '127.0.0.1', String(two.port));
    await until('the cluster is complete', async () =>
      (await Promise.all([one, two].map((node) => node.say('CLUSTER', 'INFO')))).every((info) =>
        /cluster_state:ok/.test(info),
      ),
    );
    assert.match(await refusal(one.url), /CROSSSLOT.*put a hash tag into the name.*\{dormouse\}\.traffic/);
    await withBus(one.url, { stream: '{test}.traffic' }, async (bus) => {
      const heard = new Heard();
      const subscription = bus.subscribe({ group: 'g', consumer: 'c', backend: 'shop', from: 'new' }, (batch) => {
        for (const delivery of batch) delivery.ack();
        heard.take(batch);
      });
      await subscription.ready;
      publish(bus, 0, 3);
      await until('they are published', () => bus.stats.published === 3);
      await heard.atLeast(3);
      assert.equal((await two.say('XLEN', '{test}.traffic.shop')).trim(), '3');
    });
  });

  it('rediss with an authority of our own; another name is refused', BOUND, async () => {
    const authority = await Authority.create();
    const pair = await authority.issue({ names: ['bus.example.com'] });
    const folder = mkdtempSync(join(tmpdir(), 'dormouse-events-'));
    const files = { ca: authority.pem, cert: pair.cert, key: pair.key };
    for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content);
    try {
      await using redis = await RedisServer.start('', [
        ...['--tls-cert-file', join(folder, 'cert'), '--tls-key-file', join(folder, 'key')],
        ...['--tls-ca-cert-file', join(folder, 'ca'), '--tls-port', '0'],
      ]);
      // The next one after its own may be somebody else's.
      const tlsPort = await freePort();
      await redis.say('CONFIG', 'SET', 'tls-port', String(tlsPort));
      const url = `rediss://127.0.0.1:${tlsPort}`;
      const tls = { caFile: join(folder, 'ca'), certFile: join(folder, 'cert'), keyFile: join(folder, 'key') };
      await withBus(url, { bus: { tls: { ...tls, serverName: 'bus.example.com' } } }, async (bus) => {
        publish(bus, 0, 3);
        await until('they are published', () => bus.stats.published === 3);
      });
      assert.match(
        await refusal(url, { bus: { tls: { ...tls, serverName: 'other.example.com' } } }),
        /see events\.tls/,
      );
      assert.match(await refusal(url), /see events\.tls/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('NATS: refusals', () => {
  it('says what is wrong and what to do next', BOUND, async () => {
    await using plain = await NatsServer.start({ jetStream: false });
    assert.match(await refusal(plain.url), /no responders.*start nats-server with -js/);
    await using locked = await NatsServer.start({
      config: `authorization { users: [
        { user: good, password: hunter2 },
        { user: poor, password: hunter2, permissions: { publish: ["other.>"], subscribe: ["_INBOX.>"] } },
        { user: writer, password: hunter2, permissions: {
          publish: ["test.traffic.>", "$JS.API.STREAM.INFO.test_traffic", "$JS.API.STREAM.CREATE.test_traffic"], subscribe: ["_INBOX.>"] } }
      ] }`,
    });
    const url = (user: string): string => `nats://${user}:hunter2@127.0.0.1:${locked.port}`;
    assert.match(await refusal(`nats://127.0.0.1:${locked.port}`), /Authorization Violation.*correct the credentials/);
    assert.match(await refusal(url('poor')), /Permissions Violation.*rights that docs\/events\.md lists/);
    await withBus(url('writer'), {}, async (bus) => {
      publish(bus, 0, 3);
      await until('they are published', () => bus.stats.published === 3);
    });
    await withBus(url('good'), { stream: 'test' }, async (bus, log) => {
      publish(bus, 0, 1);
      assert.match(await until('it says why', () => log[0]), /overlap.*name another events\.stream/);
    });
  });

  it('an account without JetStream; tokens; keys', BOUND, async () => {
    const seed = 'SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU';
    const folder = mkdtempSync(join(tmpdir(), 'dormouse-events-'));
    const credentialsFile = join(folder, 'user.nk');
    try {
      await using accounts = await NatsServer.start({
        config: `accounts {
          WITH: { jetstream: enabled, users: [{ nkey: ${publicName(seed)} }] }
          WITHOUT: { users: [{ user: none, password: hunter2 }] }
        }`,
      });
      assert.match(
        await refusal(`nats://none:hunter2@127.0.0.1:${accounts.port}`),
        /not enabled.*enable JetStream for the account/,
      );
      writeFileSync(credentialsFile, 'nothing');
      const url = `nats://127.0.0.1:${accounts.port}`;
      assert.match(await refusal(url, { bus: { credentialsFile } }), /has neither a user NKEY seed/);
      writeFileSync(credentialsFile, `${seed}\n`);
      await withBus(url, { bus: { credentialsFile } }, async (bus) => {
        publish(bus, 0, 3);
        await until('they are published', () => bus.stats.published === 3);
      });
      await using tokens = await NatsServer.start({ config: 'authorization { token: hunter2 }' });
      await withBus(`nats://hunter2@127.0.0.1:${tokens.port}`, {}, async (bus) => {
        publish(bus, 0, 3);
        await until('they are published', () => bus.stats.published === 3);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it(
    'the stream is deleted: made again; another maxLength is put in force; one that somebody made is left as it is',
    BOUND,
    async () => {
      await using nats = await NatsServer.start();
      await withBus(nats.url, { maxLength: 50 }, async (bus) => {
        publish(bus, 0, 100);
        await until('they are published', () => bus.stats.published === 100);
        const {
          account_details: [account],
        } = await nats.look<{ account_details: { stream_detail: { state: { messages: number } }[] }[] }>(
          '/jsz?streams=true',
        );
        assert.equal(account!.stream_detail[0]!.state.messages, 50);
      });
      await withBus(nats.url, { maxLength: 10 }, async (bus) => {
        publish(bus, 100, 101);
        await until('it is published', () => bus.stats.published === 1);
        assert.equal((await readAll(nats.url, 'e100')).length, 10);
      });
      await nats.wipe();
      await nats.start();
      await withBus(nats.url, {}, async (bus) => {
        publish(bus, 0, 3);
        await until('they are published', () => bus.stats.published === 3);
      });
    },
  );

  it('TLS with an authority of our own; a server that offers none is refused', BOUND, async () => {
    const authority = await Authority.create();
    const pair = await authority.issue({ names: ['bus.example.com'] });
    const folder = mkdtempSync(join(tmpdir(), 'dormouse-events-'));
    const files = { ca: authority.pem, cert: pair.cert, key: pair.key };
    for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content);
    try {
      await using nats = await NatsServer.start({
        config: `tls { cert_file: "${join(folder, 'cert')}", key_file: "${join(folder, 'key')}", ca_file: "${join(folder, 'ca')}", verify: true }`,
      });
      const tls = { caFile: join(folder, 'ca'), certFile: join(folder, 'cert'), keyFile: join(folder, 'key') };
      for (const scheme of ['tls', 'nats'])
        await withBus(
          `${scheme}://127.0.0.1:${nats.port}`,
          { bus: { tls: { ...tls, serverName: 'bus.example.com' } } },
          async (bus) => {
            publish(bus, 0, 3);
            await until('they are published', () => bus.stats.published === 3);
          },
        );
      assert.match(await refusal(nats.url), /see events\.tls/);
      await using plain = await NatsServer.start();
      assert.match(await refusal(plain.url.replace('nats:', 'tls:')), /offers no TLS/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
