/** Breaker, ejection, backups, sticky cookie and wake rules, as clients and endpoints see them. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { BreakerConfig, EjectionConfig } from '../../model/config.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import type { RawClient } from '../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../fixtures/raw-backend.ts';
import type { RawRequest } from '../fixtures/raw-backend.ts';

const open: { close(): Promise<void> }[] = [];
const GET = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
const ILL = 'HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno';

const BREAKER: BreakerConfig = {
  failurePercent: 50,
  windowMs: 10_000,
  minimumRequests: 10,
  openForMs: 60_000,
  trials: 2,
  fallback: { status: 503, headers: {}, body: null },
};
const EJECTION: EjectionConfig = {
  consecutiveErrors: 3,
  failurePercent: 0,
  minimumRequests: 20,
  windowMs: 10_000,
  baseMs: 60_000,
  maxEjectedPercent: 50,
};

type Answer = (request: RawRequest) => void;

async function serve(
  answers: Answer[],
  backend: Parameters<typeof backendConfig>[1],
  rule: Parameters<typeof routeConfig>[1] = {},
) {
  const got = answers.map(() => 0);
  const servers = await Promise.all(
    answers.map((answer, i) =>
      RawBackend.start((request) => {
        got[i]!++;
        answer(request);
      }),
    ),
  );
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app', { driver: 'static', ...backend })], { routes: [routeConfig('app', rule)] }),
  );
  open.push(harness, ...servers);
  const endpoints = servers.map(({ port }) => ({ port }));
  const scrape = async () => {
    const answer = harness.nextOf('collected');
    harness.link.send({ type: 'collect', id: 1 });
    return answer;
  };
  return { harness, servers, endpoints, got, scrape, client: await harness.connect() };
}

async function ask(client: RawClient, request = GET): Promise<{ status: number; head: string; body: string }> {
  client.send(request);
  return client.response();
}

const says =
  (text: string): Answer =>
  ({ socket }) =>
    socket.write(text);

afterEach(async () => {
  for (const part of open.splice(0)) await part.close();
});

describe('a circuit breaker in front of a backend', () => {
  it('opens at the failure rate, answers the fallback without asking, tries, and closes', async () => {
    let ill = true;
    const { client, harness, endpoints, got, scrape } = await serve(
      [({ socket }) => socket.write(ill ? ILL : ok('well'))],
      { breaker: { ...BREAKER, openForMs: 150, fallback: { status: 200, headers: { 'X-Stale': '1' }, body: 'old' } } },
    );
    harness.update('app', endpoints);
    for (let i = 0; i < 10; i++) assert.equal((await ask(client)).status, 500);
    const refused = await ask(client);
    assert.deepEqual([refused.status, refused.body], [200, 'old']);
    assert.match(refused.head, /\r\nX-Stale: 1\r\n/);
    assert.equal(harness.log.at(-1)!.outcome, 'breaker-open');
    assert.equal(got[0], 10);
    const { status, metrics } = await scrape();
    assert.equal(status.backends[0]!.breaker, 'open');
    const value = (name: string, labels: Record<string, string>): number | undefined =>
      metrics
        .find((family) => family.name === name)
        ?.series.find((one) => Object.entries(labels).every(([key, text]) => one.labels[key] === text))?.value;
    assert.equal(value('dormouse_breaker_state', { state: 'open' }), 1);
    assert.equal(value('dormouse_breaker_transitions_total', { to: 'open' }), 1);
    assert.equal(value('dormouse_breaker_refused_total', { backend: 'app' }), 1);
    ill = false;
    let response = refused;
    while (response.body !== 'well') response = await ask(client);
    assert.equal((await ask(client)).body, 'well');
    assert.equal((await scrape()).status.backends.length, 0, 'closed again, and nothing is going on');
  });

  it('lets only the trials through while it is half open', async () => {
    const waiting: RawRequest[] = [];
    let ill = true;
    const { client, harness, endpoints, got } = await serve(
      [
        (request) => {
          if (ill) request.socket.write(ILL);
          else waiting.push(request);
        },
      ],
      { breaker: { ...BREAKER, openForMs: 50 } },
    );
    harness.update('app', endpoints);
    for (let i = 0; i < 10; i++) await ask(client);
    ill = false;
    // Until the time is over every request is refused; the first that isn't is a trial.
    const trials = await Promise.all([1, 2].map(() => harness.connect()));
    for (const trial of trials) {
      const before = got[0];
      trial.send(GET);
      while (got[0] === before) {
        if (trial.received.includes('503')) {
          await trial.response();
          trial.send(GET);
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    const others = await Promise.all(Array.from({ length: 20 }, () => harness.connect()));
    for (const other of others) assert.equal((await ask(other)).status, 503);
    assert.equal(got[0], 12);
    for (const { socket } of waiting) socket.write(ok('well'));
    for (const trial of trials) assert.equal((await trial.response()).body, 'well');
    for (const other of others) other.send(GET);
    while (waiting.length < 22) await new Promise((resolve) => setTimeout(resolve, 1));
    for (const { socket } of waiting.slice(2)) socket.write(ok('well'));
    for (const other of others) assert.equal((await other.response()).body, 'well');
  });

  it('gives the trial of a client that left to another one', async () => {
    const waiting: RawRequest[] = [];
    let ill = true;
    const { client, harness, endpoints } = await serve(
      [
        (request) => {
          if (ill) request.socket.write(ILL);
          else waiting.push(request);
        },
      ],
      { breaker: { ...BREAKER, openForMs: 50, trials: 1 } },
    );
    harness.update('app', endpoints);
    for (let i = 0; i < 10; i++) await ask(client);
    ill = false;
    for (let i = 0; i < 3; i++) {
      const trial = await harness.connect();
      trial.send(GET);
      while (waiting.length === i) {
        if (trial.received.includes('503')) {
          await trial.response();
          trial.send(GET);
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      trial.socket.resetAndDestroy();
    }
    assert.equal(waiting.length, 3);
  });

  it('doesn’t wake a backend while it is open', async () => {
    const { client, harness, endpoints } = await serve([says(ILL)], { driver: 'process', breaker: BREAKER });
    harness.update('app', endpoints);
    for (let i = 0; i < 10; i++) await ask(client);
    harness.update('app', []);
    const response = await ask(client);
    assert.equal(response.status, 503);
    assert.match(response.head, /\r\nRetry-After: (60|59)\r\n/);
    assert.equal(JSON.parse(response.body).code, 'breaker-open');
    assert.ok(!harness.messages.some((message) => message.type === 'wake'));
  });

  it('hears of answers that are too late', async () => {
    const { client, harness, endpoints } = await serve(
      [() => {}],
      { breaker: { ...BREAKER, minimumRequests: 3 } },
      { timeouts: { requestMs: 20, perTryMs: 0, idleMs: 0 } },
    );
    harness.update('app', endpoints);
    for (let i = 0; i < 3; i++) assert.equal((await ask(client)).status, 504);
    assert.equal((await ask(client)).status, 503);
  });

  it('stays open over a reload', async () => {
    const { client, harness, endpoints } = await serve([says(ILL)], { breaker: BREAKER });
    harness.update('app', endpoints);
    for (let i = 0; i < 10; i++) await ask(client);
    await harness.configure(
      gatewayConfig([backendConfig('app', { driver: 'static', breaker: { ...BREAKER, windowMs: 5000 } })]),
    );
    assert.equal(JSON.parse((await ask(client)).body).code, 'breaker-open');
  });
});

describe('ejection of an endpoint under load', () => {
  it('takes the one that fails out and loses nothing that others can answer', async () => {
    let ill = false;
    const { harness, endpoints, got, scrape } = await serve(
      [
        ({ socket }) => (ill ? void socket.resetAndDestroy() : void socket.write(ok('a'))),
        says(ok('b')),
        says(ok('c')),
      ],
      { ejection: EJECTION },
      { retry: { attempts: 2, on: ['reset', '5xx'], backoffMs: 1, budgetPercent: 100 } },
    );
    harness.update('app', endpoints);
    const clients = await Promise.all(Array.from({ length: 16 }, () => harness.connect()));
    let sent = 0;
    await Promise.all(
      clients.map(async (client) => {
        for (let i = 0; i < 50; i++) {
          if (++sent === 200) ill = true;
          assert.equal((await ask(client)).status, 200);
        }
      }),
    );
    const before = got[0];
    for (let i = 0; i < 30; i++) assert.equal((await ask(clients[0]!)).status, 200);
    assert.equal(got[0], before, 'it gets nothing any more');
    const { status, metrics } = await scrape();
    assert.deepEqual(status.backends[0]!.ejected, ['app-0']);
    const ejections = metrics.find((family) => family.name === 'dormouse_endpoint_ejections_total')!.series;
    assert.deepEqual(
      ejections.map(({ labels, value }) => [labels.reason, value]),
      [
        ['consecutive-errors', 1],
        ['failure-rate', 0],
      ],
    );
  });

  it('brings it back after its time', async () => {
    let ill = true;
    const { client, harness, endpoints, got } = await serve(
      [({ socket }) => socket.write(ill ? ILL : ok('a')), says(ok('b'))],
      { ejection: { ...EJECTION, baseMs: 100 } },
    );
    harness.update('app', endpoints);
    while (got[0]! < 3) await ask(client);
    ill = false;
    while ((await ask(client)).body !== 'a') await new Promise((resolve) => setTimeout(resolve, 5));
  });
});

describe('backup servers', () => {
  it('answer while all others refuse, and stop when one is back', async () => {
    const { client, harness, endpoints, got } = await serve([says(ok('first')), says(ok('backup'))], {});
    harness.update('app', [
      { id: 'app-x', port: 1 },
      { ...endpoints[1], id: 'app-z', backup: true },
    ]);
    for (let i = 0; i < 5; i++) assert.equal((await ask(client)).body, 'backup');
    harness.update('app', [endpoints[0]!, { ...endpoints[1], id: 'app-z', backup: true }]);
    for (let i = 0; i < 5; i++) assert.equal((await ask(client)).body, 'first');
    assert.equal(got[1], 5);
  });
});

describe('the sticky cookie over the wire', () => {
  it('keeps a client at its endpoint until that is gone', async () => {
    const { client, harness, endpoints } = await serve([says(ok('a')), says(ok('b')), says(ok('c'))], {
      balance: { strategy: 'round-robin', hash: null, sticky: { cookie: 'route', ttlMs: 0 }, slowStartMs: 0 },
    });
    harness.update('app', endpoints);
    const first = await ask(client);
    const cookie = /\r\nSet-Cookie: (route=\w+); Path=\/; HttpOnly; SameSite=Lax\r\n/.exec(first.head)![1]!;
    const again = `GET /x HTTP/1.1\r\nHost: a\r\nCookie: ${cookie}\r\n\r\n`;
    for (let i = 0; i < 7; i++) {
      const response = await ask(client, again);
      assert.equal(response.body, first.body);
      assert.doesNotMatch(response.head, /set-cookie/i);
    }
    const at = ['a', 'b', 'c'].indexOf(first.body);
    harness.update(
      'app',
      endpoints.map((endpoint, i) => ({ ...endpoint, id: `app-${i}` })).filter((_, i) => i !== at),
    );
    const moved = await ask(client, again);
    assert.notEqual(moved.body, first.body);
    assert.match(moved.head, /\r\nSet-Cookie: route=/);
    assert.ok(!moved.head.includes(cookie));
  });

  it('is given to a client that was held while the backend woke', async () => {
    const { client, harness, endpoints } = await serve([says(ok('a'))], {
      driver: 'process',
      balance: { strategy: 'round-robin', hash: null, sticky: { cookie: 'route', ttlMs: 1500 }, slowStartMs: 0 },
    });
    const wake = harness.nextOf('wake');
    client.send(GET);
    await wake;
    harness.update('app', endpoints);
    assert.match((await client.response()).head, /\r\nSet-Cookie: route=\w+; Path=\/; Max-Age=2; HttpOnly/);
  });
});

describe('requests that come while no instance is ready', () => {
  const wake = {
    answers: [
      {
        match: { path: { kind: 'exact' as const, value: '/healthz' }, methods: [], headers: [], query: [] },
        status: 200,
        headers: {},
        body: 'asleep',
      },
    ],
    never: { userAgents: [{ name: 'user-agent', kind: 'regex' as const, value: '(?i).*bot.*' }], clients: [] },
  };

  it('are answered as wake.answers says, without waking; the application answers when it is awake', async () => {
    const { client, harness, endpoints } = await serve([says(ok('awake'))], { driver: 'process', wake });
    const probe = 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n';
    assert.equal((await ask(client, probe)).body, 'asleep');
    assert.equal(harness.log.at(-1)!.outcome, 'wake-answer');
    assert.ok(!harness.messages.some((message) => message.type === 'wake'));
    harness.update('app', endpoints);
    assert.equal((await ask(client, probe)).body, 'awake');
  });

  it('may not wake it as wake.never says: 503', async () => {
    const { client, harness, endpoints } = await serve([says(ok('awake'))], { driver: 'process', wake });
    const bot = 'GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: SomeBot/1\r\n\r\n';
    const refused = await ask(client, bot);
    assert.equal(refused.status, 503);
    assert.equal(JSON.parse(refused.body).code, 'wake-refused');
    assert.ok(!harness.messages.some((message) => message.type === 'wake' || message.type === 'demand'));
    harness.update('app', endpoints);
    assert.equal((await ask(client, bot)).body, 'awake');
  });
});
