/** Filters that authenticate, in a gateway, with backends that sleep. */
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { WakeRequest } from '../../link/messages.ts';
import type { FilterConfig } from '../../model/config.ts';
import { filter } from '../filters/filters.fixture.ts';
import { backendConfig, gatewayConfig, GatewayHarness, routeConfig } from '../fixtures/gateway-harness.ts';
import { ok, RawBackend, type RawRequest } from '../fixtures/raw-backend.ts';
import { hashApiKey } from './api-keys.ts';
import { goodClaims, keySetText, signingPair, token } from './issuer.fixture.ts';
import { jwtFilter } from './jwt-runs.fixture.ts';
import { hashPassword } from './password-hash.ts';

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.close();
});

const keyFilter = filter('apiKey', {
  keys: [{ name: 'partner', hash: hashApiKey('key-of-partner') }],
  from: [{ header: 'X-Api-Key' }, { query: 'api_key' }],
});
const basicFilter = filter('basic', {
  users: [{ name: 'alice', hash: await hashPassword('secret', { kind: 'scrypt', ln: 10, r: 1, p: 1 }) }],
});
const forwarded = filter('forwardAuth', { backend: 'auth', path: '/verify', timeout: '5s' });
const forwardFilter: FilterConfig = { ...forwarded, options: { ...(forwarded.options as object), backend: 'auth' } };

/** `shop` behind the filters, and `auth`; both asleep. */
async function sleeping(filters: FilterConfig[], answerOfAuth: (request: RawRequest) => string = () => ok()) {
  const shop = await RawBackend.start((request) => request.socket.write(ok('shop')));
  const auth = await RawBackend.start((request) => request.socket.write(answerOfAuth(request)));
  const harness = await GatewayHarness.start(
    gatewayConfig([backendConfig('shop'), backendConfig('auth')], { routes: [routeConfig('shop', { filters })] }),
  );
  open.push(shop, auth, harness);
  for (const name of ['shop', 'auth']) harness.update(name, []);
  return { shop, auth, harness };
}

function wakes(harness: GatewayHarness, backend: string): number {
  return harness.messages.filter((message) => message.type === 'wake' && message.backend === backend).length;
}

describe('a refused request', () => {
  for (const [name, config, line] of [
    ['apiKey', keyFilter, 'X-Api-Key: wrong'],
    ['basic', basicFilter, 'Authorization: Basic YTpi'],
    ['jwt', jwtFilter({ jwks: { url: 'http://127.0.0.1:1/' } }), 'Authorization: Bearer a.b.c'],
  ] as const) {
    test(`by ${name} wakes nobody; 10,000 leave nothing`, async () => {
      const { harness } = await sleeping([config]);
      const client = await harness.connect();
      client.send(`GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`);
      const { status, head, body } = await client.response();
      assert.equal(status, 401);
      assert.match(head, /\r\nWWW-Authenticate: /);
      assert.match(head, /\r\nContent-Type: application\/problem\+json\r\n/);
      assert.equal(JSON.parse(body).code, 'unauthorized');
      const request = `GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`;
      for (let i = 0; i < 10_000; i += 50) {
        client.send(request.repeat(50));
        await client.until(({ received }) => received.split('"code":"unauthorized"}\n').length === 51);
        assert.equal(client.received.split('HTTP/1.1 401 ').length, 51);
        client.received = '';
      }
      assert.equal(wakes(harness, 'shop'), 0);
    });
  }
});

test('a request that may pass wakes the backend, which is told who it is and gets no secret', async () => {
  const { shop, harness } = await sleeping([keyFilter]);
  const client = await harness.connect();
  client.send('GET /a?api_key=key-of-partner&x=1 HTTP/1.1\r\nHost: a\r\nX-User: admin\r\nX_User: admin\r\n\r\n');
  await harness.next((message) => message.type === 'wake' && message.backend === 'shop');
  harness.update('shop', [{ port: shop.port }]);
  assert.equal((await client.response()).status, 200);
  const [{ head, target }] = shop.requests as [RawRequest];
  assert.equal(target, '/a?x=1');
  assert.equal(/admin|key-of/.exec(head), null);
  assert.match(head, /\r\nx-user: partner\r\n/);
  assert.deepEqual(
    harness.log.map((entry) => entry.target),
    ['/a?api_key=[redacted]&x=1'],
  );
});

test('identity headers do not come back as trailers', async () => {
  const { shop, harness } = await sleeping([keyFilter]);
  harness.update('shop', [{ port: shop.port }]);
  const client = await harness.connect();
  client.send(
    'POST / HTTP/1.1\r\nHost: a\r\nX-Api-Key: key-of-partner\r\nTransfer-Encoding: chunked\r\nTrailer: X-User\r\n\r\n',
  );
  client.send('1\r\na\r\n0\r\nX-User: admin\r\nx_user: admin\r\nX-Checksum: 1\r\n\r\n');
  // The fixture's backend answers at once; its connection shows what came.
  await client.response();
  const [request] = shop.requests as [RawRequest];
  const body = await request.bodyUntil((text) => text.endsWith('\r\n\r\n'));
  assert.equal(body, '1\r\na\r\n0\r\nX-Checksum: 1\r\n\r\n');
});

describe('forwardAuth by a backend that sleeps', () => {
  test('wakes it, then the backend of the route', async () => {
    const { shop, auth, harness } = await sleeping([forwardFilter], () => ok('', 'X-User: alice\r\n'));
    const client = await harness.connect();
    client.send(
      'GET /a?b HTTP/1.1\r\nHost: shop.test\r\nCookie: s=1\r\nX-User: admin\r\nX-Forwarded-Uri: /public\r\n\r\n',
    );
    await harness.next<WakeRequest>((message) => message.type === 'wake' && message.backend === 'auth');
    assert.equal(wakes(harness, 'shop'), 0);
    harness.update('auth', [{ port: auth.port }]);
    await harness.next((message) => message.type === 'wake' && message.backend === 'shop');
    harness.update('shop', [{ port: shop.port }]);
    assert.equal((await client.response()).status, 200);
    const [question] = auth.requests as [RawRequest];
    assert.match(question.head, /^GET \/verify HTTP\/1\.1\r\nHost: shop\.test\r\n/);
    for (const line of [
      'X-Forwarded-Method: GET',
      'X-Forwarded-Uri: /a?b',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: shop.test',
      'X-Forwarded-For: 127.0.0.1',
      'Cookie: s=1',
    ])
      assert.equal(question.head.split(`\r\n${line}\r\n`).length, 2, `${line} once in ${question.head}`);
    assert.equal(/admin|public/.exec(question.head), null);
    const [request] = shop.requests as [RawRequest];
    assert.match(request.head, /\r\nX-User: alice\r\n/);
    assert.equal(/admin/.exec(request.head), null);
  });

  test('that refuses leaves the other one asleep', async () => {
    const { auth, harness } = await sleeping(
      [forwardFilter],
      () => 'HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n',
    );
    harness.update('auth', [{ port: auth.port }]);
    const client = await harness.connect();
    for (let i = 0; i < 100; i++) {
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody');
      const { status, head } = await client.response();
      assert.equal(status, 302);
      assert.match(head, /\r\nLocation: \/login\r\nSet-Cookie: a=1\r\n/);
    }
    assert.equal(auth.connections, 1);
    assert.equal(wakes(harness, 'shop'), 0);
  });

  test('whose client leaves is given up', async () => {
    const { auth, harness } = await sleeping([forwardFilter]);
    const client = await harness.connect();
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await harness.next((message) => message.type === 'wake' && message.backend === 'auth');
    client.socket.resetAndDestroy();
    await harness.next(
      (message) =>
        message.type === 'demand' && message.windows.some((window) => window.backend === 'auth' && window.held === 0),
    );
    harness.update('auth', [{ port: auth.port }]);
    const other = await harness.connect();
    other.send('GET / HTTP/1.1\r\nHost: b\r\n\r\n');
    await harness.next((message) => message.type === 'wake' && message.backend === 'shop');
    assert.deepEqual(
      auth.requests.map(({ head }) => /Host: (.)/.exec(head)![1]),
      ['b'],
    );
  });
});

test('the key set of a backend that sleeps', async () => {
  const pair = signingPair('k');
  const { shop, auth, harness } = await sleeping([jwtFilter({ jwks: { backend: 'auth', path: '/keys' } })], () =>
    ok(keySetText(pair)),
  );
  const client = await harness.connect();
  client.send(`GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token(pair, goodClaims())}\r\n\r\n`);
  await harness.next((message) => message.type === 'wake' && message.backend === 'auth');
  harness.update('auth', [{ port: auth.port }]);
  await harness.next((message) => message.type === 'wake' && message.backend === 'shop');
  harness.update('shop', [{ port: shop.port }]);
  assert.equal((await client.response()).status, 200);
  assert.match(auth.requests[0]!.head, /^GET \/keys HTTP\/1\.1\r\n/);
});
