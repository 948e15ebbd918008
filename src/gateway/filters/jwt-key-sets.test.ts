import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, test } from 'node:test';
import { FilterRuns, HandClock } from '../auth/filter-runs.fixture.ts';
import {
  encoded,
  goodClaims,
  hmacToken,
  KeyServer,
  keySetText,
  publicJwk,
  signingPair,
  token,
  type SigningPair,
} from '../auth/issuer.fixture.ts';
import { JwtRuns, jwtFilter } from '../auth/jwt-runs.fixture.ts';

const jwtRuns = new JwtRuns();
const { ec, other } = jwtRuns;
afterEach(() => jwtRuns.closeAll());

describe('a key set of a server', () => {
  async function served(options: Record<string, unknown> = {}, pairs = [ec]) {
    const server = jwtRuns.keep(await KeyServer.start(keySetText(...pairs)));
    const { jwks = {}, ...rest } = options as { jwks?: object };
    const made = jwtRuns.start({ jwks: { url: server.url, ...jwks }, ...rest });
    return { server, ...made };
  }

  test('is fetched once, when the first token comes', async () => {
    const { server, filters, claims } = await served();
    assert.equal(server.requests, 0);
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => (await filters.bearer(token(ec, claims({ jti: i })))).status),
    );
    assert.deepEqual(new Set(statuses), new Set([0]));
    assert.equal(server.requests, 1);
    // The server sees the end of the connection a moment after the client has read the answer.
    while ((await server.connections()) > 0) await new Promise(setImmediate);
  });

  test('is not asked for tokens that could not pass anyway', async () => {
    const { server, filters, claims } = await served();
    for (const text of ['x.y.z', hmacToken('s', claims(), {}), `${encoded({ alg: 'none' })}.e30.`])
      await filters.bearer(text);
    await filters.run();
    assert.equal(server.requests, 0);
  });

  test('rotates: an unknown key asks for it once, and not again within ten seconds', async () => {
    const next = signingPair('next');
    const { server, filters, clock, claims } = await served();
    assert.equal((await filters.bearer(token(ec, claims()))).status, 0);
    server.answer = KeyServer.json(keySetText(ec, next));
    for (let i = 0; i < 50; i++)
      assert.equal((await filters.bearer(token(next, claims({ jti: i }), { kid: `no-${i}` }))).status, 401);
    assert.equal(server.requests, 1);
    clock.ms += 10_000;
    assert.equal((await filters.bearer(token(next, claims()))).status, 0);
    assert.equal(server.requests, 2);
    for (let i = 0; i < 50; i++) await filters.bearer(token(next, claims({ jti: i }), { kid: `no-${i}` }));
    assert.equal(server.requests, 2);
  });

  test('is fetched again in the background; a key that is gone takes its tokens along', async () => {
    const next = signingPair('next');
    const { server, filters, clock, claims } = await served({ jwks: { refresh: '1m' } });
    const old = token(ec, claims());
    await filters.bearer(old);
    assert.equal((await filters.bearer(old)).sync, true);
    const fetched = new Promise<void>((resolve) => {
      server.answer = (response) => {
        response.on('close', resolve);
        KeyServer.json(keySetText(next))(response);
      };
    });
    clock.ms += 60_000;
    // Answered from what is known, without waiting.
    assert.deepEqual([(await filters.bearer(old)).status, server.requests <= 2], [0, true]);
    await fetched;
    while ((await filters.bearer(old)).status === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await filters.bearer(old)).status, 401);
    assert.equal((await filters.bearer(token(next, claims()))).status, 0);
    assert.equal(server.requests, 2);
  });

  const lies: [string, (response: ServerResponse) => void][] = [
    ['500', (response) => void response.writeHead(500).end('no')],
    [
      'a page of HTML',
      (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>sign in</html>'),
    ],
    ['a redirect', (response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['nothing', (response) => void response.writeHead(200).end()],
    [
      'half of it',
      (response) => {
        response.writeHead(200, { 'content-length': '10000' }).write('{"keys":[');
        setImmediate(() => response.destroy());
      },
    ],
    ['no list', KeyServer.json('{"keys":{}}')],
    ['an empty list', KeyServer.json('{"keys":[]}')],
    ['a megabyte', (response) => void response.writeHead(200).end(`{"keys":[],"x":"${'y'.repeat(1 << 20)}"}`)],
    [
      'only a private key',
      KeyServer.json(JSON.stringify({ keys: [{ ...other.privateKey.export({ format: 'jwk' }), kid: 'ec' }] })),
    ],
    ['only a shared secret', KeyServer.json(JSON.stringify({ keys: [{ kty: 'oct', kid: 'ec', k: 'A'.repeat(64) }] }))],
    ['a key that is off the curve', KeyServer.json(JSON.stringify({ keys: [publicJwk(ec, { x: 'A'.repeat(43) })] }))],
    ['a reset connection', (response) => void response.socket!.resetAndDestroy()],
  ];
  for (const [name, lie] of lies) {
    test(`that answers with ${name} changes nothing, and lets nothing pass`, async () => {
      const { server, filters, clock, claims } = await served({ jwks: { refresh: '1m' } });
      await filters.bearer(token(ec, claims()));
      server.answer = lie;
      for (let i = 1; i <= 3; i++) {
        clock.ms += 61_000;
        assert.equal((await filters.bearer(token(ec, claims({ jti: i })))).status, 0, 'the known keys stay');
        assert.equal((await filters.bearer(token(other, claims({ jti: i }), { kid: 'gone' }))).status, 401);
        assert.equal((await filters.bearer(token(other, claims({ jti: i })))).status, 401);
      }
      assert.ok(filters.log.lines.some(({ message }) => message.includes('known keys stay in force')));
      // It comes to its senses.
      server.answer = KeyServer.json(keySetText(ec, other.kid === 'ec' ? { ...other, kid: 'new' } : other));
      clock.ms += 61_000;
      assert.equal((await filters.bearer(token(other, claims(), { kid: 'new' }))).status, 0);
    });

    test(`that answers the first time with ${name}: 503 until it answers right`, async () => {
      const { server, filters, clock, claims } = await served();
      const right = server.answer;
      server.answer = lie;
      const good = token(ec, claims());
      const first = await filters.bearer(good);
      assert.equal(first.status, 503);
      assert.match(first.answer!.headers, /Retry-After: 1\r\n/);
      const asked = server.requests;
      assert.equal((await filters.bearer(good)).status, 503);
      assert.equal(server.requests, asked, 'it is not asked again at once');
      server.answer = right;
      clock.ms += 1000;
      assert.equal((await filters.bearer(good)).status, 0);
    });
  }

  test('that never answers: 503 after the timeout, and no connection is left', async () => {
    const { server, filters, claims } = await served({ jwks: { timeout: '50ms' } });
    server.answer = () => {};
    assert.equal((await filters.bearer(token(ec, claims()))).status, 503);
    while ((await server.connections()) > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test('that is down: known tokens and new ones of known keys pass', async () => {
    const { server, filters, clock, claims } = await served({ jwks: { refresh: '1m' } });
    const good = token(ec, claims({ exp: clock.ms / 1000 + 100_000 }));
    await filters.bearer(good);
    await server.close();
    for (let hour = 0; hour < 5; hour++) {
      clock.ms += 3_600_000;
      assert.equal((await filters.bearer(good)).status, 0);
      assert.equal((await filters.bearer(token(ec, claims({ exp: clock.ms / 1000 + 60 })))).status, 0);
    }
  });

  test('weak keys in a set are left out, the others count', async () => {
    const weak = signingPair('weak', 'RS256');
    const { server, filters, claims } = await served({}, [ec]);
    const jwk = publicJwk(weak, { e: 'AQ' });
    server.answer = KeyServer.json(JSON.stringify({ keys: [jwk, publicJwk(ec)] }));
    assert.equal((await filters.bearer(token(ec, claims()))).status, 0);
    assert.equal((await filters.bearer(token(weak, claims()))).status, 401);
  });

  test('is shared by the filters of all routes, and goes on over a reload', async () => {
    const { server, filters, clock, claims } = await served();
    const good = token(ec, claims());
    await filters.bearer(good);
    const config = [jwtFilter({ jwks: { url: server.url } })];
    const next = new FilterRuns(config, { clock, kept: filters.services.kept });
    filters.close();
    assert.equal((await next.bearer(good)).sync, true);
    assert.equal(server.requests, 1);
    next.close();
    assert.equal(filters.services.kept.size, 0);
  });
});

describe('a key set of a file', () => {
  test('is read again when it is in use; half of it changes nothing', async () => {
    const next = signingPair('next');
    const source = jwtRuns.keyFile(keySetText(ec));
    const { filters, clock, claims } = jwtRuns.start({ jwks: source });
    const status = async (pair: SigningPair): Promise<number> => (await filters.bearer(token(pair, claims()))).status;
    writeFileSync(source.file, keySetText(ec, next).slice(0, 100));
    clock.ms += 5000;
    assert.deepEqual([await status(ec), await status(next)], [0, 401]);
    writeFileSync(source.file, keySetText(next));
    clock.ms += 60_000;
    assert.equal(await status(next), 0);
    assert.equal(await status(ec), 401);
  });
});

test('beyond a thousand tokens that wait for keys: 503 at once', async () => {
  const server = jwtRuns.keep(await KeyServer.start(''));
  server.answer = () => {};
  const { filters, claims } = jwtRuns.start({ jwks: { url: server.url, timeout: '1m' } });
  const waiting = Array.from({ length: 1000 }, (_, i) =>
    filters.begin({ headers: [['Authorization', `Bearer ${token(ec, claims({ jti: i }))}`]] }),
  );
  const run = await filters.bearer(token(ec, claims()));
  assert.deepEqual([run.status, run.sync], [503, true]);
  filters.close();
  for (const verdict of await Promise.all(waiting.map((each) => each.verdict))) assert.equal(verdict!.status, 503);
});

describe('a key set of a backend', () => {
  test('is asked by a side call', async () => {
    const calls: string[] = [];
    const clock = new HandClock();
    const filters = jwtRuns.keep(
      new FilterRuns([jwtFilter({ jwks: { backend: 'auth', path: '/keys' } })], {
        clock,
        call: async (backend, { method, target }) => {
          calls.push(`${method} ${backend} ${target}`);
          return { status: 200, headers: [], header: () => undefined, body: Buffer.from(keySetText(ec)) };
        },
      }),
    );
    assert.equal((await filters.bearer(token(ec, goodClaims(clock.ms)))).status, 0);
    assert.deepEqual(calls, ['GET auth /keys']);
  });

  test('that can not be asked: 503', async () => {
    const clock = new HandClock();
    const call = async (): Promise<never> => {
      throw new Error('refused');
    };
    const filters = jwtRuns.keep(
      new FilterRuns([jwtFilter({ jwks: { backend: 'auth', path: '/keys' } })], { clock, call }),
    );
    assert.equal((await filters.bearer(token(ec, goodClaims(clock.ms)))).status, 503);
  });
});
