/** Each example of docs/resilience.md runs in a gateway and does what the page says of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig, toGatewayConfig } from '../../src/config/index.ts';
import { createDrivers } from '../../src/drivers/index.ts';
import type { Instance } from '../../src/drivers/driver.ts';
import { GatewayHarness } from '../../src/gateway/fixtures/gateway-harness.ts';
import type { RawClient } from '../../src/gateway/fixtures/gateway-harness.ts';
import { silentLogger, systemClock } from '../../src/model/ports.ts';

const page = readFileSync(new URL('../../docs/resilience.md', import.meta.url), 'utf8');
const FILE = { file: '/srv/dormouse.yaml', env: {}, registry: defaultRegistry(), cores: 2 };
const open: (() => unknown)[] = [];

/** The example under this heading. */
function example(heading: string): string {
  const section = page.slice(page.indexOf(`# ${heading}\n`));
  return /```yaml\n([\s\S]*?)```/.exec(section)![1]!;
}

interface App {
  port: number;
  seen: number;
  /** null: never. */
  status: number | null;
}

async function app(): Promise<App> {
  const server = http.createServer((_request, response) => {
    self.seen++;
    if (self.status === null) return;
    response.statusCode = self.status;
    response.end(String(self.port));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const self: App = { port: (server.address() as AddressInfo).port, seen: 0, status: 200 };
  open.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return self;
}

/** A gateway with the example, and as many applications as it has servers. */
async function run(heading: string, change: (text: string) => string = (text) => text) {
  const config = structuredClone(parseConfig(change(example(heading)), FILE));
  for (const listener of config.listeners) listener.address = { host: '127.0.0.1', port: 0 };
  const harness = await GatewayHarness.start(toGatewayConfig(config));
  open.push(() => harness.close());
  const { source } = config.backends[0]!;
  const servers = source.driver === 'static' ? source.servers : [{ backup: false, weight: 1 }];
  const apps = await Promise.all(servers.map(() => app()));
  const endpoints = servers.map(({ backup }, i) => ({ port: apps[i]!.port, backup }));
  const client = await harness.connect();
  return { config, harness, apps, endpoints, client };
}

async function ask(client: RawClient, path = '/', more = ''): Promise<{ status: number; head: string; body: string }> {
  client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`);
  return client.response();
}

afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

test('active checks: a sick server is found', async () => {
  const config = structuredClone(parseConfig(example('Active checks'), FILE));
  const apps = [await app(), await app()];
  apps[1]!.status = 500;
  const backend = config.backends[0]!;
  const { source } = backend;
  assert.ok(source.driver === 'static');
  source.servers.forEach((server, i) => (server.port = apps[i]!.port));
  const create = createDrivers({
    logger: silentLogger,
    clock: systemClock,
    stateDir: '/nonexistent',
    marker: '',
    environment: {},
  });
  const sick = Promise.withResolvers<Instance>();
  const driver = create(backend, {
    instance: (instance) => {
      if (instance.state === 'unhealthy') sick.resolve(instance);
    },
    crash() {},
  });
  open.push(() => driver.close());
  const found = await sick.promise;
  assert.equal(found.address!.port, apps[1]!.port);
  assert.equal(found.reason, 'GET /healthz answered 500, expected 200-299');
});

test('ejection: a server that fails three times gets nothing more', async () => {
  const { harness, apps, endpoints, client } = await run('Ejection');
  harness.update('shop', endpoints);
  apps[0]!.status = 500;
  while (apps[0]!.seen < 3) await ask(client);
  for (let i = 0; i < 20; i++) assert.equal((await ask(client)).status, 200);
  assert.equal(apps[0]!.seen, 3);
});

test('backups, slow start, sticky cookie', async () => {
  const { harness, apps, endpoints, client } = await run('Backups, bounds, slow start, sticky cookie');
  harness.update('shop', endpoints);
  const first = await ask(client);
  assert.equal(first.body, String(apps[0]!.port));
  assert.match(first.head, /\r\nSet-Cookie: route=\w{13}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Lax\r\n/);
  harness.update('shop', [{ ...endpoints[1], id: 'shop-1' }]);
  assert.equal((await ask(client)).body, String(apps[1]!.port));
});

test('breaker: opens after twenty failures and answers the page', async () => {
  const { harness, apps, endpoints, client } = await run('Breaker');
  harness.update('shop', endpoints);
  apps[0]!.status = 500;
  for (let i = 0; i < 20; i++) assert.equal((await ask(client)).status, 500);
  const fallback = await ask(client);
  assert.deepEqual([fallback.status, fallback.body], [503, '<p>Back soon.</p>']);
  assert.match(fallback.head, /\r\nContent-Type: text\/html\r\n/);
  assert.equal(apps[0]!.seen, 20);
});

test('retries: 503 is tried elsewhere', async () => {
  const { harness, apps, endpoints, client } = await run('Retries');
  harness.update('shop', endpoints);
  apps[0]!.status = 503;
  apps[1]!.status = 503;
  // More than three retries in a second would be beyond the budget.
  assert.equal((await ask(client)).body, String(apps[2]!.port));
});

test('timeouts: an application that hangs is answered for', async () => {
  const shorter = (text: string): string => text.replace('perTry: 10s', 'perTry: 50ms');
  const { config, harness, apps, endpoints, client } = await run('Timeouts', shorter);
  const { timeouts } = parseConfig(example('Timeouts'), FILE).routes[0]!.rules[0]!;
  assert.deepEqual(timeouts, { requestMs: 30_000, perTryMs: 10_000, idleMs: 15_000 });
  assert.equal(config.routes[0]!.rules[0]!.timeouts.perTryMs, 50);
  harness.update('shop', endpoints);
  apps[0]!.status = null;
  const late = await ask(client);
  assert.equal(late.status, 504);
  assert.equal(JSON.parse(late.body).code, 'upstream-timeout');
});

test('while it sleeps: probes are answered, crawlers refused, others wake it', async () => {
  const { harness, client } = await run('While it sleeps');
  assert.equal((await ask(client, '/healthz')).body, 'asleep');
  assert.equal((await ask(client, '/', 'User-Agent: Mozilla/5.0 (compatible; uptimebot/2.1)\r\n')).status, 503);
  assert.ok(!harness.messages.some(({ type }) => type === 'wake'));
  const wake = harness.nextOf('wake');
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await wake;
});
