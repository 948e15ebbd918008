import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { TriggerConfig } from '../model/config.ts';
import type { TriggerDemand } from '../model/demand.ts';
import { silentLogger, systemClock } from '../model/ports.ts';
import type { TriggerContext, TriggerDefinition, TriggerReport } from './trigger.ts';
import { TriggerRunner } from './trigger-runner.ts';

interface Run {
  options: unknown;
  signal: AbortSignal;
  report: (report: TriggerReport) => void;
  context: TriggerContext;
}

function setup() {
  const runs: Run[] = [];
  const told: [string, TriggerDemand | null][] = [];
  const failures: string[] = [];
  const definition: TriggerDefinition = {
    start(options, signal, report, context) {
      runs.push({ options, signal, report, context });
    },
  };
  const runner = new TriggerRunner({
    clock: systemClock,
    logger: silentLogger,
    onDemand: (backend, demand) => told.push([backend, demand]),
    onFailure: (type, what, error) => failures.push(`${type}: ${what}: ${(error as Error).message}`),
  });
  const configure = (backends: Record<string, TriggerConfig[]>, registry = { queue: definition }): void =>
    runner.configure(
      Object.entries(backends).map(([name, triggers]) => ({ name, triggers })),
      registry,
    );
  return { runs, told, failures, definition, runner, configure };
}

const trigger = (name: string, options: unknown = {}): TriggerConfig => ({ name, type: 'queue', options });

test('the largest number counts, active ones say why, and equal reports are told once', () => {
  const { runs, told, configure, runner } = setup();
  configure({ shop: [trigger('a'), trigger('b')], other: [] });
  assert.deepEqual(told, [['shop', null]]);
  runs[0]!.report({ active: true, desired: 1.2, reason: 'two wait' });
  runs[1]!.report({ active: false, desired: 5, reason: 'nothing' });
  runs[1]!.report({ active: false, desired: 5, reason: 'nothing' });
  assert.deepEqual(
    told.slice(1).map(([name, demand]) => [name, demand?.desired, demand?.active]),
    [
      ['shop', 2, ['trigger a: two wait']],
      ['shop', 5, ['trigger a: two wait']],
    ],
  );
  assert.deepEqual(
    told.at(-1)![1]!.metrics.map(({ atMs, ...metric }) => [metric, atMs > 0]),
    [
      [{ name: 'a', type: 'queue', value: 2, target: 1, active: true, reason: 'two wait' }, true],
      [{ name: 'b', type: 'queue', value: 5, target: 1, active: false, reason: 'nothing' }, true],
    ],
    'one without a metric measures instances',
  );
  assert.deepEqual([runs[0]!.context.backend, runs[0]!.context.name], ['shop', 'a']);
  runner.close();
  assert.ok(runs.every(({ signal }) => signal.aborted));
  runs[0]!.report({ active: true, desired: 9, reason: 'late' });
  assert.equal(told.length, 3, 'after its end nobody listens');
});

test('what it measured is handed on as it is; nonsense is refused', () => {
  const { runs, told, failures, configure, runner } = setup();
  configure({ shop: [trigger('a')] });
  const report = { active: true, desired: 3, reason: '12 messages wait' };
  runs[0]!.report({ ...report, metric: { value: 12, target: 5, activation: 0 } });
  const [metric] = told.at(-1)![1]!.metrics;
  assert.deepEqual([metric?.value, metric?.target], [12, 5]);
  runs[0]!.report({ ...report, metric: { value: NaN, target: 5, activation: 0 } });
  assert.match(failures.join(), /its metric is something else than/);
  runner.close();
});

test('a new configuration ends what is gone or changed and leaves the rest alone', () => {
  const { runs, told, configure, definition, runner } = setup();
  configure({ shop: [trigger('a'), trigger('b', { n: 1 })] });
  configure({ shop: [trigger('b', { n: 2 }), trigger('a')] });
  assert.deepEqual(
    runs.map(({ signal }) => signal.aborted),
    [false, true, false],
  );
  assert.deepEqual(runs[2]!.options, { n: 2 });
  // A changed plugin is another definition.
  configure({ shop: [trigger('a')] }, { queue: { ...definition } });
  assert.deepEqual(
    runs.map(({ signal }) => signal.aborted),
    [true, true, true, false],
  );
  runs[3]!.report({ active: true, desired: 1, reason: 'x' });
  configure({});
  assert.ok(runs[3]!.signal.aborted);
  assert.deepEqual(told.at(-1), ['shop', null]);
  runner.close();
});

test('one that throws, rejects or reports nonsense is started again with a growing pause; what it said stands', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const { told, failures, runner } = setup();
  let mode: 'throw' | 'reject' | 'nonsense' | 'fine' = 'fine';
  const signals: AbortSignal[] = [];
  const reports: Run['report'][] = [];
  const definition: TriggerDefinition = {
    start(_options, signal, report) {
      signals.push(signal);
      reports.push(report);
      if (mode === 'throw') throw new Error('thrown');
      if (mode === 'reject') return Promise.reject(new Error('rejected'));
      if (mode === 'nonsense') report({ active: 1, desired: -1 } as unknown as TriggerReport);
      return undefined;
    },
  };
  runner.configure([{ name: 'shop', triggers: [trigger('a')] }], { queue: definition });
  reports[0]!({ active: true, desired: 2, reason: 'x'.repeat(500) });
  assert.equal(told.at(-1)![1]!.active[0]!.length, 'trigger a: '.length + 200);
  const before = told.length;
  mode = 'throw';
  reports[0]!({} as TriggerReport);
  assert.ok(signals[0]!.aborted, 'what the failed run holds is given back');
  mock.timers.tick(1000);
  mode = 'reject';
  mock.timers.tick(2000);
  await new Promise(setImmediate);
  mode = 'nonsense';
  mock.timers.tick(4000);
  assert.deepEqual(failures, [
    'queue: watch for shop: it reported something else than { active, desired, reason }',
    'queue: watch for shop: thrown',
    'queue: watch for shop: rejected',
    'queue: watch for shop: it reported something else than { active, desired, reason }',
  ]);
  const since = told.slice(before).map(([, demand]) => [demand?.desired, demand?.troubles[0]?.failures]);
  assert.deepEqual(
    since,
    [1, 2, 3, 4].map((failures) => [2, failures]),
    'the last report stands',
  );
  mode = 'fine';
  mock.timers.tick(8000);
  assert.equal(signals.length, 5);
  runner.close();
  mock.timers.tick(100_000);
  assert.equal(signals.length, 5);
});

test('a source that fails is told of with its number of failures; a report ends that, and metrics tell it', () => {
  const { runs, told, configure, runner } = setup();
  configure({ shop: [trigger('a')] });
  const { report, context } = runs[0]!;
  context.failed('nobody answers: see that it runs');
  const [, first] = told.at(-1)!;
  assert.deepEqual([first?.desired, first?.active, first?.metrics], [0, [], []]);
  report({ active: true, desired: 3, reason: 'three wait' });
  assert.deepEqual(told.at(-1)![1]!.troubles, []);
  for (const _ of [1, 2, 3]) context.failed('x'.repeat(500));
  const [, last] = told.at(-1)!;
  assert.deepEqual([last?.desired, last?.active], [3, ['trigger a: three wait']], 'what it said last stands');
  const [trouble] = last!.troubles;
  assert.deepEqual([trouble?.name, trouble?.failures, trouble?.reason.length], ['a', 3, 300]);
  const values = Object.fromEntries(runner.families().map(({ name, series }) => [name, series[0]?.value]));
  assert.deepEqual(values, {
    dormouse_trigger_value: 3,
    dormouse_trigger_target: 1,
    dormouse_trigger_active: 1,
    dormouse_trigger_failing: 1,
    dormouse_trigger_failures_total: 4,
  });
  runner.close();
  context.failed('late');
  assert.equal(told.at(-1)![1], last);
});

test('what a trigger said stands when its options change, until it says something by the new ones', () => {
  const { runs, told, configure, runner } = setup();
  configure({ shop: [trigger('a')] });
  runs[0]!.report({ active: true, desired: 3, reason: 'three wait' });
  configure({ shop: [trigger('a', { n: 2 })] });
  assert.deepEqual([runs.length, told.at(-1)![1]?.desired], [2, 3]);
  runs[1]!.report({ active: false, desired: 0, reason: 'none' });
  assert.equal(told.at(-1)![1]?.desired, 0);
  runner.close();
});

test('a source whose answer is old is asked anew, and its answer, failure or the bound is waited for', async () => {
  const { runs, configure, runner } = setup();
  const bound = new AbortController();
  configure({ shop: [trigger('a'), trigger('b')], other: [] });
  const [a, b] = runs;
  let asked = 0;
  a!.context.onAsked(() => asked++);
  b!.report({ active: false, desired: 1, reason: 'it tells by itself' });
  const states: string[] = [];
  const refresh = (name: string, maxAgeMs: number): Promise<void> =>
    runner.refresh('shop', maxAgeMs, bound.signal).then(() => void states.push(name));
  const first = refresh('first', 5000);
  assert.equal(asked, 1);
  await new Promise(setImmediate);
  assert.deepEqual(states, []);
  a!.report({ active: true, desired: 3, reason: 'three' });
  await first;
  await refresh('young enough', 5000);
  assert.equal(asked, 1);
  const failing = refresh('failing', -1);
  assert.equal(asked, 2);
  a!.context.failed('gone: start it');
  await failing;
  const same = refresh('the same', -1);
  a!.report({ active: true, desired: 3, reason: 'three' });
  await same;
  const late = refresh('late', -1);
  bound.abort();
  await late;
  await refresh('too late', -1);
  await runner.refresh('nobody', 0, bound.signal);
  runner.close();
  assert.deepEqual(states, ['first', 'young enough', 'failing', 'the same', 'late', 'too late']);
});
