/** One reload changes every key there is, and another changes them back, while clients of every protocol go on: none of them loses anything. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { allKeys } from '../../src/config/known-keys.ts';
import { fileSchema } from '../../src/config/schema/file.ts';
import { ask } from './fixtures/client.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { everything, keysOf, plain, prepare, type Servers } from './fixtures/everything.ts';
import { echoes, eventStream, requests, streams, webSocket, type Loop } from './fixtures/loops.ts';
import { until } from './fixtures/until.ts';

const HOST = 'app.example.com';
const ROUNDS = 2;
const NOTHING: Servers = { http: 1, https: 2, raw: 3, statsd: 4, otlp: 5 };

/** What a reload can't change, or not here. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  stateDir: 'used from the next start on',
  'telemetry.log.level': 'used from the next start on',
  'telemetry.log.format': 'used from the next start on',
  'events.passwordFile': 'stands in place of credentialsFile: test/services/events.test.ts',
  'backends.*.process.user': 'needs root',
  'backends.*.process.port': 'a fixed port: changes.test.ts',
  'backends.*.kubernetes.namespace': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.target.apiVersion': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.target.kind': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.target.name': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.service': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.port': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.autoscaler.kind': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.autoscaler.name': 'needs a cluster: test/cluster/one-machine',
  'backends.*.kubernetes.ready': 'needs a cluster: test/cluster/one-machine',
  ...Object.fromEntries(
    ['redis-list', 'redis-streams', 'nats-jetstream', 'prometheus', 'external'].flatMap((type) =>
      ['secret', 'keys'].map((key) => [
        `backends.*.triggers[].${type}.authentication.${key}`,
        'for objects of a cluster: test/cluster/triggers',
      ]),
    ),
  ),
};

interface Running {
  servers: Servers;
  close(): Promise<void>;
}

/** What dormouse sends to and doesn't run. */
async function serve(pair: { cert: string; key: string }): Promise<Running> {
  const answer: http.RequestListener = (request, response) => {
    request.resume();
    response.end('ok');
  };
  const plainServer = http.createServer(answer);
  const secure = http2.createSecureServer({ ...pair, allowHTTP1: true }, (request, response) => {
    request.resume();
    response.end('ok');
  });
  const otlp = http.createServer(answer);
  const raw = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (first: Buffer) => {
      const text = first.toString('latin1');
      const from = text.startsWith('PROXY ') ? text.indexOf('\r\n') + 2 : 0;
      socket.write(text.slice(from), 'latin1');
      socket.pipe(socket);
    });
  });
  const statsd = createSocket('udp4');
  statsd.bind(0, '127.0.0.1');
  await once(statsd, 'listening');
  const listeners = [plainServer, secure, otlp, raw];
  for (const server of listeners) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
  const [httpPort, httpsPort, otlpPort, rawPort] = listeners.map((server) => (server.address() as AddressInfo).port);
  return {
    servers: { http: httpPort!, https: httpsPort!, otlp: otlpPort!, raw: rawPort!, statsd: statsd.address().port },
    async close() {
      statsd.close();
      for (const server of listeners) server.close();
      plainServer.closeAllConnections();
      otlp.closeAllConnections();
    },
  };
}

async function change(up: Dormouse, config: object): Promise<void> {
  const { version } = (await up.status()).config;
  up.place.write(JSON.stringify(config));
  await until('the change is in force', async () => {
    const { config: now } = await up.status();
    assert.equal(now.lastError, null);
    return now.version > version;
  });
}

describe('reload', () => {
  it('the two configurations of the test below differ in every key and every filter', () => {
    const used = new Set(keysOf(everything(NOTHING)));
    const same = new Set(keysOf(plain(NOTHING)).filter((key) => used.has(key)));
    const known = allKeys(fileSchema(defaultRegistry()).whole);
    const leaves = known.filter(
      (key) => !known.some((other) => /^[.[]/.test(other.slice(key.length)) && other.startsWith(key)),
    );
    const missing = leaves.filter((key) => !key.includes('filters[].') && !used.has(key) && !(key in LEFT_OUT));
    assert.deepEqual(missing, []);
    const filters = known.filter((key) => /filters\[\]\.\w+$/.test(key) && !used.has(key));
    assert.deepEqual(filters, []);
    assert.ok(same.size > 10);
  });

  it('changes all of it at once under load, and back, and loses nothing', { timeout: 90_000 }, async () => {
    await using place = new Place('');
    const { credentials, https } = await prepare(place.path);
    const { servers, close } = await serve(https);
    try {
      place.write(JSON.stringify(plain(servers)));
      const up = await place.start().up();
      const port = await up.port();
      const tls = { servername: HOST, ca: credentials.authority };
      const loops: Loop[] = [
        requests('filters', port, { path: '/app/pid', headers: { 'accept-encoding': 'gzip', 'x-user': 'a' } }),
        requests('body', port, { path: '/json/echo', body: '{"a":1}' }),
        requests('tokens', port, {
          path: '/auth/pid',
          headers: { authorization: `Bearer ${credentials.bearer}`, 'x-api-key': credentials.apiKey },
        }),
        requests('passwords', port, { path: '/basic/pid', headers: { authorization: `Basic ${credentials.basic}` } }),
        requests('forward-auth', port, { path: '/fwd/pid', headers: { cookie: 'session=alice' } }),
        requests('plugin', port, { path: '/plug/pid', headers: { 'x-tenant': 'blue' } }),
        requests('to https', port, { path: '/moved/x' }),
        requests('to HTTP/2', port, { path: '/spoken/x' }),
        requests('TLS', await up.port('secure'), { path: '/app/pid' }, tls),
        streams('HTTP/2', port, '/app/pid'),
        echoes('TCP', await up.port('raw')),
        echoes('TLS passed through', await up.port('passed'), tls),
        await webSocket('WebSocket', port, '/live/socket'),
        await eventStream('event stream', port, '/live/events'),
      ];
      const lost = (): string[] => loops.flatMap(({ losses }) => losses.slice(0, 3));
      const more = async (count: number): Promise<void> => {
        const enough = loops.map(({ answered }) => answered + count);
        await until(`${count} more answers of each (${lost().join('; ')})`, () =>
          loops.every(({ answered, losses }, index) => answered >= enough[index]! || losses.length > 0),
        );
      };
      await more(5);
      const reloaded = async (): Promise<boolean> =>
        (await ask(port, { path: '/app/pid' })).headers['x-reloaded'] === '1';
      for (let round = 0; round < ROUNDS; round++) {
        await change(up, everything(servers));
        await more(5);
        assert.equal(await reloaded(), true);
        assert.equal((await ask(await up.port('more'), '/new/x')).status, 308);
        await change(up, plain(servers));
        await more(5);
        assert.equal(await reloaded(), false);
      }
      for (const { stop } of loops) await stop();
      const said = up.log.map((line) => JSON.stringify(line)).slice(-60);
      assert.equal(lost().length, 0, [...lost(), ...said].join('\n'));
      const asked = Object.fromEntries(loops.map(({ name, answered }) => [name, answered]));
      assert.ok(
        Object.values(asked).every((answered) => answered >= 5 * (2 * ROUNDS + 1)),
        JSON.stringify(asked),
      );
      const faults = up.log.filter(({ level }) => level === 'error');
      assert.deepEqual(faults, []);
      assert.equal(await up.stop(), 0);
      assert.deepEqual(place.leftovers(), []);
    } finally {
      await close();
    }
  });
});
