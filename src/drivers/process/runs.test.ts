/** Instances that end by themselves when their work is done (scale.jobs). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FinishedRun } from '../../model/status.ts';
import { Witness } from '../driver.contract.ts';
import { bench, type Changes } from './fixtures/process-backend.ts';

class RunWitness extends Witness {
  readonly runs: FinishedRun[] = [];

  run(run: FinishedRun): void {
    this.runs.push(run);
  }
}

function runs(script: string, changes: Changes['scale'] = {}): Changes {
  return {
    process: { command: [process.execPath, '-e', script], port: 'none', ready: { kind: 'started' } },
    scale: { max: 3, jobs: { batch: 1, history: 10 }, ...changes },
  };
}

test('runs that end with 0 are told, are no crash, and are not started again', async () => {
  const place = await bench();
  const witness = new RunWitness();
  const driver = place.create(witness, runs('setTimeout(() => {}, 50)'));
  try {
    driver.scaleUp(2);
    await witness.until('both gone', () => witness.instances.filter(({ state }) => state === 'gone').length === 2);
    assert.deepEqual(driver.instances(), []);
    assert.deepEqual(
      witness.runs.map(({ ok, reason }) => [ok, reason.replace(/[\d.]+ m?s/, 'TIME')]),
      [
        [true, 'exited with code 0 after TIME'],
        [true, 'exited with code 0 after TIME'],
      ],
    );
    assert.ok(witness.runs.every(({ startedAtMs, endedAtMs }) => startedAtMs > 0 && endedAtMs >= startedAtMs));
    assert.deepEqual(witness.crashes, []);
    assert.equal(driver.crash(), null);
    // Three more, whatever ran before.
    driver.scaleUp(3);
    await witness.until('five gone', () => witness.instances.filter(({ state }) => state === 'gone').length === 5);
  } finally {
    await driver.close();
    await place.release();
  }
});

test('a run that fails is told, and holds the next one back until one has gone well', async () => {
  const place = await bench();
  const witness = new RunWitness();
  const driver = place.create(witness, runs('process.exit(3)'));
  try {
    driver.scaleUp(1);
    await witness.until('it gone', () => witness.instances.some(({ state }) => state === 'gone'));
    assert.match(witness.runs[0]!.reason, /^exited with code 3 after/);
    assert.equal(witness.runs[0]!.ok, false);
    assert.equal(witness.crashes.length, 1);
    const first = witness.crashes[0]!;
    driver.scaleUp(1);
    await witness.until(
      'the second one gone',
      () => witness.instances.filter((one) => one.state === 'gone').length === 2,
    );
    assert.ok(witness.runs[1]!.startedAtMs >= first.retryAtMs - 1);
    assert.equal(witness.crashes.length, 2, 'a start alone is no recovery');
    assert.equal(witness.crashes[1]!.attempts, 2);
  } finally {
    await driver.close();
    await place.release();
  }
});
