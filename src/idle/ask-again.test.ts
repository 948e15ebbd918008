import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTime } from '../controller/controller.fixture.ts';
import { silentLogger } from '../model/ports.ts';
import { QUERY, SCRAPE_MS, setup } from './idle.fixture.ts';
import { IdleSources } from './idle-sources.ts';

test('waits for the scrapes after the moment, and older samples do not count', async () => {
  await using made = await setup();
  const sources = made.start();
  await made.pass(5000);
  const since = made.time.nowMs();
  const count = made.prometheus.count('/api/v1/query');
  made.prometheus.queries.set(QUERY, () => 9);
  const answer = sources.askAgain(new AbortController().signal, since);
  await made.pass(SCRAPE_MS - 1);
  assert.equal(made.prometheus.count('/api/v1/query'), count);
  await made.pass(2001);
  assert.match((await answer).keptBy[0]!, /^idle.prometheus: 9 is not below 5/);
  const { form } = made.prometheus.asked.filter(({ path }) => path === '/api/v1/query').at(-1)!;
  assert.ok(Number(form.get('lookback_delta')) <= 17);
  assert.match(made.kept()[0]!, /^idle.prometheus: 9 is not below 5/, 'and it is told');
});

test('at once when the moment is long ago, always with a new query', async () => {
  await using made = await setup();
  const sources = made.start();
  await made.pass(5000 + SCRAPE_MS);
  const count = made.prometheus.count('/api/v1/query');
  const verdict = await sources.askAgain(new AbortController().signal, made.time.nowMs() - 2 * SCRAPE_MS);
  assert.deepEqual(verdict, { keptBy: [], wake: null, configured: true });
  assert.equal(made.prometheus.count('/api/v1/query'), count + 1);
});

test('a scrape that comes late is waited for, but not for ever', async () => {
  await using made = await setup();
  const sources = made.start();
  await made.pass(5000);
  for (const late of [true, false]) {
    const since = made.time.nowMs();
    made.prometheus.queries.set(QUERY, () =>
      made.time.nowMs() - since < (late ? 1.5 : 9) * SCRAPE_MS ? undefined : 0,
    );
    const answer = sources.askAgain(new AbortController().signal, since);
    const asked = (async () => {
      let over = false;
      void answer.then(() => (over = true));
      while (!over) await made.pass(1000);
    })();
    const { keptBy } = await answer;
    await asked;
    assert.match(keptBy[0]!, late ? /below 5 only since/ : /query gives nothing/);
    assert.ok(made.time.nowMs() - since <= 2 * SCRAPE_MS + 4000);
  }
});

test('whoever gives up gets an answer at once', async () => {
  await using made = await setup();
  const sources = made.start();
  await made.pass(5000);
  const waiting = new AbortController();
  const first = sources.askAgain(waiting.signal);
  waiting.abort();
  assert.deepEqual((await first).keptBy, ['idle.prometheus: it was not asked to the end']);
  made.prometheus.reply = () => 'hang';
  const asking = new AbortController();
  const second = sources.askAgain(asking.signal, -Infinity);
  asking.abort();
  assert.deepEqual((await second).keptBy, ['idle.prometheus: it was not asked to the end']);
  made.time.advance(5000);
});

test('without Prometheus it is what the schedule says now', async () => {
  const time = new FakeTime();
  const schedule = { timezone: 'UTC', allow: ['* 22 * * *'], awake: [] };
  const deps = { clock: time, timers: time, logger: silentLogger };
  const sources = new IdleSources({ prometheus: null, schedule, before: null }, 0, deps);
  const verdict = await sources.askAgain(new AbortController().signal);
  assert.deepEqual(verdict, { keptBy: [], wake: null, configured: true });
});
