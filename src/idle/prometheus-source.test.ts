import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockOf, IDLE_AFTER_MS, QUERY, SCRAPE_MS, setup, SKEW_MS } from './idle.fixture.ts';
import type { Series } from './prometheus.fixture.ts';

test('awake until it has been asked; one look back at a start says that it was idle all the time', async () => {
  await using made = await setup(() => 4.9);
  made.start();
  assert.deepEqual(made.told, [
    { keptBy: ['idle.prometheus: it has not been asked yet'], wake: null, configured: true },
  ]);
  await made.pass(5000);
  assert.deepEqual(made.told.slice(1), [{ keptBy: [], wake: null, configured: true }]);
  const range = made.prometheus.asked.find(({ path }) => path === '/api/v1/query_range')!.form;
  assert.equal(range.get('step'), '15.000');
  assert.equal(Number(range.get('end')) - Number(range.get('start')), IDLE_AFTER_MS / 1000, 'by its own clock');
  await made.pass(IDLE_AFTER_MS);
  assert.equal(made.told.length, 2, 'nothing new');
  assert.equal(made.prometheus.count('/api/v1/query_range'), 1);
  assert.equal(made.prometheus.count('/api/v1/query'), 5, 'asked every scrape interval');
});

test('work keeps it awake, and idleAfter begins when it is below again', async () => {
  let value = 5;
  await using made = await setup(() => ({ a: 1, b: value }));
  made.start();
  await made.pass(5000);
  assert.deepEqual(made.kept(), [`idle.prometheus: 5 of {pod=b} is not below 5 (at ${clockOf(made.time)})`]);
  value = 7;
  await made.pass(SCRAPE_MS);
  assert.equal(made.told.length, 2, 'a new number is no new reason');
  value = 0;
  await made.pass(SCRAPE_MS);
  const since = `idle.prometheus: below 5 only since ${clockOf(made.time)}, and scale.idleAfter is 60 s`;
  assert.deepEqual(made.kept(), [since]);
  await made.pass(3 * SCRAPE_MS);
  assert.deepEqual([made.told.length, made.kept()], [3, [since]]);
  await made.pass(SCRAPE_MS);
  assert.deepEqual(made.kept(), []);
  assert.equal(made.prometheus.count('/api/v1/query_range'), 0, 'it was seen at every asking');
});

test('a look back that finds work or a gap counts from its end', async () => {
  for (const hole of [7, NaN, undefined]) {
    let from = 0;
    await using made = await setup((at) => (at < from - 20 ? hole : 0));
    from = (made.time.wallMs() + SKEW_MS + 5000) / 1000;
    made.start();
    await made.pass(5000);
    assert.match(made.kept()[0]!, new RegExp(`^idle.prometheus: below 5 only since ${clockOf(made.time, -15_000)}`));
    await made.pass(IDLE_AFTER_MS - SCRAPE_MS);
    assert.deepEqual(made.kept(), []);
  }
});

test('a scalar counts as a sample, and less than nothing is below', async () => {
  await using made = await setup(() => -Infinity);
  made.prometheus.type = 'scalar';
  made.start();
  await made.pass(5000);
  assert.deepEqual(made.kept(), []);
});

const says: [string, Series | { status?: number; body: unknown }, string][] = [
  ['nothing', () => undefined, 'query gives nothing: see that its series exist and that their target is scraped'],
  ['NaN', () => ({ a: 0, b: NaN }), 'query gives NaN of {pod=b}: see that it never divides 0 by 0'],
  ['infinitely much', () => Infinity, 'Infinity is not below 5'],
  [
    'a wrong query',
    { status: 400, body: { status: 'error', errorType: 'bad_data', error: 'parse error:\n unexpected }' } },
    'it refuses query (bad_data: parse error: unexpected }): correct it',
  ],
  [
    'a warning',
    { body: { status: 'success', warnings: ['store a: EOF'], data: { resultType: 'vector', result: [] } } },
    'the answer to query comes with a warning: store a: EOF',
  ],
  [
    'a range',
    { body: { status: 'success', data: { resultType: 'matrix', result: [] } } },
    'the answer to query is a matrix: write one',
  ],
  [
    'a histogram',
    { body: { status: 'success', data: { resultType: 'vector', result: [{ metric: {}, histogram: [1, {}] }] } } },
    'query gives a histogram',
  ],
  ['another program', { body: '<html>secret' }, "ADDRESS the answer is not of Prometheus' HTTP API: see serverAddress"],
  ['another program', { body: '[]' }, "ADDRESS the answer is not of Prometheus' HTTP API"],
  ['a login page', { status: 302, body: 'secret' }, 'ADDRESS answers 302: it sends to another address'],
  ['a login', { status: 401, body: 'secret' }, 'ADDRESS answers 401: give user and password in serverAddress'],
  ['another path', { status: 404, body: 'secret' }, 'ADDRESS answers 404: see that serverAddress is that of'],
  [
    'a start',
    { status: 503, body: { status: 'error', errorType: 'unavailable', error: 'starting' } },
    'ADDRESS answers 503 (unavailable: starting): its own log says more',
  ],
  ['too much', { body: ' '.repeat(4 * 1024 * 1024 + 1) }, 'the answer to query is larger than 4 MiB'],
];
for (const [name, answer, sentence] of says) {
  test(`${name} keeps it awake, and says why: ${sentence.slice(0, 40)}`, async () => {
    await using made = await setup(typeof answer === 'function' ? answer : undefined);
    if (typeof answer !== 'function') made.prometheus.reply = () => answer;
    made.start();
    await made.pass(5000 + 2 * IDLE_AFTER_MS);
    assert.equal(made.told.length, 2, JSON.stringify(made.told));
    const wanted = `idle.prometheus: ${sentence.replace('ADDRESS', made.prometheus.url)}`;
    assert.equal(made.kept()[0]!.slice(0, wanted.length), wanted);
    assert.ok(!JSON.stringify([made.told, made.log]).includes('secret'));
    // It was known not to be idle, or nothing was known: what was before doesn't count.
    made.prometheus.reply = null;
    made.prometheus.queries.set(QUERY, () => 0);
    await made.pass(IDLE_AFTER_MS + SCRAPE_MS);
    assert.deepEqual(made.kept(), []);
  });
}

test('one that does not answer, or breaks off, keeps it awake; a short absence does not begin the time again, a long one does', async () => {
  await using made = await setup();
  made.start();
  await made.pass(5000);
  for (const [how, absentMs, reason] of [
    ['hang', SCRAPE_MS + 5000, 'within 5 s'],
    ['hang', 3 * SCRAPE_MS, 'within 5 s'],
    ['break', 3 * SCRAPE_MS, '(UND_ERR_SOCKET)'],
  ] as const) {
    assert.deepEqual(made.kept(), []);
    made.prometheus.reply = () => how;
    await made.pass(absentMs);
    const { url } = made.prometheus;
    assert.deepEqual(made.kept(), [
      `idle.prometheus: ${url} does not answer ${reason}: see that it runs and that serverAddress is right`,
    ]);
    made.prometheus.reply = null;
    await made.pass(SCRAPE_MS);
    if (absentMs > 2 * SCRAPE_MS) {
      assert.match(made.kept()[0]!, /below 5 only since/);
      await made.pass(IDLE_AFTER_MS);
    }
    assert.deepEqual(made.kept(), []);
  }
  assert.equal(made.log.length, 6, 'said once each time that it goes and comes');
  assert.match(made.log[0]!, /^warn: Prometheus does not answer within 5 s: .*; what asks it stays awake$/);
  assert.equal(made.log[1], 'info: Prometheus answers again');
});

test('one that was closed and opened again in between is asked twice', async () => {
  await using made = await setup();
  let broken = false;
  made.prometheus.reply = (path) => (path.endsWith('query') && !broken ? ((broken = true), 'break') : null);
  made.start();
  await made.pass(5000);
  assert.deepEqual(made.kept(), []);
  assert.deepEqual(made.log, []);
});

test('Prometheus itself was up for the whole of idleAfter', async () => {
  await using made = await setup();
  made.prometheus.startedMs = made.time.wallMs() + SKEW_MS - 10_000;
  made.start();
  await made.pass(5000);
  assert.match(
    made.kept()[0]!,
    /^idle.prometheus: Prometheus itself runs only since about \S+Z, and scale.idleAfter is 60 s$/,
  );
  await made.pass(IDLE_AFTER_MS - SCRAPE_MS);
  assert.deepEqual(made.kept(), []);
  // A restart: what it stored doesn't help.
  made.prometheus.startedMs = made.time.wallMs() + SKEW_MS;
  await made.pass(SCRAPE_MS);
  assert.match(made.kept()[0]!, /Prometheus itself runs only since/);
  await made.pass(IDLE_AFTER_MS);
  assert.deepEqual(made.kept(), []);
});

test('one that was away for a moment may be another one', async () => {
  await using made = await setup();
  // Asked so often that an answer of before would be used again.
  made.start({ scrapeIntervalMs: 1000 });
  await made.pass(1000);
  assert.deepEqual(made.kept(), []);
  made.prometheus.reply = () => 'break';
  await made.pass(1000);
  made.prometheus.reply = null;
  made.prometheus.startedMs = made.time.wallMs() + SKEW_MS;
  await made.pass(1000);
  assert.match(made.kept()[0]!, /Prometheus itself runs only since/);
});

test('one that does not tell when it started needs an uptimeQuery', async () => {
  await using made = await setup();
  made.prometheus.reply = (path) => (path.includes('runtimeinfo') ? { status: 404, body: 'not found' } : null);
  made.start();
  await made.pass(5000);
  assert.equal(
    made.kept()[0],
    `idle.prometheus: ${made.prometheus.url} does not tell when it started: give uptimeQuery, the seconds that it has been up`,
  );
});

test('an uptimeQuery gives seconds, or 1 when it was up all the time', async () => {
  let up: number | undefined = 59;
  await using made = await setup();
  made.prometheus.queries.set('up_seconds', () => up);
  made.start({ uptimeQuery: 'up_seconds' });
  await made.pass(5000);
  assert.match(made.kept()[0]!, /Prometheus itself runs only since/);
  up = 60;
  await made.pass(SCRAPE_MS);
  assert.deepEqual(made.kept(), []);
  up = undefined;
  await made.pass(SCRAPE_MS);
  assert.match(made.kept()[0]!, /^idle.prometheus: uptimeQuery gives nothing/);
  // One second is not all the time, and nobody has two answers with it.
  up = 1;
  await made.pass(SCRAPE_MS);
  assert.match(made.kept()[0]!, /Prometheus itself runs only since/);
  await made.pass(SCRAPE_MS);
  assert.deepEqual(made.kept(), []);
  assert.equal(made.prometheus.count('/api/v1/status/runtimeinfo'), 0);
});

test('user and password go into a header and nowhere else; a path stays', async () => {
  await using made = await setup();
  const { port } = new URL(made.prometheus.url);
  made.start({ serverAddress: `http://me:se%2Fcret@127.0.0.1:${port}/tenant/` });
  made.prometheus.reply = () => ({ status: 403, body: '' });
  await made.pass(5000);
  const [asked] = made.prometheus.asked;
  assert.equal(asked!.path, '/tenant/api/v1/query');
  assert.equal(asked!.authorization, `Basic ${btoa('me:se/cret')}`);
  assert.match(made.kept()[0]!, /^idle.prometheus: http:\/\/127.0.0.1:\d+\/tenant answers 403/);
  assert.ok(!JSON.stringify([made.told, made.log]).includes('cret'));
});

test('an address that is none keeps it awake', async () => {
  await using made = await setup();
  made.start({ serverAddress: 'prometheus' });
  assert.deepEqual(made.kept(), ['idle.prometheus: serverAddress is not a URL: write http://host:9090']);
  assert.equal(made.log.length, 1);
});

test('a clock that is put back begins the time again', async () => {
  await using made = await setup();
  let back = 0;
  const { prometheus, time } = made;
  prometheus.reply = (path) =>
    path.endsWith('/query')
      ? {
          body: {
            status: 'success',
            data: { resultType: 'scalar', result: [(time.wallMs() + SKEW_MS - back) / 1000, '0'] },
          },
        }
      : null;
  made.start();
  await made.pass(5000);
  assert.deepEqual(made.kept(), []);
  back = 3_600_000;
  await made.pass(SCRAPE_MS);
  assert.match(made.kept()[0]!, /below 5 only since/);
  await made.pass(IDLE_AFTER_MS);
  assert.deepEqual(made.kept(), []);
});

test('an address that no program may be asked at says why', async () => {
  await using made = await setup();
  made.start({ serverAddress: 'http://127.0.0.1:1' });
  await made.pass(5000);
  assert.match(made.kept()[0]!, /does not answer \(bad port\): see that it runs/);
});
