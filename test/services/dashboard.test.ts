/** docs/grafana-dashboard.json: a real Prometheus has an answer to every query on it, while everything happens that it shows. */
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { execFile as execFileOf } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { Authority, writePem } from '../../src/gateway/fixtures/certificates.ts';
import { ask } from '../e2e/fixtures/client.ts';
import { backend, configuration } from '../e2e/fixtures/configuration.ts';
import { Place, type Dormouse } from '../e2e/fixtures/dormouse.ts';
import { until } from '../e2e/fixtures/until.ts';
import { Prometheus } from './prometheus.ts';
import { RedisServer } from './redis.ts';

const execFile = promisify(execFileOf);
const docs = join(import.meta.dirname, '../../docs');

interface Dashboard {
  panels: { title: string; targets?: { expr: string }[] }[];
  templating: { list: { name: string; type: string; query: string | { query: string } }[] };
}

const dashboard = JSON.parse(readFileSync(join(docs, 'grafana-dashboard.json'), 'utf8')) as Dashboard;
// Of gateways and operators in a cluster, which nothing here runs.
const OF_A_CLUSTER = /\bdormouse_(?:link|scaler)_/;
const queries = dashboard.panels
  .flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })))
  .filter(({ expr }) => !OF_A_CLUSTER.test(expr));

/** As Grafana fills it in, with "All" chosen. */
const filled = (expression: string): string =>
  expression
    .replaceAll('$__rate_interval', '15s')
    .replaceAll('$__range', '1m')
    .replaceAll(/\$(backend|route)\b/g, '.*');

/** What can go wrong in a filter of somebody else. */
const PLUGIN = `export default {
  name: 'faulty',
  filters: { throws: { create: () => ({ request() { throw new Error('on purpose'); } }) } },
};
`;

async function deadPort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  return port;
}

/** An endpoint that is always broken. */
async function broken(): Promise<{ port: number } & AsyncDisposable> {
  const server = http.createServer((_request, response) => response.writeHead(500).end('broken'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Backends that nothing leads to over HTTP. */
const UNROUTED = new Set(['raw', 'nothing', 'mill', 'stuck']);

/** `queue`: the port of a Redis. */
async function place(endpoint: number, queue: number): Promise<Place> {
  const dead = await deadPort();
  const authority = await Authority.create();
  const rule = (path: string, name: string, more: object = {}): object => ({
    name: path,
    rules: [
      {
        matches: [{ path: { prefix: `/${path}` } }],
        filters: [{ rewrite: { path: { prefix: '/' } } }],
        backends: [{ name }],
        ...more,
      },
    ],
  });
  const redis = { url: `redis://127.0.0.1:${dead}`, failure: 'open' };
  const limits = [
    { rateLimit: { limit: 2, window: '1s', name: 'own' } },
    { concurrency: { max: 1 } },
    { rateLimit: { limit: 2, redis } },
  ];
  const list = (port: number): object => ({
    name: 'grain',
    'redis-list': { address: `127.0.0.1:${port}`, listName: 'grain', pollingInterval: '1s' },
  });
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  const written = JSON.parse(
    configuration({
      plugins: ['./faulty.mjs'],
      admin: { address: '127.0.0.1:0' },
      listeners: [
        { name: 'web', address: '127.0.0.1:0' },
        {
          name: 'secure',
          address: '127.0.0.1:0',
          protocol: 'https',
          tls: { certificates: [{ cert: 'a.crt', key: 'a.key' }] },
        },
        { name: 'raw', address: '127.0.0.1:0', protocol: 'tcp', backend: 'raw' },
        { name: 'nothing', address: '127.0.0.1:0', protocol: 'tcp', backend: 'nothing' },
      ],
      backends: {
        shop: backend({}, { scale: { idleAfter: '1s' } }),
        ill: { servers: [url(endpoint), url(dead)], ejection: { consecutiveErrors: 1, base: '1s' } } as never,
        shut: {
          servers: [url(endpoint)],
          ejection: 'off',
          breaker: { minimumRequests: 2, window: '5s', openFor: '2s', trials: 1 },
        } as never,
        raw: { servers: [`tcp://127.0.0.1:${endpoint}`] } as never,
        nothing: { servers: [`tcp://127.0.0.1:${dead}`] } as never,
        // A run that fails, again and again.
        mill: {
          process: { command: [process.execPath, '-e', 'process.exit(1)'], port: 'none', crash: { maxBackoff: '1s' } },
          scale: { max: 1, jobs: {} },
          triggers: [list(queue)],
        },
        stuck: backend({}, { process: { port: 'none' }, triggers: [list(dead)] }),
      },
      routes: [
        rule('limited', 'shop', { filters: limits }),
        rule('retried', 'ill', { retry: { attempts: 3, on: ['5xx', 'connect'], backoff: '1ms', budgetPercent: 20 } }),
        rule('faulty', 'shop', { filters: [{ throws: null }] }),
      ],
    }),
  ) as { routes: { name: string }[] };
  // Listeners lead to some of them.
  written.routes = written.routes.filter(({ name }) => !UNROUTED.has(name));
  const made = new Place(JSON.stringify(written));
  writePem(made.path, 'a', await authority.issue({ names: ['a.test'] }));
  writeFileSync(join(made.path, 'faulty.mjs'), PLUGIN);
  return made;
}

/** Lets everything happen once that the dashboard shows. */
async function live(up: Dormouse): Promise<void> {
  const port = await up.port();
  await Promise.all(Array.from({ length: 3 }, () => ask(port, '/limited/slow?ms=50')));
  for (let i = 0; i < 10; i++) {
    await Promise.all(
      ['/shop/echo', '/retried', '/shut', '/faulty', '/nowhere/at/all'].map((path) =>
        ask(port, { path, method: 'POST', body: 'hello' }),
      ),
    );
    await ask(port, '/shop/pid');
  }
  await upgraded(port);
  await overTls(await up.port('secure'));
  await http2(port);
  await up.control.sleep('shop');
  for (const name of ['raw', 'nothing']) {
    const socket = net.connect(await up.port(name), '127.0.0.1');
    socket.on('error', () => {}).resume();
    socket.end('GET / HTTP/1.0\r\n\r\n');
    await closed(socket);
  }
}

/** Broken or not. */
const closed = (socket: net.Socket): Promise<unknown> => new Promise((resolve) => socket.on('close', resolve));

async function upgraded(port: number): Promise<void> {
  const request = http.request({
    port,
    host: '127.0.0.1',
    path: '/shop/',
    headers: { connection: 'upgrade', upgrade: 'echo' },
  });
  request.end();
  const [, socket] = (await once(request, 'upgrade')) as [unknown, net.Socket];
  socket.write('hello');
  await once(socket, 'data');
  socket.on('error', () => {}).destroy();
}

async function overTls(port: number): Promise<void> {
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'a.test', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write('GET /shop/pid HTTP/1.1\r\nHost: a.test\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
}

async function http2(port: number): Promise<void> {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const stream = session.request({ ':path': '/shop/slow?ms=1000' });
  stream.on('error', () => {}).resume();
  await once(session, 'connect');
  stream.close(8);
  await new Promise((resolve) => stream.on('close', resolve));
  session.destroy();
  // A frame of DATA on stream 0 (RFC 9113 6.1).
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.end(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
  await closed(socket);
}

describe('docs/grafana-dashboard.json', () => {
  it('has an answer to every query', { timeout: 180_000 }, async () => {
    await using endpoint = await broken();
    await using queue = await RedisServer.start();
    await queue.say('RPUSH', 'grain', 'wheat');
    await using made = await place(endpoint.port, queue.port);
    const up = await made.start().up();
    await using prometheus = await Prometheus.start(`127.0.0.1:${await up.port('observe')}`);
    let left = queries;
    // Rates need things to happen again and again.
    const lacking = async (): Promise<boolean> => {
      await live(up);
      const answers = await Promise.all(left.map(({ expr }) => prometheus.query(filled(expr))));
      left = left.filter((_, index) => !answers[index]!.some(({ value }) => Number.isFinite(value)));
      return left.length === 0;
    };
    await until('every query has an answer', lacking, 40_000).catch((error: Error) => {
      throw new Error(`${error.message}; lacking: ${JSON.stringify(left, null, 2)}`, { cause: error });
    });
    const metrics = execFile('promtool', ['check', 'metrics']);
    metrics.child.stdin!.end((await ask(await up.port('observe'), '/metrics')).body);
    const { stdout, stderr } = await metrics;
    assert.equal(stdout + stderr, '', 'promtool finds nothing wrong');
    for (const { name, type, query } of dashboard.templating.list) {
      if (type !== 'query') continue;
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec((query as { query: string }).query)!;
      const found = (await prometheus.query(metric!)).map((sample) => sample.metric[label!]);
      assert.ok(found.includes(name === 'backend' ? 'shop' : 'limited'), name);
    }
  });
});
