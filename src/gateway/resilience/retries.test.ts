/** Which requests are sent once more, as clients and endpoints see it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import type { UpMessage } from '../../link/messages.ts';
import type { RetryConfig, RuleConfig } from '../../model/config.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import type { RawClient } from '../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../fixtures/raw-backend.ts';
import type { RawRequest } from '../fixtures/raw-backend.ts';

type Demand = Extract<UpMessage, { type: 'demand' }>;

const open: { close(): Promise<void> }[] = [];

interface Served {
  harness: GatewayHarness;
  client: RawClient;
  /** Requests that endpoints got, in the order of their arrival. */
  seen: { endpoint: number; request: RawRequest }[];
  counted(name: string, labels?: Record<string, string>): Promise<number>;
}

type Answer = (request: RawRequest) => void;

/** One server for each answer, tried in turn from any of them. Ejection is off unless asked for: it would change who is chosen. */
async function serve(
  answers: Answer[],
  retry: Partial<RetryConfig>,
  more: {
    driver?: 'process' | 'static';
    rule?: Partial<RuleConfig>;
    backend?: Parameters<typeof backendConfig>[1];
  } = {},
): Promise<Served> {
  const { driver = 'static', rule = {}, backend = {} } = more;
  const seen: Served['seen'] = [];
  const servers = await Promise.all(
    answers.map((answer, endpoint) =>
      RawBackend.start((request) => {
        seen.push({ endpoint, request });
        answer(request);
      }),
    ),
  );
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('app', { driver, ejection: null, ...backend })], {
      routes: [
        routeConfig('app', {
          retry: { attempts: 3, on: ['connect'], backoffMs: 1, budgetPercent: 100, ...retry },
          ...rule,
        }),
      ],
    }),
  );
  open.push(harness, ...servers);
  harness.update(
    'app',
    servers.map(({ port }) => ({ port })),
  );
  const counted = async (name: string, labels: Record<string, string> = {}): Promise<number> => {
    const answer = harness.nextOf('collected');
    harness.link.send({ type: 'collect', id: 1 });
    const { metrics } = await answer;
    const series = metrics.find((family) => family.name === name)?.series ?? [];
    const fits = series.filter((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value));
    return fits.reduce((sum, one) => sum + (one.value ?? 0), 0);
  };
  return { harness, client: await harness.connect(), seen, counted };
}

const GET = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
const status = (code: number) => `HTTP/1.1 ${code} No\r\nContent-Length: 2\r\n\r\nno`;
const answers =
  (text: string): Answer =>
  ({ socket }) =>
    socket.write(text);
const resets: Answer = ({ socket }) => socket.resetAndDestroy();
const silent: Answer = () => {};

describe('retries', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  for (const code of [500, 502, 503, 504]) {
    it(`sends a request once more after ${code}, to another endpoint`, async () => {
      const { client, seen, counted } = await serve(
        [answers(status(code)), answers(status(code)), answers(ok('well'))],
        {
          on: ['5xx'],
        },
      );
      client.send(GET);
      assert.equal((await client.response()).body, 'well');
      assert.equal(new Set(seen.map(({ endpoint }) => endpoint)).size, seen.length);
      assert.equal(await counted('dormouse_retries_total', { reason: 'error' }), seen.length - 1);
    });
  }

  it('repeats only the statuses that are named', async () => {
    const { client, seen } = await serve([answers(status(500)), answers(status(500))], { on: ['502', '503'] });
    client.send(GET);
    assert.equal((await client.response()).status, 500);
    assert.equal(seen.length, 1);
  });

  it('passes the last answer on when all tries failed, with its body', async () => {
    const { client, seen } = await serve([answers(status(503)), answers(status(503)), answers(status(503))], {
      on: ['503'],
    });
    client.send(GET);
    const response = await client.response();
    assert.deepEqual([response.status, response.body, seen.length], [503, 'no', 3]);
  });

  it('sends a request once more when the connection ends before an answer', async () => {
    const { client, harness } = await serve([resets, resets, answers(ok('well'))], { on: ['reset'] });
    client.send(GET);
    assert.equal((await client.response()).body, 'well');
    assert.ok(harness.log[0]!.attempts >= 1);
  });

  it('doesn’t after a reset unless that is asked for', async () => {
    const { client, seen } = await serve([resets, resets], { on: ['5xx'] });
    client.send(GET);
    assert.equal((await client.response()).status, 502);
    assert.equal(seen.length, 1);
  });

  it('gives up a try that takes longer than perTry, and goes elsewhere', async () => {
    const { client, seen } = await serve(
      [silent, silent, answers(ok('well'))],
      { on: ['timeout'] },
      { rule: { timeouts: { requestMs: 0, perTryMs: 30, idleMs: 0 } } },
    );
    client.send(GET);
    assert.equal((await client.response()).body, 'well');
    for (const { request } of seen.slice(0, -1)) {
      if (!request.socket.closed) await once(request.socket, 'close');
    }
  });

  it('answers 504 when the last try took too long', async () => {
    const { client, seen } = await serve(
      [silent, silent, silent],
      { on: ['timeout'], attempts: 2 },
      { rule: { timeouts: { requestMs: 0, perTryMs: 20, idleMs: 0 } } },
    );
    client.send(GET);
    const response = await client.response();
    assert.equal(response.status, 504);
    assert.equal(JSON.parse(response.body).code, 'upstream-timeout');
    assert.equal(seen.length, 2);
  });

  for (const method of ['POST', 'PATCH']) {
    it(`never repeats a ${method} that an endpoint has had`, async () => {
      const { client, seen } = await serve([answers(status(503)), answers(status(503))], { on: ['5xx', 'reset'] });
      client.send(`${method} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
      assert.equal((await client.response()).status, 503);
      assert.equal(seen.length, 1);
    });
  }

  it('never repeats a request of whose body a byte is gone', async () => {
    const { client, seen } = await serve([answers(status(503)), answers(status(503))], { on: ['5xx', 'reset'] });
    client.send('PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc');
    assert.equal((await client.response()).status, 503);
    assert.equal(seen.length, 1);
  });

  it('repeats an idempotent request without a body', async () => {
    const { client, seen } = await serve([answers(status(503)), answers(status(503)), answers(ok('well'))], {
      on: ['5xx'],
    });
    client.send('DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await client.response()).body, 'well');
    assert.ok(seen.every(({ request }) => request.method === 'DELETE'));
  });

  it('never repeats once the client has a part of the answer: the transfer breaks', async () => {
    const half: Answer = ({ socket }) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf', () => socket.resetAndDestroy());
    };
    const { client, seen } = await serve([half, half], { on: ['reset', '5xx', 'timeout'] });
    client.send(GET);
    await client.until((one) => one.closed);
    assert.equal(seen.length, 1);
  });

  it('connects elsewhere whatever the method, the body and the budget are', async () => {
    const { client, harness, counted } = await serve([answers(ok('well'))], { budgetPercent: 0, attempts: 1 });
    // Nobody listens on port 1.
    harness.update('app', [{}, { id: 'app-x' }, { id: 'app-y' }]);
    for (let i = 0; i < 6; i++) {
      client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc');
      assert.equal((await client.response()).body, 'well');
    }
    assert.ok((await counted('dormouse_retries_total', { reason: 'connect' })) > 0);
    assert.equal(await counted('dormouse_retry_budget_exhausted_total'), 0);
  });

  it('a budget bounds what a backend that only fails gets', async () => {
    const { client, seen, counted } = await serve([answers(status(503)), answers(status(503))], {
      on: ['5xx'],
      attempts: 2,
      budgetPercent: 20,
      backoffMs: 0,
    });
    for (let i = 0; i < 200; i++) {
      client.send(GET);
      assert.equal((await client.response()).status, 503);
    }
    const retries = seen.length - 200;
    // A fifth, and three in each second that it took.
    assert.ok(retries >= 3 && retries <= 40 + 3 * 10, `${retries} retries`);
    assert.equal(await counted('dormouse_retries_total', { reason: 'error' }), retries);
    assert.equal(await counted('dormouse_retry_budget_exhausted_total'), 200 - retries);
  });

  it('a client that leaves during the pause leaves nothing behind', async () => {
    const { client, harness, seen } = await serve([answers(status(503)), answers(status(503))], {
      on: ['5xx'],
      backoffMs: 60_000,
    });
    client.send(GET);
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const quiet = harness.next<Demand>(
      (message) => message.type === 'demand' && message.windows[0]?.inFlight === 0 && message.windows[0].requests === 0,
    );
    client.socket.resetAndDestroy();
    await quiet;
    assert.equal(seen.length, 1);
    assert.equal(harness.log[0]!.outcome, 'client-gone');
  });

  it('works the same for a backend that slept', async () => {
    const seen: number[] = [];
    const ill = await RawBackend.start(({ socket }) => {
      seen.push(0);
      socket.write(status(503));
    });
    const well = await RawBackend.start(({ socket }) => {
      seen.push(1);
      socket.write(ok('well'));
    });
    const harness = await GatewayHarness.start(
      gatewayConfig([backendConfig('app')], {
        routes: [routeConfig('app', { retry: { attempts: 2, on: ['5xx'], backoffMs: 1, budgetPercent: 20 } })],
      }),
    );
    open.push(harness, ill, well);
    const held = harness.next<Demand>((message) => message.type === 'demand' && message.windows[0]?.held === 4);
    const clients = await Promise.all([1, 2, 3, 4].map(() => harness.connect()));
    for (const client of clients) client.send(GET);
    await held;
    harness.update('app', [{ port: ill.port }, { port: well.port }]);
    for (const client of clients) {
      const response = await client.response();
      assert.equal(response.body, 'well');
      assert.match(response.head, /x-cold-start: true/);
    }
    assert.ok(seen.includes(0));
  });
});
