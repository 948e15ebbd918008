/** Clients that have to prove who they are, in front of applications that sleep. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hashApiKey } from '../../src/gateway/auth/api-keys.ts';
import { goodClaims, keySetText, signingPair, token } from '../../src/gateway/auth/issuer.fixture.ts';
import { hashPassword } from '../../src/gateway/auth/password-hash.ts';
import { ask } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place } from './fixtures/dormouse.ts';

const CALM = { timeout: 60_000 };
const key = 'a-key-for-the-partner';

/** A route `/<filter>` for each, to the path /headers of `shop`. */
function routes(filters: Record<string, unknown>[]): unknown[] {
  return filters.map((filter) => {
    const name = Object.keys(filter)[0]!.toLowerCase();
    return {
      name,
      rules: [
        {
          matches: [{ path: { prefix: `/${name}` } }],
          filters: [filter, { rewrite: { path: { full: '/headers' } } }],
          backends: [{ name: 'shop' }],
        },
      ],
    };
  });
}

describe('authentication', { concurrency: 2 }, () => {
  it(
    'lets in who proves who it is, wakes for nobody else, and tells the application by headers that nobody can forge',
    CALM,
    async () => {
      const pair = signingPair('k1', 'RS256');
      const users = [{ name: 'alice', hash: await hashPassword('secret') }];
      await using place = new Place('');
      place.write(
        configuration({
          workers: 2,
          telemetry: { accessLog: { format: 'json', file: 'access.log' } },
          backends: { shop: backend(), auth: backend() },
          routes: routes([
            {
              jwt: {
                issuer: 'https://issuer.test',
                audience: 'api',
                jwks: { file: 'keys.json' },
                headers: { 'X-User': 'sub' },
              },
            },
            { apiKey: { file: 'keys.txt', from: [{ query: 'api_key' }] } },
            { basic: { users } },
            { forwardAuth: { backend: 'auth', path: '/verify' } },
          ]),
        }),
      );
      writeFileSync(join(place.path, 'keys.json'), keySetText(pair));
      writeFileSync(join(place.path, 'keys.txt'), `partner:${hashApiKey(key)}\n`);
      const dormouse = await place.start().up();
      const port = await dormouse.port();
      const basic = (password: string): string => `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`;
      const bearer = (claims: Record<string, unknown>): string => `Bearer ${token(pair, claims)}`;

      for (const [path, headers, status] of [
        ['/jwt', {}, 401],
        ['/jwt', { authorization: bearer(goodClaims(Date.now() - 3_600_000)) }, 401],
        ['/jwt', { authorization: `Bearer ${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.` }, 401],
        ['/apikey', {}, 401],
        ['/apikey?api_key=wrong', {}, 401],
        ['/basic', { authorization: basic('wrong') }, 401],
      ] as const) {
        const { status: got, headers: answered } = await ask(port, {
          path,
          headers: { ...headers, 'x-user': 'admin' },
        });
        assert.equal(got, status, path);
        assert.ok(answered['www-authenticate'], path);
      }
      assert.deepEqual(
        [(await dormouse.backend('shop')).phase, (await dormouse.backend('auth')).phase],
        ['asleep', 'asleep'],
      );

      const redirected = await ask(port, { path: '/forwardauth', headers: { 'x-user': 'admin' } });
      assert.deepEqual([redirected.status, redirected.headers.location], [302, '/login']);
      assert.deepEqual(
        [(await dormouse.backend('shop')).phase, (await dormouse.backend('auth')).phase],
        ['asleep', 'awake'],
      );

      for (const [path, headers, user] of [
        ['/jwt', { authorization: bearer(goodClaims()) }, 'alice'],
        [`/apikey?api_key=${key}`, {}, 'partner'],
        ['/basic', { authorization: basic('secret') }, 'alice'],
        ['/forwardauth', { cookie: 'session=alice' }, 'alice'],
      ] as const) {
        const { status, body } = await ask(port, {
          path,
          headers: { ...headers, 'X-User': 'admin', 'X-Forwarded-User': 'admin' },
        });
        assert.equal(status, 200, `${path}: ${body}`);
        const seen = JSON.parse(body) as Record<string, string>;
        assert.equal(seen['x-user'], user, path);
        assert.equal(seen['x-forwarded-user'], undefined, path);
      }
      assert.equal(await dormouse.stop(), 0);
      const log = readFileSync(join(place.path, 'access.log'), 'utf8');
      assert.match(log, /\/apikey\?api_key=\[redacted\]/);
      for (const secret of [key, 'api_key=wrong', 'secret'])
        assert.ok(!log.includes(secret), `${secret} is in the access log`);
    },
  );

  it(
    'is checked with the configuration: what is wrong in it has its place, and no secret is repeated',
    CALM,
    async () => {
      await using place = new Place('');
      place.write(
        configuration({
          backends: { shop: backend() },
          routes: routes([
            { jwt: { issuer: null, audience: null, jwks: { file: 'keys.json' } } },
            { apiKey: { keys: [{ name: 'partner', hash: 'top-secret' }] } },
            { basic: { file: 'users.txt' } },
            { forwardAuth: { backend: 'nobody' } },
          ]),
        }),
      );
      writeFileSync(join(place.path, 'keys.json'), '{"keys":[]}');
      writeFileSync(join(place.path, 'users.txt'), 'alice:top-secret\n');
      const { code, stdout, stderr } = await place.run('check');
      assert.equal(code, 1);
      const said = stdout + stderr;
      for (const expected of [
        /filters\[0\]\.jwt\.jwks\.file: .*keys\.json has no usable key/,
        /filters\[0\]\.apiKey\.keys: the key of partner is not of the form sha256/,
        /filters\[0\]\.basic\.file: .*users\.txt what stands for alice is no password hash/,
        /filters\[0\]\.forwardAuth\.backend: there is no backend "nobody"/,
      ])
        assert.match(said, expected);
      assert.ok(!said.includes('top-secret'));
    },
  );
});
