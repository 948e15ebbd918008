import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CONCURRENT_CHECKS, PasswordChecks, WAITING_CHECKS, type PasswordVerdict } from './password-checks.ts';
import { hashPassword, isPassword, parsePasswordHash } from './password-hash.ts';
import { userMap } from './user-list.ts';

const cheap = { kind: 'scrypt', ln: 10, r: 1, p: 1 } as const;

function credentials(user: string, password: string): string {
  return Buffer.from(`${user}:${password}`).toString('base64');
}

describe('a password hash', () => {
  test('of the standard cost and of argon2id tells its password', async () => {
    for (const cost of [undefined, { kind: 'argon2id', memory: 1024, passes: 1, parallelism: 1 } as const]) {
      const text = await hashPassword('Grüße', cost);
      assert.match(text, cost === undefined ? /^\$scrypt\$ln=14,r=8,p=5\$/ : /^\$argon2id\$v=19\$m=1024,t=1,p=1\$/);
      const parsed = parsePasswordHash(text);
      assert.equal(await isPassword('Grüße', parsed), true);
      assert.equal(await isPassword('Grüsse', parsed), false);
      assert.equal(await isPassword('', parsed), false);
      assert.notEqual(await hashPassword('Grüße', cost ?? cheap), text);
    }
  });

  test('made elsewhere is read', async () => {
    // RFC 7914 section 12: P="pleaseletmein", S="SodiumChloride", N=16384, r=8, p=1, 64 bytes.
    const hash = Buffer.from(
      '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
      'hex',
    );
    const salt = Buffer.from('SodiumChloride').toString('base64').replace(/=+$/, '');
    const text = `$scrypt$ln=14,r=8,p=1$${salt}$${hash.toString('base64').replace(/=+$/, '')}`;
    assert.equal(await isPassword('pleaseletmein', parsePasswordHash(text)), true);
  });

  for (const [name, text, expected] of [
    ['bcrypt', '$2y$10$abcdefghijklmnopqrstuuGzlQmwTc5LZrLZZRqQe4Oo7Wv7Yp6yW', /kind 2y/],
    ['apr1', '$apr1$abc$def', /kind apr1/],
    ['SHA', '{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', /kind SHA/],
    ['argon2i', '$argon2i$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA', /kind argon2i,/],
    ['plain text', 'correct horse battery', /is no password hash/],
    ['too much memory', '$scrypt$ln=20,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA', /more than 128 MiB/],
    [
      'too many passes',
      '$argon2id$v=19$m=131072,t=100,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA',
      /more than 128 MiB or several seconds/,
    ],
    ['no cost', '$scrypt$ln=1,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA', /too cheap/],
    ['no memory', '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA', /too cheap/],
    ['a short salt', '$scrypt$ln=10,r=8,p=1$c2Fs$aGFzaGhhc2hoYXNoaGFzaA', /salt/],
    ['a short hash', '$scrypt$ln=10,r=8,p=1$c2FsdHNhbHQ$aGFz', /hash of less/],
  ] as const) {
    test(`${name}: refused, without being repeated`, () =>
      assert.throws(
        () => parsePasswordHash(text),
        (error: Error) => expected.test(error.message) && !error.message.includes(text.slice(8)),
      ));
  }
});

describe('checks of passwords', () => {
  async function list(version = 1): Promise<{ version: number; users: ReturnType<typeof userMap> }> {
    const users = userMap([{ name: 'alice', hash: await hashPassword('secret', cheap) }]);
    return { version, users };
  }

  test('are kept, right ones and wrong ones', async () => {
    const users = await list();
    const checks = new PasswordChecks(100);
    for (const [given, expected] of [
      [credentials('alice', 'secret'), { user: 'alice' }],
      [credentials('alice', 'Secret'), 'wrong'],
      [credentials('bob', 'secret'), 'wrong'],
      [credentials('__proto__', 'secret'), 'wrong'],
      [credentials('alice', ''), 'wrong'],
    ] as const) {
      const first = checks.check(given, users);
      assert.ok(first instanceof Promise);
      assert.deepEqual(await first, expected);
      assert.deepEqual(checks.check(given, users), expected);
    }
  });

  test('of what is no credential cost nothing', async () => {
    const users = await list();
    const checks = new PasswordChecks(100);
    for (const given of [
      '',
      '!!!',
      'YWxpY2U',
      Buffer.from([0xff, 0x3a, 0xff]).toString('base64'),
      credentials('alice', 'x'.repeat(3000)),
    ])
      assert.equal(checks.check(given, users), 'wrong');
    assert.equal(checks.size, 0);
  });

  test('begin anew when the list has changed, also for those that are being checked', async () => {
    const checks = new PasswordChecks(100);
    const given = credentials('alice', 'secret');
    const before = checks.check(given, await list());
    const gone = { version: 2, users: userMap([]) };
    assert.equal(await checks.check(given, gone), 'wrong');
    await before;
    assert.equal(checks.check(given, gone), 'wrong');
  });

  test('of the same password at once are one', async () => {
    const users = await list();
    const checks = new PasswordChecks(100);
    const all = Array.from({ length: 1000 }, () => checks.check(credentials('alice', 'secret'), users));
    assert.equal(new Set(all).size, 1);
    await all[0];
  });

  test('in a flood: the known pass at once, the pool and the event loop stay free, the rest is told to come again', async () => {
    const users = await list();
    const checks = new PasswordChecks(100);
    const known = credentials('alice', 'secret');
    await checks.check(known, users);
    const verdicts: (PasswordVerdict | Promise<PasswordVerdict>)[] = [];
    for (let i = 0; i < 10_000; i++) verdicts.push(checks.check(credentials('alice', `guess ${i}`), users));
    assert.deepEqual(checks.check(known, users), { user: 'alice' });
    const waiting = verdicts.filter((verdict) => verdict instanceof Promise);
    assert.equal(waiting.length, CONCURRENT_CHECKS + WAITING_CHECKS);
    assert.equal(verdicts.filter((verdict) => verdict === 'busy').length, 10_000 - waiting.length);
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set(['wrong']));
    assert.ok(checks.size <= 100);
    // Turns come back.
    assert.equal(await checks.check(credentials('alice', 'guess 9999'), users), 'wrong');
  });
});
