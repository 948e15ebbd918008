import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { hashApiKey } from '../auth/api-keys.ts';
import { LOOK_INTERVAL_MS } from '../auth/file-content.ts';
import { FilterRuns, HandClock } from '../auth/filter-runs.fixture.ts';
import { filter, issues } from './filters.fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'dormouse-api-key-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const KEYS = [
  { name: 'partner', hash: hashApiKey('key-of-partner') },
  { name: 'Shop 2', hash: hashApiKey('key-of-shop').toUpperCase().replace('SHA', 'sha') },
];

function runs(options: Record<string, unknown> = {}): FilterRuns {
  return new FilterRuns([filter('apiKey', { keys: KEYS, ...options })]);
}

describe('an API key', () => {
  test('in a header says whose it is; the backend gets the name, not the key', async () => {
    const run = await runs().run({
      headers: [
        ['X-Api-Key', 'key-of-shop'],
        ['X-User', 'admin'],
        ['X_User', 'admin'],
        ['x-forwarded-user', 'admin'],
        ['A', 'b'],
      ],
    });
    assert.deepEqual([run.status, run.identity, run.sync], [0, 'Shop 2', true]);
    assert.deepEqual(run.lines, ['A: b', 'x-user: Shop 2']);
  });

  test('in the query is taken out of it and out of the access log', async () => {
    const filters = runs({ from: [{ query: 'api_key' }] });
    for (const [target, sent, logged] of [
      ['/a?api_key=key-of-partner', '/a', '/a?api_key=[redacted]'],
      ['/a?x=1&api%5Fkey=key%2Dof-partner&y=%20', '/a?x=1&y=%20', '/a?x=1&api%5Fkey=[redacted]&y=%20'],
    ] as const) {
      const run = await filters.run({ target });
      assert.deepEqual([run.status, run.identity, run.target, run.loggedTarget], [0, 'partner', sent, logged]);
    }
    const wrong = await filters.run({ target: '/a?api_key=key-of-partnes' });
    assert.deepEqual([wrong.status, wrong.loggedTarget], [401, '/a?api_key=[redacted]']);
    assert.equal((await filters.run({ target: '/a?api_key=key-of-partner&api_key=x' })).status, 400);
    assert.equal((await filters.run({ target: '/a?api_key=' })).status, 401);
  });

  test('in a header with a scheme, or another header; forwarded when it is asked for', async () => {
    const filters = runs({
      from: [{ header: 'Authorization', scheme: 'ApiKey' }, { header: 'X-Key' }],
      forward: true,
      identityHeader: null,
    });
    const run = await filters.run({ headers: [['authorization', 'apikey  key-of-partner']] });
    assert.deepEqual([run.status, run.identity, run.lines], [0, 'partner', ['authorization: apikey  key-of-partner']]);
    assert.equal((await filters.run({ headers: [['X-Key', 'key-of-partner']] })).status, 0);
  });

  test('that is missing, wrong, twice or huge', async () => {
    const filters = runs();
    for (const [headers, status] of [
      [[], 401],
      [[['X-Api-Key', '']], 401],
      [[['X-Api-Key', 'wrong']], 401],
      [[['X-Api-Key', 'key-of-partner ']], 401],
      [[['X-Api-Key', KEYS[0]!.hash]], 401],
      [[['X-Api-Key', 'x'.repeat(30_000)]], 401],
      [
        [
          ['X-Api-Key', 'key-of-partner'],
          ['X-Api-Key', 'key-of-partner'],
        ],
        400,
      ],
      [[['X_Api_Key', 'key-of-partner']], 401],
    ] as [[string, string][], number][]) {
      const run = await filters.run({ headers });
      assert.equal(run.status, status);
      assert.equal(run.identity, '');
      assert.match(
        run.answer!.headers,
        /^WWW-Authenticate: ApiKey realm="dormouse"\r\nCache-Control: no-store\r\nContent-Type: application\/problem\+json\r\n$/,
      );
    }
  });

  test('that nobody needs: anonymous requests pass without identity headers', async () => {
    const run = await runs({ optional: true, identityHeader: 'X-Caller' }).run({
      headers: [
        ['X-Caller', 'admin'],
        ['x_caller', 'admin'],
      ],
    });
    assert.deepEqual([run.status, run.identity, run.lines], [0, '', []]);
    assert.equal((await runs({ optional: true }).run({ headers: [['X-Api-Key', 'wrong']] })).status, 401);
  });

  test('of an earlier filter stays known when a later one is optional', async () => {
    const filters = new FilterRuns([
      filter('apiKey', { keys: KEYS }),
      filter('basic', {
        users: [{ name: 'a', hash: '$scrypt$ln=10,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA' }],
        optional: true,
      }),
    ]);
    const run = await filters.run({
      headers: [
        ['X-Api-Key', 'key-of-partner'],
        ['X-User', 'admin'],
      ],
    });
    assert.deepEqual([run.status, run.identity, run.lines], [0, 'partner', ['x-user: partner']]);
  });
});

describe('a file of keys', () => {
  const clock = new HandClock();

  function fromFile(file: string): FilterRuns {
    const made = filter('apiKey', { keys: KEYS });
    return new FilterRuns([{ ...made, options: { ...(made.options as object), keys: null, file } }], { clock });
  }

  const status = async (filters: FilterRuns, key: string): Promise<number> =>
    (await filters.run({ headers: [['X-Api-Key', key]] })).status;

  test('is read again when it has changed; what can not be used leaves the last good content', async () => {
    const file = join(folder, 'keys');
    writeFileSync(file, `# partners\n\none:${hashApiKey('1')}\n`);
    const filters = fromFile(file);
    assert.deepEqual([await status(filters, '1'), await status(filters, '2')], [0, 401]);
    const settled = async (key: string, expected: number): Promise<void> => {
      clock.ms += LOOK_INTERVAL_MS;
      for (let turn = 0; turn < 1000 && (await status(filters, key)) !== expected; turn++)
        await new Promise((resolve) => setImmediate(resolve));
      assert.equal(await status(filters, key), expected);
    };
    // Half written, then whole, then gone, then a folder in its place, then back.
    writeFileSync(file, `one:${hashApiKey('1')}\ntwo:sha256:12`);
    clock.ms += LOOK_INTERVAL_MS;
    await status(filters, '1');
    writeFileSync(`${file}.new`, `two:${hashApiKey('2')}\n`);
    renameSync(`${file}.new`, file);
    await settled('2', 0);
    assert.equal(await status(filters, '1'), 401);
    rmSync(file);
    clock.ms += LOOK_INTERVAL_MS;
    assert.equal(await status(filters, '2'), 0);
    writeFileSync(file, `three:${hashApiKey('3')}\n`);
    await settled('3', 0);
    assert.ok(!JSON.stringify(filters.log.lines).includes('sha256'), 'hashes are not logged');
    filters.close();
    assert.equal(filters.services.kept.size, 0);
  });

  test('that is missing or wrong is an error, which names its line but not what it says', () => {
    assert.throws(() => fromFile(join(folder, 'missing')), { code: 'DORMOUSE_AUTH_FILE' });
    const file = join(folder, 'wrong');
    for (const [text, expected] of [
      [`one:${hashApiKey('1')}\nsecret`, /line 2 is not of the form name:hash/],
      ['a:sha256:secret', /the key of a is not of the form/],
      [`a:${hashApiKey('1')}\nb:${hashApiKey('1')}`, /the keys of a and b are the same/],
      ['a\r\nb:c:d', /line 1/],
    ] as const) {
      writeFileSync(file, text);
      assert.throws(
        () => fromFile(file),
        (error: Error) => expected.test(error.message) && !error.message.includes('secret'),
      );
    }
  });
});

describe('options', () => {
  for (const [name, options, expected] of [
    ['neither keys nor file', {}, /^: needs exactly one of keys and file/],
    ['both', { keys: KEYS, file: 'x' }, /^: needs exactly one of keys and file/],
    ['a key in plain text', { keys: [{ name: 'a', hash: 'secret' }] }, /^keys: the key of a is not of the form sha256/],
    ['a name with a colon', { keys: [{ name: 'a:b', hash: KEYS[0]!.hash }] }, /^keys\.0\.name: a name is/],
    ['no place', { keys: KEYS, from: [] }, /^from: name at least one place/],
    [
      'an identity header that belongs to the hop',
      { keys: KEYS, identityHeader: 'Connection' },
      /^identityHeader: connection can't be used/,
    ],
  ] as const) {
    test(`${name}: refused`, () => assert.match(issues('apiKey', options).join('\n'), expected));
  }
});
