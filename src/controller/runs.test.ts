/** scale.jobs: a run for each batch of messages, which ends by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backendConfig, World } from './controller.fixture.ts';
import { Runs } from './runs.ts';

async function world({ batch = 1, history = 10, max = 3 } = {}) {
  const made = new World();
  await made.configure(backendConfig('mill', { scale: { max, idleAfterMs: 10_000, jobs: { batch, history } } }));
  /** So many wait or are in flight, measured now. */
  const messages = (value: number): void => {
    const active = value > 0;
    const atMs = made.time.wallMs();
    made.controller.triggered('mill', {
      desired: value,
      active: active ? [`trigger jobs: ${value} messages wait`] : [],
      metrics: [{ name: 'jobs', type: 'queue', value, target: 1, active, reason: 'some wait', atMs }],
      troubles: [],
    });
  };
  return { world: made, driver: made.driver('mill'), messages };
}

test('a run for each batch, max at most, and none is stopped when nothing waits any more', async () => {
  const { world: made, driver, messages } = await world({ batch: 2, max: 3 });
  messages(3);
  assert.equal(driver.of('starting').length, 2);
  driver.ready();
  driver.ready();
  messages(100);
  assert.equal(driver.of('starting').length, 1, 'three at most');
  driver.ready();
  messages(0);
  made.time.advance(3_600_000);
  assert.equal(made.status('mill').phase, 'awake');
  assert.equal(driver.of('ready').length, 3);
  assert.equal(driver.retirements.length, 0);
  await made.end();
});

test('what runs is taken off what waits, and what has ended since that was measured too', async () => {
  const { world: made, driver, messages } = await world({ max: 10 });
  messages(2);
  const [first, second] = [driver.ready({ listens: false }), driver.ready({ listens: false })];
  made.time.advance(1000);
  driver.finishRun(first);
  made.time.advance(1000);
  assert.equal(driver.of('starting').length, 0, 'the source still says two');
  messages(1);
  assert.equal(driver.of('starting').length, 0, 'the other run has it');
  messages(2);
  assert.equal(driver.of('starting').length, 1, 'a new one');
  const third = driver.ready({ listens: false });
  made.time.advance(10);
  driver.finishRun(second);
  driver.finishRun(third);
  assert.equal(made.status('mill').phase, 'asleep');
  assert.equal(made.status('mill').why, 'its runs are done');
  messages(0);
  assert.equal(driver.of('starting', 'ready').length, 0);
  const { runs } = made.status('mill');
  assert.deepEqual([runs?.succeeded, runs?.failed], [3, 0]);
  assert.deepEqual(
    runs?.last.map(({ id }) => id),
    [third, second, first],
  );
  await made.end();
});

test('a run that fails is counted and told, and the next one waits for the back-off', async () => {
  const { world: made, driver, messages } = await world({ history: 1 });
  messages(1);
  driver.finishRun(driver.ready({ listens: false }), 5000);
  assert.equal(made.status('mill').phase, 'asleep');
  assert.ok(made.events.some(({ message }) => message === 'mill-1 failed: exited with code 1'));
  made.time.advance(10);
  // Its message is back.
  messages(1);
  assert.equal(driver.of('starting').length, 0);
  made.time.advance(4000);
  messages(1);
  assert.equal(driver.of('starting').length, 0);
  made.time.advance(1000);
  assert.equal(driver.of('starting').length, 1);
  driver.finishRun(driver.ready({ listens: false }));
  const { runs } = made.status('mill');
  assert.deepEqual([runs?.succeeded, runs?.failed, runs?.last.length], [1, 1, 1]);
  await made.end();
});

test('changed settings end no run: the ones there are go on beside those of the new command', async () => {
  const { world: made, driver, messages } = await world();
  messages(1);
  driver.ready({ listens: false });
  const changed = backendConfig('mill', { scale: { max: 3, jobs: { batch: 1, history: 10 } } });
  assert.ok(changed.source.driver === 'process');
  changed.source.process.command = ['another'];
  await made.configure(changed);
  assert.equal(driver.closed, false);
  assert.equal(driver.of('ready').length, 1);
  made.time.advance(10);
  messages(2);
  assert.equal(made.driver('mill').of('starting').length, 1, 'one more, of the new command');
  driver.finishRun('mill-1');
  made.driver('mill').ready({ listens: false });
  assert.equal(driver.closed, true);
  await made.end();
});

test('a source that says nothing new is not waited for for ever', () => {
  const runs = new Runs();
  const demand = (atMs: number) => ({
    desired: 1,
    active: ['x'],
    metrics: [{ name: 'jobs', type: 'queue', value: 1, target: 1, active: true, reason: 'some wait', atMs }],
    troubles: [],
  });
  runs.finished({ id: 'a', startedAtMs: 1, endedAtMs: 1000, ok: true, reason: '' }, 10);
  assert.equal(runs.missing(demand(900), 1, 0, 1000), 0);
  assert.equal(runs.missing(demand(900), 1, 0, 30_000), 0);
  assert.equal(runs.missing(demand(900), 1, 0, 31_001), 1);
  assert.equal(runs.missing(demand(31_500), 1, 1, 31_600), 0, 'one runs');
});
