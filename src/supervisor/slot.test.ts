import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { restartPauseMs } from './slot.ts';
import { WORKER_TRANSITIONS, type WorkerState } from './worker-process.ts';

describe('a slot', () => {
  it('replaces at once, and waits longer when its workers keep dying', () => {
    const pauses = [0, 1, 2, 3, 4, 5, 6, 7, 8, 20].map(restartPauseMs);
    assert.deepEqual(pauses, [0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  });

  it('knows workers that only ever move towards their end', () => {
    const order: WorkerState[] = ['starting', 'running', 'draining', 'gone'];
    for (const [from, followers] of Object.entries(WORKER_TRANSITIONS)) {
      for (const to of followers) assert.ok(order.indexOf(to) > order.indexOf(from as WorkerState), `${from} to ${to}`);
    }
  });
});
