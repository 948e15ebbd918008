import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { StopRequest } from './stop-request.ts';

function make(hasTerminal: boolean): {
  stop: StopRequest;
  signals: EventEmitter;
  reloads: () => number;
  faults: unknown[];
} {
  const signals = new EventEmitter();
  const faults: unknown[] = [];
  let reloads = 0;
  const stop = new StopRequest({ signals, hasTerminal, reload: () => reloads++, fault: (error) => faults.push(error) });
  return { stop, signals, reloads: () => reloads, faults };
}

describe('stop request', () => {
  it('ends on the first signal and hurries on the second, whichever they are', async () => {
    const { stop, signals } = make(false);
    const requested = stop.requested();
    signals.emit('SIGTERM');
    await requested;
    assert.equal(stop.reason, 'SIGTERM');
    assert.equal(stop.hurry.aborted, false);
    signals.emit('SIGINT');
    assert.equal(stop.hurry.aborted, true);
    assert.equal(stop.faulty, false);
  });

  it('lingers only until it shall hurry', async () => {
    const { stop, signals } = make(false);
    await stop.linger(1);
    signals.emit('SIGTERM');
    const lingering = stop.linger(3_600_000);
    signals.emit('SIGTERM');
    await lingering;
    await stop.linger(3_600_000);
  });

  it('takes SIGHUP for a reload without a terminal, for the end with one', () => {
    const without = make(false);
    without.signals.emit('SIGHUP');
    assert.deepEqual([without.reloads(), without.stop.stopping.aborted], [1, false]);
    const one = make(true);
    one.signals.emit('SIGHUP');
    assert.deepEqual([one.reloads(), one.stop.stopping.aborted], [0, true]);
  });

  it('ends after a fault, and says so', () => {
    const { stop, signals, faults } = make(false);
    signals.emit('unhandledRejection', new Error('ours'));
    assert.equal(String(faults[0]), 'Error: ours');
    assert.deepEqual([stop.faulty, stop.stopping.aborted, stop.hurry.aborted], [true, true, false]);
  });

  it('leaves waiting when the end is asked for, and listens no more when disposed of', async () => {
    const { stop, signals } = make(false);
    assert.equal(await stop.unlessStopped(Promise.resolve(3)), 3);
    const waiting = stop.unlessStopped(new Promise(() => {}));
    signals.emit('SIGINT');
    await assert.rejects(waiting);
    await assert.rejects(stop.unlessStopped(new Promise(() => {})));
    stop[Symbol.dispose]();
    assert.deepEqual(signals.eventNames(), []);
  });
});
