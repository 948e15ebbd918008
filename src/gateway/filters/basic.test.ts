import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { LOOK_INTERVAL_MS } from '../auth/file-content.ts';
import { FilterRuns, HandClock } from '../auth/filter-runs.fixture.ts';
import { hashPassword } from '../auth/password-hash.ts';
import { filter, issues } from './filters.fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'dormouse-basic-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const hash = await hashPassword('grün', { kind: 'scrypt', ln: 10, r: 1, p: 1 });
const users = [{ name: 'alice', hash }];

function authorization(user: string, password: string): [string, string] {
  return ['Authorization', `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`];
}

function runs(options: Record<string, unknown> = {}): FilterRuns {
  return new FilterRuns([filter('basic', { users, ...options })]);
}

describe('a name and its password', () => {
  test('pass, without a wait the second time; the backend gets the name, not the password', async () => {
    const filters = runs();
    for (const sync of [false, true]) {
      const run = await filters.run({ headers: [authorization('alice', 'grün'), ['X-User', 'admin']] });
      assert.deepEqual([run.status, run.identity, run.lines, run.sync], [0, 'alice', ['x-user: alice'], sync]);
    }
    // The other form of the same letter (RFC 8265).
    assert.equal((await filters.run({ headers: [authorization('alice', 'gru\u0308n')] })).status, 0);
    const kept = await runs({ forward: true, identityHeader: null }).run({ headers: [authorization('alice', 'grün')] });
    assert.deepEqual(kept.lines.length, 1);
  });

  test('that are missing, wrong or twice', async () => {
    const filters = runs({ realm: 'the shop' });
    for (const [headers, status] of [
      [[], 401],
      [[['Authorization', 'Bearer x']], 401],
      [[['Authorization', 'Basic']], 401],
      [[['Authorization', 'Basic !!!']], 401],
      [[authorization('alice', 'wrong')], 401],
      [[authorization('bob', 'grün')], 401],
      [[authorization('alice', 'grün'), authorization('alice', 'grün')], 400],
    ] as [[string, string][], number][]) {
      for (let turn = 0; turn < 2; turn++) {
        const run = await filters.run({ headers });
        assert.deepEqual([run.status, run.identity], [status, '']);
        assert.match(run.answer!.headers, /^WWW-Authenticate: Basic realm="the shop", charset="UTF-8"\r\n/);
      }
    }
  });

  test('that nobody needs', async () => {
    const filters = runs({ optional: true });
    const run = await filters.run({
      headers: [
        ['X-User', 'admin'],
        ['Authorization', 'Bearer x'],
      ],
    });
    assert.deepEqual([run.status, run.identity, run.lines], [0, '', ['Authorization: Bearer x']]);
    assert.equal((await filters.run({ headers: [authorization('alice', 'wrong')] })).status, 401);
  });

  test('in a flood of wrong ones: 503 with Retry-After for what is over the bound, and never 200', async () => {
    const filters = runs();
    const all = await Promise.all(
      Array.from({ length: 1000 }, (_, i) => filters.run({ headers: [authorization('alice', `guess ${i}`)] })),
    );
    const statuses = Map.groupBy(all, ({ status }) => status);
    assert.deepEqual(new Set(statuses.keys()), new Set([401, 503]));
    assert.match(statuses.get(503)![0]!.answer!.headers, /Retry-After: 1\r\n/);
  });
});

test('a file of users is read again when it has changed; who is gone is gone although known', async () => {
  const file = join(folder, 'users');
  writeFileSync(file, `alice:${hash}\n`);
  const clock = new HandClock();
  const made = filter('basic', { users });
  const filters = new FilterRuns([{ ...made, options: { ...(made.options as object), users: null, file } }], { clock });
  const status = async (): Promise<number> => (await filters.run({ headers: [authorization('alice', 'grün')] })).status;
  assert.equal(await status(), 0);
  writeFileSync(file, `bob:${hash}\n`);
  clock.ms += LOOK_INTERVAL_MS;
  for (let turn = 0; turn < 1000 && (await status()) !== 401; turn++)
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await status(), 401);
});

describe('options', () => {
  for (const [name, options, expected] of [
    ['neither users nor file', {}, /^: needs exactly one of users and file/],
    [
      'a password in plain text',
      { users: [{ name: 'a', hash: 'secret' }] },
      /^users: what stands for a is no password hash/,
    ],
    [
      'an htpasswd hash',
      { users: [{ name: 'a', hash: '$apr1$x$y' }] },
      /only scrypt and argon2id are read; make one with: dormouse hash-password/,
    ],
    ['a name twice', { users: [...users, ...users] }, /^users: the user alice is there twice/],
  ] as const) {
    test(`${name}: refused`, () => assert.match(issues('basic', options).join('\n'), expected));
  }
});
