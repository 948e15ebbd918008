import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { FilterRuns, HandClock } from '../auth/filter-runs.fixture.ts';
import type { SideRequest } from './filter.ts';
import { filter, issues } from './filters.fixture.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close();
});

class AuthServer {
  readonly seen: IncomingMessage[] = [];
  readonly server: Server;

  constructor(answer: (request: IncomingMessage, response: ServerResponse) => void) {
    this.server = createServer((request, response) => {
      this.seen.push(request);
      answer(request, response);
    });
    open.push(() => {
      this.server.closeAllConnections();
      return new Promise<void>((resolve) => this.server.close(() => resolve()));
    });
  }

  async url(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/verify?app=1`;
  }
}

async function asked(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: Record<string, unknown> = {},
) {
  const server = new AuthServer(answer);
  const clock = new HandClock();
  const filters = new FilterRuns([filter('forwardAuth', { url: await server.url(), ...options })], { clock });
  open.push(() => filters.close());
  return { server, filters, clock };
}

const consent = (_request: IncomingMessage, response: ServerResponse): void => {
  response
    .writeHead(200, { 'X-User': 'alice', 'X-Roles': 'a,b', 'X-Other': 'not asked for', 'Set-Cookie': 's=1' })
    .end('ignored');
};

describe('a service that is asked', () => {
  test('gets method, address and chosen headers, and its consent tells the backend who it is', async () => {
    const { server, filters } = await asked(consent, { responseHeaders: ['X-Roles', 'X-Absent'] });
    const run = await filters.run({
      method: 'DELETE',
      target: '/a%2Fb/../c?x=1&y=%20',
      host: 'shop.test:8443',
      headers: [
        ['Authorization', 'Bearer t'],
        ['Cookie', 'a=1'],
        ['X-User', 'admin'],
        ['X_Roles', 'admin'],
        ['X-Absent', 'z'],
        ['Accept', '*/*'],
      ],
    });
    const [request] = server.seen;
    assert.equal(`${request!.method} ${request!.url}`, 'GET /verify?app=1');
    const { host: _host, connection: _connection, ...headers } = request!.headers;
    assert.deepEqual(headers, {
      'x-forwarded-method': 'DELETE',
      'x-forwarded-uri': '/a%2Fb/../c?x=1&y=%20',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'shop.test:8443',
      'x-forwarded-for': '192.0.2.1',
      'accept-encoding': 'identity',
      authorization: 'Bearer t',
      cookie: 'a=1',
    });
    assert.deepEqual([run.status, run.identity, run.responseLines], [0, 'alice', '']);
    assert.deepEqual(run.lines, [
      'Authorization: Bearer t',
      'Cookie: a=1',
      'Accept: */*',
      'X-User: alice',
      'X-Roles: a,b',
    ]);
  });

  test('may give the client cookies with its consent', async () => {
    const { filters } = await asked(consent, { setCookies: true });
    assert.equal((await filters.run()).responseLines, 'Set-Cookie: s=1\r\n');
  });

  test('answers in place of the backend when it refuses', async () => {
    const { filters } = await asked((_request, response) => {
      response
        .writeHead(
          302,
          [
            ['Location', 'https://login.test/?back=1'],
            ['Set-Cookie', 'state=1; HttpOnly'],
            ['Set-Cookie', 'b=2'],
            ['Content-Type', 'text/html; charset=utf-8'],
            ['X-Internal', 'secret'],
          ].flat(),
        )
        .end('<p>Zur Anmeldung: später</p>');
    });
    const run = await filters.run({ headers: [['X-User', 'admin']] });
    assert.equal(run.status, 302);
    assert.equal(
      run.answer!.headers,
      'Location: https://login.test/?back=1\r\nSet-Cookie: state=1; HttpOnly\r\nSet-Cookie: b=2\r\nContent-Type: text/html; charset=utf-8\r\n',
    );
    assert.equal(run.answer!.body, '<p>Zur Anmeldung: später</p>');
    assert.equal(run.identity, '');
  });

  test('whose refusal is not text is passed on without its body', async () => {
    const { filters } = await asked(
      (_request, response) =>
        void response.writeHead(403, { 'Content-Type': 'image/png' }).end(Buffer.from([0xff, 0xfe])),
    );
    const run = await filters.run();
    assert.deepEqual([run.status, run.answer!.headers, run.answer!.body], [403, '', '']);
  });

  for (const [name, answer] of [
    ['500', (_request, response) => void response.writeHead(500, { 'X-User': 'admin' }).end()],
    ['304', (_request, response) => void response.writeHead(304).end()],
    ['nothing, and closes', (_request, response) => void response.destroy()],
    ['nothing, ever', () => {}],
    [
      'a head and then nothing',
      (_request, response) => response.writeHead(200, { 'X-User': 'admin', 'Content-Length': '5' }).flushHeaders(),
    ],
    [
      'half a body',
      (_request, response) => {
        response.writeHead(200, { 'X-User': 'admin', 'Content-Length': '5' }).write('a');
        setImmediate(() => response.socket!.resetAndDestroy());
      },
    ],
    [
      'more than a megabyte',
      (_request, response) => void response.writeHead(200, { 'X-User': 'admin' }).end(Buffer.alloc(1 << 21)),
    ],
  ] as [string, (request: IncomingMessage, response: ServerResponse) => void][]) {
    test(`that answers with ${name}: 503, never open`, async () => {
      const { filters } = await asked(answer, { timeout: '100ms' });
      const run = await filters.run({ headers: [['X-User', 'admin']] });
      assert.deepEqual([run.status, run.identity, run.lines], [503, '', []]);
      assert.equal(filters.log.lines.length, 1);
    });
  }

  test('that is down: 503, logged once for many', async () => {
    const { server, filters } = await asked(consent);
    server.server.closeAllConnections();
    await new Promise<void>((resolve) => server.server.close(() => resolve()));
    for (let i = 0; i < 100; i++) assert.equal((await filters.run()).status, 503);
    assert.equal(filters.log.lines.length, 1);
  });

  test('is not asked any more for a client that has left', async () => {
    const gone = Promise.withResolvers<void>();
    const asking = Promise.withResolvers<void>();
    const { filters } = await asked((request) => {
      request.socket.once('close', gone.resolve);
      asking.resolve();
    });
    const { edit, verdict } = filters.begin();
    await asking.promise;
    for (const over of edit.ends!) over();
    assert.equal((await verdict)!.status, 503);
    await gone.promise;
  });

  test('by 10,000 requests leaves no more connections than one client has', async () => {
    const { server, filters } = await asked(consent);
    for (let i = 0; i < 10_000; i += 500) {
      const statuses = await Promise.all(Array.from({ length: 500 }, async () => (await filters.run()).status));
      assert.deepEqual(new Set(statuses), new Set([0]));
    }
    assert.equal(server.seen.length, 10_000);
    const count = await new Promise<number>((resolve) =>
      server.server.getConnections((_error, connections) => resolve(connections)),
    );
    assert.ok(count <= 64, `${count} connections`);
  });

  test('beyond a thousand waiting requests: 503', async () => {
    const { filters } = await asked(() => {}, { timeout: '1m' });
    const runs = Array.from({ length: 1000 }, () => filters.begin());
    assert.equal((await filters.run()).status, 503);
    for (const { edit } of runs) for (const over of edit.ends!) over();
    await Promise.all(runs.map(({ verdict }) => verdict));
  });
});

describe('a kept consent', () => {
  test('is for the same request of the same client, for its time', async () => {
    const { server, filters, clock } = await asked(
      (request, response) => {
        response.writeHead(200, { 'X-User': `user of ${request.headers.authorization}` }).end();
      },
      { cache: { for: '10s' } },
    );
    const run = (authorization: string, target = '/a'): Promise<{ identity: string; sync: boolean; lines: string[] }> =>
      filters.run({ target, headers: [['Authorization', authorization]] });
    assert.equal((await run('1')).identity, 'user of 1');
    const again = await run('1');
    assert.deepEqual([again.identity, again.sync], ['user of 1', true]);
    assert.deepEqual(again.lines, ['Authorization: 1', 'X-User: user of 1']);
    assert.equal((await run('2')).identity, 'user of 2');
    assert.equal((await run('1', '/b')).sync, false);
    assert.equal(server.seen.length, 3);
    clock.ms += 10_000;
    assert.equal((await run('1')).sync, false);
  });

  test('by headers is for any request that has them; without any it is not kept', async () => {
    const { server, filters } = await asked((_request, response) => void response.writeHead(200).end(), {
      cache: { for: '10s', by: 'headers' },
    });
    await filters.run({ target: '/a', headers: [['Cookie', 's=1']] });
    assert.equal((await filters.run({ target: '/b', headers: [['Cookie', 's=1']] })).sync, true);
    assert.equal((await filters.run({ target: '/b', headers: [['Authorization', 's=1']] })).sync, false);
    assert.equal((await filters.run()).sync, false);
    assert.equal((await filters.run()).sync, false);
    assert.equal(server.seen.length, 4);
  });

  for (const [name, status, headers] of [
    ['a refusal', 401, {}],
    ['a failure', 500, {}],
    ['no-store', 200, { 'Cache-Control': 'no-store' }],
    ['a new session', 200, { 'Set-Cookie': 's=1' }],
  ] as const) {
    test(`is not made of ${name}`, async () => {
      const { server, filters } = await asked((_request, response) => void response.writeHead(status, headers).end(), {
        cache: { for: '10s' },
      });
      for (let i = 0; i < 3; i++) await filters.run({ headers: [['Cookie', 's=1']] });
      assert.equal(server.seen.length, 3);
    });
  }
});

describe('a backend that is asked', () => {
  function ofBackend(
    call: (backend: string, request: SideRequest, signal: AbortSignal) => Promise<never>,
    options: Record<string, unknown> = {},
  ): FilterRuns {
    const made = filter('forwardAuth', { backend: 'auth', path: '/verify', ...options });
    return new FilterRuns([{ ...made, options: { ...(made.options as object), backend: 'auth' } }], { call });
  }

  test('gets the client address and the same lines', async () => {
    const seen: [string, SideRequest][] = [];
    const filters = ofBackend(async (backend, request) => {
      seen.push([backend, request]);
      throw new Error('over');
    });
    assert.equal((await filters.run({ host: 'shop.test', headers: [['Cookie', 'a']] })).status, 503);
    const [[backend, { headers, ...rest }]] = seen as [[string, SideRequest]];
    assert.deepEqual(
      { backend, ...rest },
      { backend: 'auth', method: 'GET', target: '/verify', host: 'shop.test', body: null, client: '192.0.2.1' },
    );
    assert.match(
      headers,
      /^X-Forwarded-Method: GET\r\nX-Forwarded-Uri: \/\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\nAccept-Encoding: identity\r\nCookie: a\r\n$/,
    );
  });

  test('is given up after the timeout', async () => {
    const filters = ofBackend(
      (_backend, _request, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
      { timeout: '20ms' },
    );
    assert.equal((await filters.run()).status, 503);
    assert.match(JSON.stringify(filters.log.lines), /did not answer within 20 ms/);
  });
});

describe('options', () => {
  for (const [name, options, expected] of [
    ['neither backend nor url', {}, /^: needs exactly one of backend and url/],
    ['a path beside url', { url: 'http://a.test/', path: '/x' }, /^path: stands beside backend only/],
    [
      'a header of the hop',
      { url: 'http://a.test/', requestHeaders: ['Connection'] },
      /^requestHeaders\.0: connection can't be used/,
    ],
    ['a cache without a time', { url: 'http://a.test/', cache: {} }, /^cache\.for: is missing/],
  ] as const) {
    test(`${name}: refused`, () => assert.match(issues('forwardAuth', options).join('\n'), expected));
  }
});
