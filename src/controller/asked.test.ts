import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FormulaConfig, ScaleConfig } from '../model/config.ts';
import { defaultBackend } from '../model/config.fixture.ts';
import type { TriggerDemand, TriggerTrouble } from '../model/demand.ts';
import type { FormulaNode } from '../model/formula.ts';
import { askedFor, type RequestMetric } from './asked.ts';
import { backendConfig, settled, World } from './controller.fixture.ts';

const NOW = 1000;
const metric = (name: string, value: number, target: number, active = value > 0) => ({
  name,
  type: 'queue',
  value,
  target,
  active,
  reason: 'x',
  atMs: 900,
});
const demand = (...metrics: ReturnType<typeof metric>[]): TriggerDemand => ({
  desired: Math.max(0, ...metrics.map(({ value, target }) => Math.ceil(value / target))),
  active: metrics.filter(({ active }) => active).map(({ name }) => `trigger ${name}: x`),
  metrics,
  troubles: [],
});
const trouble = (name: string, failures: number): TriggerTrouble => ({
  name,
  type: 'queue',
  sinceMs: 1,
  failures,
  reason: 'nobody answers: see that it runs',
});
const http = (value: number, burst = value): RequestMetric => ({
  name: 'http',
  value,
  burst,
  target: 10,
  active: value > 0,
  atMs: NOW,
});
const scale = (more: Partial<ScaleConfig>) => ({ scale: { ...defaultBackend('x').scale, ...more }, triggers: [] });

const name = (name: string): FormulaNode => ({ kind: 'metric', name });
const formula = (expression: FormulaNode, more: Partial<FormulaConfig> = {}): FormulaConfig => ({
  text: 'written',
  expression,
  names: { http: 'http', jobs: 'jobs', a_b: 'a-b' },
  target: null,
  activationTarget: 0,
  ...more,
});
const product = (left: FormulaNode, right: FormulaNode): FormulaNode => ({
  kind: 'binary',
  operator: '*',
  left,
  right,
});

test('without a formula the largest wins, and requests are one of the metrics', () => {
  const asked = askedFor(demand(metric('jobs', 12, 5), metric('a-b', 1, 1, false)), scale({}), http(4), NOW);
  assert.deepEqual([asked.desired, asked.active, asked.keptBy], [3, ['trigger jobs: x'], []]);
  assert.deepEqual(
    asked.metrics.map(({ name, value, target, active }) => [name, value, target, active]),
    [
      ['jobs', 12, 5, true],
      ['a-b', 1, 1, false],
      ['http', 4, 10, true],
    ],
  );
  assert.deepEqual(askedFor(null, scale({}), null, NOW).desired, null);
});

test('a formula is over the instances that each asks for, unrounded; its result is the only metric', () => {
  const half = formula(product(name('jobs'), name('http')));
  const asked = askedFor(demand(metric('jobs', 12, 5)), scale({ formula: half }), http(5, 20), NOW);
  assert.equal(asked.desired, 5, '2.4 times 2, of the burst');
  assert.deepEqual(asked.metrics, [{ name: 'formula', value: 4.8, target: 1, active: true, atMs: 900 }]);
  assert.match(asked.active[0]!, /^scale\.formula is 4\.8 \(written\)$/);
  const off = askedFor(demand(metric('jobs', 12, 5)), scale({ formula: half }), http(0), NOW);
  assert.deepEqual([off.desired, off.active], [0, []], 'zero puts it to sleep although jobs are active');
  const quiet = askedFor(demand(metric('jobs', 2, 5, false)), scale({ formula: half }), http(10), NOW);
  assert.deepEqual([quiet.desired, quiet.active], [1, []], 'no trigger is active');
});

test('where no route leads to it, requests ask for nothing', () => {
  const both = formula({ kind: 'call', name: 'max', arguments: [name('http'), name('jobs')] });
  const asked = askedFor(demand(metric('jobs', 12, 5)), scale({ formula: both }), null, NOW);
  assert.deepEqual([asked.formula, asked.desired], [{ value: 2.4 }, 3]);
});

test('with a target it is over what was measured, as scalingModifiers', () => {
  const doubled = formula(product(name('a_b'), { kind: 'number', value: 2 }), { target: 10, activationTarget: 50 });
  const asked = askedFor(demand(metric('a-b', 25, 1)), scale({ formula: doubled }), null, NOW);
  assert.deepEqual([asked.desired, asked.active], [5, []], '50 is not above 50');
  const more = askedFor(demand(metric('a-b', 26, 1, false)), scale({ formula: doubled }), null, NOW);
  assert.deepEqual([more.desired, more.active.length], [6, 1], 'activation is that of the formula');
  assert.deepEqual(askedFor(demand(metric('a-b', -1, 1)), scale({ formula: doubled }), null, NOW).desired, 0);
});

test('a formula without a result leaves the largest, and says why', () => {
  const divided = formula({ kind: 'binary', operator: '/', left: name('jobs'), right: { kind: 'number', value: 0 } });
  const asked = askedFor(demand(metric('jobs', 12, 5)), scale({ formula: divided }), null, NOW);
  assert.deepEqual([asked.desired, asked.metrics[0]?.name], [3, 'jobs']);
  assert.match(
    JSON.stringify(asked.formula),
    /scale\.formula can't be used, so the largest trigger counts: its result is Infinity/,
  );
  const missing = askedFor(demand(metric('jobs', 12, 5)), scale({ formula: formula(name('a_b')) }), null, NOW);
  assert.match(JSON.stringify(missing.formula), /a-b has not said anything yet/);
});

test('a source that fails keeps it as it is; after so many failures there are at least so many', () => {
  const failing = { ...demand(metric('jobs', 2, 5, false)), troubles: [trouble('jobs', 2), trouble('a-b', 5)] };
  const asked = askedFor(failing, scale({}), null, NOW);
  assert.deepEqual([asked.desired, asked.active], [1, []]);
  assert.match(asked.keptBy[0]!, /trigger jobs can't be asked, so the scale stays as it is: nobody answers/);
  const fallback = askedFor(failing, scale({ fallback: { failures: 3, replicas: 4 } }), null, NOW);
  assert.equal(fallback.desired, 4);
  assert.match(fallback.active[0]!, /trigger a-b has failed 5 times: scale\.fallback asks for 4/);
  assert.deepEqual(fallback.metrics.at(-1), { name: 'a-b', value: 4, target: 1, active: true, atMs: NOW });
  const none = askedFor(failing, scale({ fallback: { failures: 3, replicas: 0 } }), null, NOW);
  assert.deepEqual(none.active, []);
});

test('a failing source never makes a backend smaller nor puts it to sleep, and wakes nothing by itself', async () => {
  const made = new World();
  await made.configure(backendConfig('worker', { scale: { max: 4, idleAfterMs: 1000 } }));
  const driver = made.driver('worker');
  const none: TriggerDemand = { desired: 0, active: [], metrics: [], troubles: [trouble('jobs', 1)] };
  made.controller.triggered('worker', none);
  made.time.advance(10_000);
  assert.equal(made.status('worker').phase, 'asleep');
  made.controller.triggered('worker', demand(metric('jobs', 15, 5)));
  for (const _ of [1, 2, 3]) driver.ready({ listens: false });
  made.time.advance(2000);
  made.controller.triggered('worker', { ...demand(metric('jobs', 0, 5)), troubles: [trouble('jobs', 1)] });
  made.time.advance(600_000);
  assert.deepEqual([made.status('worker').phase, made.status('worker').desired], ['awake', 3]);
  assert.match(made.status('worker').awakeBecause.join(), /trigger jobs can't be asked/);
  made.controller.triggered('worker', demand(metric('jobs', 0, 5)));
  made.time.advance(5000);
  await settled();
  assert.notEqual(made.status('worker').phase, 'awake', 'it answers again, and has nothing');
  await made.end();
});

test('the fallback wakes it', async () => {
  const made = new World();
  const fallback = { failures: 3, replicas: 2 };
  await made.configure(backendConfig('worker', { scale: { max: 4, fallback } }));
  for (const failures of [1, 2, 3])
    made.controller.triggered('worker', { desired: 0, active: [], metrics: [], troubles: [trouble('jobs', failures)] });
  assert.equal(made.status('worker').phase, 'waking');
  assert.equal(made.driver('worker').of('starting').length, 2);
  assert.match(made.status('worker').why, /scale\.fallback asks for 2/);
  await made.end();
});

test('status tells what a formula gives, or why it gives nothing', async () => {
  const made = new World();
  await made.configure(backendConfig('worker', { scale: { max: 4, formula: formula(name('jobs')) } }));
  assert.equal(made.status('worker').formula, undefined);
  made.controller.triggered('worker', demand(metric('jobs', 12, 5)));
  assert.deepEqual(made.status('worker').formula, { text: 'written', value: 2.4, fault: null });
  made.controller.triggered('worker', demand(metric('a-b', 1, 1)));
  assert.match(made.status('worker').formula!.fault!, /jobs has not said anything yet/);
  await made.end();
});

test('what runs when dormouse begins stays until each trigger has said something', async () => {
  const made = new World();
  const triggers = [
    { name: 'jobs', type: 'redis-list', options: {} },
    { name: 'web', type: 'http', options: {} },
  ];
  const backend = backendConfig('worker', { scale: { max: 4, idleAfterMs: 1000 }, kubernetes: true });
  await made.configure({ ...backend, triggers });
  const driver = made.driver('worker');
  driver.brought();
  driver.ready({ listens: false });
  made.time.advance(60_000);
  assert.equal(made.status('worker').phase, 'awake');
  assert.match(made.status('worker').awakeBecause.join(), /trigger jobs has not said anything yet/);
  made.controller.triggered('worker', demand(metric('jobs', 0, 5)));
  made.time.advance(4000);
  await settled();
  assert.notEqual(made.status('worker').phase, 'awake');
  await made.end();
});
