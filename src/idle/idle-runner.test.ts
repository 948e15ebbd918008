import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDLE_AFTER_MS, SCRAPE_MS, setup } from './idle.fixture.ts';
import type { IdleBackend, IdleSourcesConfig, IdleVerdict } from './idle-verdict.ts';

const backend = (name: string, { prometheus, schedule, before }: IdleSourcesConfig): IdleBackend => ({
  name,
  idle: { prometheus, schedule },
  wake: { before },
  scale: { idleAfterMs: IDLE_AFTER_MS },
});

test('the same query is asked once, for different thresholds too', async () => {
  await using made = await setup(() => 3);
  const said = new Map<string, IdleVerdict | null>();
  const runner = made.runner((name, verdict) => said.set(name, verdict));
  runner.configure([
    ...Array.from({ length: 50 }, (_, i) => backend(`b${i}`, made.config())),
    backend('strict', made.config({ threshold: 2 })),
  ]);
  assert.equal(said.size, 51, 'each is told at once');
  await made.pass(5000);
  assert.ok([...said].every(([name, verdict]) => (verdict!.keptBy.length === 0) === (name !== 'strict')));
  assert.equal(made.prometheus.count('/api/v1/query'), 1);
  assert.equal(made.prometheus.count('/api/v1/query_range'), 1);
  assert.equal(made.prometheus.count('/api/v1/status/runtimeinfo'), 1);
});

test('few at a time, however many queries; a server that hangs holds nobody longer than five seconds', async () => {
  await using made = await setup();
  made.prometheus.reply = () => 'hang';
  const said = new Map<string, IdleVerdict | null>();
  const runner = made.runner((name, verdict) => said.set(name, verdict));
  const queries = Array.from({ length: 100 }, (_, i) => `query_${i}`);
  const many = queries.map((query) => backend(query, made.config({ query })));
  runner.configure(many);
  await made.pass(5000);
  const reasons = (): string[] => [...said.values()].flatMap((verdict) => verdict!.keptBy);
  assert.ok(reasons().every((reason) => reason.endsWith('it has not been asked yet')));
  await made.pass(5000);
  assert.ok(reasons().every((reason) => reason.includes('does not answer within 5 s')));
  assert.deepEqual([said.size, made.prometheus.mostHanging], [100, 4]);
  made.prometheus.reply = null;
  await made.pass(SCRAPE_MS);
  assert.ok(reasons().every((reason) => reason.includes('query gives nothing')));
});

test('a new configuration ends what is gone or changed and leaves the rest alone', async () => {
  await using made = await setup();
  const said: [string, string | null][] = [];
  const runner = made.runner((name, verdict) => said.push([name, verdict && (verdict.keptBy[0] ?? 'idle')]));
  const none: IdleSourcesConfig = { prometheus: null, schedule: null, before: null };
  const always = { ...none, schedule: { timezone: 'UTC', allow: ['* * * * *'], awake: [] } };
  runner.configure([backend('a', made.config()), backend('b', always), backend('c', none)]);
  await made.pass(5000);
  assert.deepEqual(said.splice(0), [
    ['a', 'idle.prometheus: it has not been asked yet'],
    ['b', 'idle'],
    ['a', 'idle'],
  ]);
  runner.configure([backend('a', made.config()), backend('b', always)]);
  assert.deepEqual(said, []);
  runner.configure([backend('a', made.config({ threshold: 1 })), backend('b', none)]);
  assert.deepEqual(said.splice(0), [
    ['a', 'idle.prometheus: it has not been asked yet'],
    ['b', null],
  ]);
  assert.deepEqual(runner.verdict('b'), { keptBy: [], wake: null, configured: false });
  await made.pass(SCRAPE_MS);
  assert.deepEqual(said.splice(0), [['a', 'idle']]);
  const now = new AbortController().signal;
  assert.deepEqual((await runner.askAgain('a', now, -Infinity)).keptBy, []);
  assert.deepEqual(await runner.askAgain('b', now), { keptBy: [], wake: null, configured: false });
  runner.configure([]);
  assert.deepEqual(said, [['a', null]]);
});

test('Prometheus is not asked about one that sleeps, and what it did meanwhile is looked up', async () => {
  await using made = await setup();
  const runner = made.runner();
  runner.configure([backend('a', made.config())]);
  await made.pass(5000);
  runner.ask('a', false);
  assert.deepEqual(runner.verdict('a').keptBy, ['idle.prometheus: it has not been asked yet']);
  const asked = made.prometheus.asked.length;
  await made.pass(10 * SCRAPE_MS);
  assert.equal(made.prometheus.asked.length, asked);
  runner.ask('a', true);
  await made.pass(5000);
  assert.deepEqual(runner.verdict('a').keptBy, []);
  assert.equal(made.prometheus.count('/api/v1/query_range'), 2);
});
