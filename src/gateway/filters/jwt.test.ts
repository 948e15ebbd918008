import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { FilterRuns, HandClock } from '../auth/filter-runs.fixture.ts';
import { encoded, goodClaims, hmacToken, keySetText, publicJwk, signingPair, token } from '../auth/issuer.fixture.ts';
import { JwtRuns, jwtFilter } from '../auth/jwt-runs.fixture.ts';
import { filter, issues } from './filters.fixture.ts';

const jwtRuns = new JwtRuns();
const { ec, rsa, other, folder } = jwtRuns;
afterEach(() => jwtRuns.closeAll());

describe('a good token', () => {
  for (const alg of ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
    test(`signed with ${alg} passes, and says who it is`, async () => {
      const pair = signingPair('k', alg);
      const { filters, claims } = jwtRuns.start({}, [pair]);
      const run = await filters.bearer(token(pair, claims()));
      assert.equal(run.status, 0);
      assert.equal(run.identity, 'alice');
      assert.equal(run.claims!['iss'], 'https://issuer.test');
    });
  }

  test('passes without a promise when it is known, and is good for as long as it says', async () => {
    const { filters, clock, claims } = jwtRuns.start();
    const good = token(ec, claims({ exp: clock.ms / 1000 + 60, nbf: clock.ms / 1000 }));
    assert.equal((await filters.bearer(good)).sync, false);
    assert.equal((await filters.bearer(good)).sync, true);
    // With the skew of 30 s.
    clock.ms += 89_999;
    assert.equal((await filters.bearer(good)).status, 0);
    clock.ms += 1;
    assert.equal((await filters.bearer(good)).status, 401);
  });

  test('is verified once when many requests bring it at once', async () => {
    const { filters, claims } = jwtRuns.start();
    const good = token(ec, claims());
    const all = Array.from(
      { length: 50 },
      () => filters.begin({ headers: [['Authorization', `Bearer ${good}`]] }).verdict,
    );
    assert.equal(new Set(all).size, 50);
    assert.deepEqual(new Set(await Promise.all(all)), new Set([null]));
  });

  test('may name no key: those that fit are tried', async () => {
    const { filters, claims } = jwtRuns.start({}, [other, ec]);
    assert.equal((await filters.bearer(token(ec, claims(), { kid: undefined }))).status, 0);
  });

  test('with one of several issuers and audiences', async () => {
    const { filters, claims } = jwtRuns.start({
      issuer: ['https://a.test', 'https://issuer.test'],
      audience: ['web', 'api'],
    });
    assert.equal((await filters.bearer(token(ec, claims({ aud: ['x', 'web'] })))).status, 0);
    assert.equal((await filters.bearer(token(ec, claims({ aud: ['x'] })))).status, 401);
    assert.equal((await filters.bearer(token(ec, claims({ iss: 'https://b.test' })))).status, 401);
  });

  test('whatever its issuer and audience, when the file says so', async () => {
    const { filters, claims } = jwtRuns.start({ issuer: null, audience: null });
    assert.equal((await filters.bearer(token(ec, claims({ iss: undefined, aud: undefined })))).status, 0);
  });

  test('by a shared secret of a file, when only HS algorithms are allowed', async () => {
    const secret = Buffer.alloc(32, 7);
    const jwks = jwtRuns.keyFile(JSON.stringify({ keys: [{ kty: 'oct', k: secret.toString('base64url'), kid: 's' }] }));
    const { filters, claims } = jwtRuns.start({ jwks, algorithms: ['HS256'] });
    assert.equal((await filters.bearer(hmacToken(secret, claims(), { kid: 's' }))).status, 0);
    assert.equal((await filters.bearer(hmacToken('other', claims(), { kid: 's' }))).status, 401);
  });

  test('from a cookie or the query; the latter goes neither to the backend nor into the log', async () => {
    const { filters, claims } = jwtRuns.start({
      from: [{ cookie: 'session' }, { query: 'access_token' }],
      forward: false,
    });
    const good = token(ec, claims());
    const cookie = await filters.run({ headers: [['Cookie', `a=1; session=${good}; b=2`]] });
    assert.equal(cookie.status, 0);
    assert.deepEqual(cookie.lines, ['Cookie: a=1; b=2']);
    const query = await filters.run({ target: `/x?a=1&access%5Ftoken=${good}&b=2` });
    assert.equal(query.status, 0);
    assert.equal(query.target, '/x?a=1&b=2');
    assert.equal(query.loggedTarget, '/x?a=1&access%5Ftoken=[redacted]&b=2');
    const both = await filters.run({ target: `/x?access_token=${good}`, headers: [['Cookie', `session=${good}`]] });
    assert.equal(both.status, 400);
  });
});

describe('a bad token', () => {
  const bad: [string, (claims: Record<string, unknown>, nowMs: number) => string][] = [
    ['expired', (claims, nowMs) => token(ec, { ...claims, exp: nowMs / 1000 - 31 })],
    ['not good yet', (claims, nowMs) => token(ec, { ...claims, nbf: nowMs / 1000 + 31 })],
    ['without an end', (claims) => token(ec, { ...claims, exp: undefined })],
    ['with an end that is text', (claims) => token(ec, { ...claims, exp: '9999999999' })],
    ['of another issuer', (claims) => token(ec, { ...claims, iss: 'https://issuer.test.evil' })],
    ['without an issuer', (claims) => token(ec, { ...claims, iss: undefined })],
    ['for somebody else', (claims) => token(ec, { ...claims, aud: 'other' })],
    ['signed by another key of the same name', (claims) => token(other, claims)],
    ['with the name of another key', (claims) => token(ec, claims, { kid: 'rsa' })],
    ['with an unknown key', (claims) => token(ec, claims, { kid: 'nobody' })],
    ['with a key in its header', (claims) => token(other, claims, { kid: 'ec', jwk: publicJwk(other) })],
    ['with the address of a key set', (claims) => token(other, claims, { jku: 'http://127.0.0.1:1/jwks.json' })],
    ['with alg none and no signature', (claims) => `${encoded({ alg: 'none', kid: 'ec' })}.${encoded(claims)}.`],
    ['with alg None', (claims) => `${encoded({ alg: 'None', kid: 'ec' })}.${encoded(claims)}.`],
    ['with alg none and a good signature', (claims) => token(ec, claims, { alg: 'none' })],
    [
      'with an HMAC by the public key in PEM',
      (claims) => hmacToken(rsa.publicKey.export({ type: 'spki', format: 'pem' }), claims, { kid: 'rsa' }),
    ],
    [
      'with an HMAC by the modulus',
      (claims) =>
        hmacToken(Buffer.from(rsa.publicKey.export({ format: 'jwk' }).n!, 'base64url'), claims, { kid: 'rsa' }),
    ],
    ['with an HMAC by nothing', (claims) => hmacToken('', claims, { kid: 'ec' })],
    ['of another algorithm than its key', (claims) => token(rsa, claims, { alg: 'PS256' })],
    ['with a critical extension', (claims) => token(ec, claims, { crit: ['exp'], exp: 1 })],
    ['with an unencoded payload', (claims) => token(ec, claims, { crit: ['b64'], b64: false })],
    [
      'with a changed payload',
      (claims) => {
        const [header, , signature] = token(ec, claims).split('.');
        return `${header}.${encoded({ ...claims, sub: 'admin' })}.${signature}`;
      },
    ],
    ['with a cut signature', (claims) => token(ec, claims).slice(0, -4)],
    ['with an empty signature', (claims) => token(ec, claims).split('.').slice(0, 2).join('.') + '.'],
    [
      'with a zero signature',
      (claims) => `${token(ec, claims).split('.').slice(0, 2).join('.')}.${Buffer.alloc(64).toString('base64url')}`,
    ],
    [
      'in DER, not in the form of JOSE',
      (claims) =>
        `${token(ec, claims).split('.').slice(0, 2).join('.')}.${Buffer.alloc(71, 0x30).toString('base64url')}`,
    ],
    ['of two parts', (claims) => token(ec, claims).split('.').slice(0, 2).join('.')],
    ['of five parts', (claims) => `${token(ec, claims)}.a.b`],
    ['of garbage', () => '!!!.???.***'],
    ['of base64 of garbage', () => `${encoded('\u0000\ufffd')}.${encoded('x')}.${encoded('y')}`],
    ['with a header that is a list', () => `${encoded([])}.${encoded({})}.x`],
    ['with a header that is null', () => `${encoded('null')}.${encoded({})}.x`],
    ['with an alg that is a list', (claims) => token(ec, claims, { alg: ['ES256'] })],
    ['with a kid that is a mapping', (claims) => token(ec, claims, { kid: {} })],
    ['with a payload that is no mapping', () => token(ec, [] as never)],
    ['with an algorithm named like a property', (claims) => token(ec, claims, { alg: 'constructor' })],
    ['with a deeply nested header', () => `${encoded('['.repeat(5000))}.x.y`],
    ['of 17 kB', (claims) => token(ec, { ...claims, filler: 'x'.repeat(13_000) })],
  ];
  for (const [name, make] of bad) {
    test(`${name} is answered 401, and says no more than that`, async () => {
      const { filters, clock, claims } = jwtRuns.start();
      const text = make(claims(), clock.ms);
      for (let turn = 0; turn < 2; turn++) {
        const run = await filters.bearer(text, { headers: [['X-User', 'admin']] });
        assert.equal(run.status, 401);
        assert.equal(run.identity, '');
        assert.equal(run.claims, null);
        assert.match(run.answer!.headers, /^WWW-Authenticate: Bearer realm="dormouse", error="invalid_token"\r\n/);
        assert.deepEqual(JSON.parse(run.answer!.body), {
          type: 'about:blank',
          title: 'Unauthorized',
          status: 401,
          detail: 'The token is not valid.',
          code: 'unauthorized',
        });
      }
    });
  }

  test('that is not good yet is good when its time has come', async () => {
    const { filters, clock, claims } = jwtRuns.start();
    const early = token(ec, claims({ nbf: clock.ms / 1000 + 60 }));
    assert.equal((await filters.bearer(early)).status, 401);
    clock.ms += 30_000;
    assert.equal((await filters.bearer(early)).status, 0);
  });

  test('without a token the challenge names no error; optional requests pass, but without an identity', async () => {
    const { filters } = jwtRuns.start();
    for (const headers of [
      [],
      [['Authorization', 'Basic YTpi']],
      [['Authorization', 'Bearer']],
      [['Authorization', 'Bearer ']],
    ] as [string, string][][]) {
      const run = await filters.run({ headers });
      assert.equal(run.status, 401);
      assert.match(run.answer!.headers, /^WWW-Authenticate: Bearer realm="dormouse"\r\n/);
    }
    const { filters: optional } = jwtRuns.start({ optional: true, headers: { 'X-Tenant': 'tenant' } });
    const anonymous = await optional.run({
      headers: [
        ['X-User', 'admin'],
        ['x_tenant', '1'],
        ['X-Forwarded-User', 'admin'],
        ['X-Other', 'stays'],
      ],
    });
    assert.equal(anonymous.status, 0);
    assert.equal(anonymous.identity, '');
    assert.deepEqual(anonymous.lines, ['X-Other: stays']);
    assert.equal((await optional.bearer('x.y.z')).status, 401);
  });

  test('sent twice is refused, whichever is good', async () => {
    const { filters, claims } = jwtRuns.start();
    const good = token(ec, claims());
    const run = await filters.run({
      headers: [
        ['Authorization', `Bearer ${good}`],
        ['Authorization', `Bearer ${good}`],
      ],
    });
    assert.equal(run.status, 400);
    assert.match(run.answer!.headers, /error="invalid_request"/);
  });

  test('10,000 of them leave no more than the bounded memory of bad ones', async () => {
    const { filters, claims } = jwtRuns.start();
    const [header, payload] = token(ec, claims()).split('.');
    for (let i = 0; i < 10_000; i += 100) {
      const runsOfTurn = Array.from({ length: 100 }, (_, j) => {
        const signature = Buffer.alloc(64);
        signature.writeUInt32BE(i + j + 1, 60);
        return filters.bearer(`${header}.${payload}.${signature.toString('base64url')}`);
      });
      for (const { status } of await Promise.all(runsOfTurn)) assert.equal(status, 401);
    }
    assert.equal(filters.services.kept.size, 2);
    const { part, release } = filters.services.kept.take(
      [...filters.services.kept.keys()].find((key) => key.startsWith('jwt '))!,
      () => {
        throw new Error('it is there');
      },
    );
    release();
    const { size } = (part as unknown as { checks: { size: number } }).checks;
    assert.ok(size <= 1000, `${size} entries`);
  });
});

describe('what a route requires', () => {
  test('scopes, from scope or scp; 403 names them', async () => {
    const { filters, claims } = jwtRuns.start({ require: { scopes: ['users.read', 'users.list'] } });
    assert.equal((await filters.bearer(token(ec, claims({ scope: 'a users.list users.read' })))).status, 0);
    assert.equal((await filters.bearer(token(ec, claims({ scp: ['users.list', 'users.read'] })))).status, 0);
    const run = await filters.bearer(token(ec, claims({ scope: 'users.read' })));
    assert.equal(run.status, 403);
    assert.equal(run.identity, '');
    assert.match(run.answer!.headers, /error="insufficient_scope", scope="users.read users.list"/);
  });

  test('claims, with values or lists, by path or with dots in the name', async () => {
    const { filters, claims } = jwtRuns.start({
      require: { claims: { 'realm.roles': ['admin', 'editor'], 'https://a.test/level': 3, email_verified: true } },
    });
    const good = { realm: { roles: ['x', 'editor'] }, 'https://a.test/level': 3, email_verified: true };
    assert.equal((await filters.bearer(token(ec, claims(good)))).status, 0);
    for (const change of [
      { realm: { roles: ['x'] } },
      { realm: 'editor' },
      { realm: undefined },
      { 'https://a.test/level': '3' },
      { email_verified: 'true' },
    ])
      assert.equal(
        (await filters.bearer(token(ec, claims({ ...good, ...change })))).status,
        403,
        JSON.stringify(change),
      );
  });
});

describe('claims to headers', () => {
  const headers = { 'X-Subject': 'sub', 'X-Roles': 'roles', 'X-Address': 'address', 'X-Level': 'level' };

  test('text, numbers, lists and mappings; what is not there gives no header', async () => {
    const { filters, claims } = jwtRuns.start({ headers, forward: false });
    const run = await filters.bearer(token(ec, claims({ sub: 'Zoë', roles: ['a', 'b'], address: { city: 'Köln' } })), {
      headers: [
        ['X-Level', '9'],
        ['x-roles', 'admin'],
        ['Accept', '*/*'],
      ],
    });
    assert.deepEqual(run.lines, [
      'Accept: */*',
      `x-subject: ${Buffer.from('Zoë').toString('latin1')}`,
      'x-roles: a,b',
      String.raw`x-address: {"city":"K\u00f6ln"}`,
    ]);
  });

  for (const [name, claim] of [
    ['a line break', { sub: 'a\r\nX-Admin: 1' }],
    ['a lone line feed', { sub: 'a\nb' }],
    ['a NUL', { sub: 'a\0b' }],
    ['a space at its end, which a reader would cut off', { sub: 'admin ' }],
    ['half of a surrogate pair', { sub: 'a\ud800' }],
    ['a comma inside an item of a list', { roles: ['user,admin'] }],
    ['an item that is empty', { roles: ['', 'a'] }],
    ['more than 4096 bytes', { sub: 'é'.repeat(2100) }],
  ] as const) {
    test(`a claim with ${name} is not passed on: 403`, async () => {
      const { filters, claims } = jwtRuns.start({ headers });
      const run = await filters.bearer(token(ec, claims(claim)));
      assert.equal(run.status, 403);
      assert.deepEqual(
        run.lines.filter((line) => !line.startsWith('Authorization')),
        [],
      );
    });
  }

  test('what an earlier filter found out stays, unless this one says it too', async () => {
    const clock = new HandClock();
    const filters = jwtRuns.keep(
      new FilterRuns(
        [
          filter('requestHeaders', { set: { 'X-User': 'set by the file', 'X-Subject': 'also' } }),
          jwtFilter({ jwks: jwtRuns.keyFile(keySetText(ec)), headers: { 'X-Subject': 'sub' }, forward: false }),
        ],
        { clock },
      ),
    );
    const run = await filters.bearer(token(ec, goodClaims(clock.ms)), { headers: [['X-User', 'client']] });
    assert.deepEqual(run.lines, ['X-User: set by the file', 'x-subject: alice']);
  });
});

test('a known token costs microseconds', async () => {
  const { filters, claims } = jwtRuns.start({ headers: { 'X-User': 'sub' } });
  const parts = { headers: [['Authorization', `Bearer ${token(rsa, claims())}`]] as [string, string][] };
  await filters.run(parts);
  const { edit } = filters.begin(parts);
  const { view } = edit;
  const request = filters.compiled.request!;
  const round = (): number => {
    const startedMs = performance.now();
    for (let i = 0; i < 5000; i++) {
      edit.begin(view, '192.0.2.1', 'http');
      assert.equal(request(edit), null);
    }
    return ((performance.now() - startedMs) / 5000) * 1000;
  };
  const best = Math.min(...Array.from({ length: 5 }, round));
  // About 2 us; to verify it takes 200.
  assert.ok(best < 25, `${best.toFixed(1)} us`);
});

describe('options', () => {
  const base = { issuer: 'i', audience: 'a', jwks: { url: 'https://a.test/jwks' } };
  for (const [name, change, expected] of [
    ['issuer and audience have to be said', { issuer: undefined, audience: undefined }, /^issuer: .*\n?audience: /s],
    ['an algorithm that is none', { algorithms: ['none'] }, /^algorithms\.0: one of RS256/],
    ['a secret from a server', { algorithms: ['HS256'] }, /^algorithms: HS256 has one secret/],
    [
      'secrets beside keys',
      { jwks: { file: 'k.json' }, algorithms: ['HS256', 'RS256'] },
      /^algorithms: HS algorithms do not stand beside/,
    ],
    ['two sources', { jwks: { url: 'https://a.test', file: 'x' } }, /^jwks: needs exactly one of/],
    ['a backend without a path', { jwks: { backend: 'auth' } }, /^jwks: needs path/],
    ['an address with a password', { jwks: { url: 'https://u:p@a.test' } }, /^jwks\.url: an address such as/],
    ['another scheme', { jwks: { url: 'file:///etc/passwd' } }, /^jwks\.url: an address such as/],
    [
      'a header that frames the message',
      { headers: { 'Content-Length': 'n' } },
      /^headers\.Content-Length: content-length can't be used/,
    ],
    ['no header name', { headers: { 'a b': 'n' } }, /^headers\.a b: not a header name/],
    ['two places in one', { from: [{ header: 'a', query: 'b' }] }, /^from\.0: needs exactly one of/],
    ['a realm with a quote', { realm: 'a"b' }, /^realm: a realm is printable ASCII/],
  ] as const) {
    test(`${name}: refused`, () => assert.match(issues('jwt', { ...base, ...change }).join('\n'), expected));
  }

  test('a file without a usable key is refused at once', () => {
    assert.throws(() => jwtRuns.start({ jwks: jwtRuns.keyFile('{"keys":[]}') }), /has no usable key/);
    assert.throws(() => jwtRuns.start({ jwks: { file: join(folder, 'missing') } }), { code: 'DORMOUSE_AUTH_FILE' });
  });
});
