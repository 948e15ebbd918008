import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, it } from 'node:test';
import { silentLogger } from '../model/ports.ts';
import { WorkQueue, type WorkQueueOptions } from './work-queue.ts';

function make(options: Partial<WorkQueueOptions>): WorkQueue {
  return new WorkQueue({
    work: async () => {},
    concurrency: 2,
    maxKeys: 100,
    logger: silentLogger,
    random: () => 1,
    ...options,
  });
}

/** Work that the test ends by hand. */
function byHand(): {
  runs: string[];
  end: Map<string, () => void>;
  events: EventEmitter;
  work(key: string): Promise<void>;
} {
  const runs: string[] = [];
  const end = new Map<string, () => void>();
  const events = new EventEmitter();
  const work = (key: string): Promise<void> =>
    new Promise((resolve) => {
      runs.push(key);
      end.set(key, resolve);
      events.emit('run', key);
    });
  return { runs, end, events, work };
}

describe('the work queue', () => {
  it('runs each key once for all additions that come while it waits, in order, so many at once', async () => {
    const hand = byHand();
    const queue = make(hand);
    for (const key of ['a', 'b', 'c', 'a', 'b', 'c']) assert.equal(queue.add(key), true);
    assert.deepEqual(hand.runs, []);
    queue.start();
    assert.deepEqual(hand.runs, ['a', 'b']);
    assert.deepEqual(queue.counts, { depth: 1, delayed: 0, running: 2, done: 0, retries: 0, refused: 0 });
    const third = once(hand.events, 'run');
    hand.end.get('b')!();
    assert.deepEqual(await third, ['c']);
    hand.end.get('a')!();
    hand.end.get('c')!();
    await queue.idle();
    assert.equal(queue.counts.done, 3);
    await queue.stop();
  });

  it('runs a key again that was added during its run, and never twice at the same time', async () => {
    const hand = byHand();
    const queue = make(hand);
    queue.start();
    queue.add('a');
    queue.add('a');
    queue.add('a');
    assert.deepEqual(hand.runs, ['a']);
    const again = once(hand.events, 'run');
    hand.end.get('a')!();
    await again;
    assert.deepEqual(hand.runs, ['a', 'a']);
    hand.end.get('a')!();
    await queue.idle();
    await queue.stop();
  });

  it('a random load: no key runs twice at once, none is forgotten', async () => {
    const active = new Set<string>();
    const seen = new Map<string, number>();
    const wanted = new Map<string, number>();
    const queue = make({
      concurrency: 3,
      work: async (key) => {
        assert.ok(!active.has(key), `${key} runs twice`);
        active.add(key);
        seen.set(key, wanted.get(key)!);
        await new Promise(setImmediate);
        active.delete(key);
        if (key === 'k3') throw new Error('fails');
      },
    });
    queue.start();
    for (let index = 0; index < 500; index += 1) {
      const key = `k${(index * 7) % 10}`;
      wanted.set(key, index);
      queue.add(key);
      if (index % 20 === 0) await new Promise(setImmediate);
    }
    await queue.idle();
    assert.deepEqual(seen, wanted);
    await queue.stop();
  });

  it('runs what failed again, later each time, until it goes well', async () => {
    const at: number[] = [];
    const done = new EventEmitter();
    const queue = make({
      firstBackoffMs: 20,
      work: async () => {
        at.push(performance.now());
        if (at.length < 4) throw new Error('not yet');
        done.emit('done');
      },
    });
    queue.start();
    const ended = once(done, 'done');
    queue.add('a');
    await ended;
    await queue.idle();
    const waits = at.slice(1).map((time, index) => time - at[index]!);
    [20, 40, 80].forEach((least, index) => assert.ok(waits[index]! >= least - 1, `waits ${waits.join(', ')}`));
    assert.deepEqual([queue.counts.retries, queue.counts.done, queue.counts.delayed], [3, 1, 0]);
    await queue.stop();
  });

  it('what work asks for, or addAfter, comes later; the earliest time holds', async () => {
    const runs = new EventEmitter();
    const queue = make({
      work: async (key) => {
        runs.emit('run', key);
        return key === 'once' ? { afterMs: 1_000_000 } : undefined;
      },
    });
    queue.start();
    const began = performance.now();
    queue.addAfter('a', 1_000_000);
    queue.addAfter('a', 30);
    queue.addAfter('a', 1_000_000);
    assert.equal(queue.counts.delayed, 1);
    await once(runs, 'run');
    assert.ok(performance.now() - began >= 29);
    queue.add('once');
    await queue.idle();
    assert.equal(queue.counts.delayed, 1);
    await queue.stop();
    assert.equal(queue.counts.delayed, 0);
    assert.equal(queue.addAfter('a', 1), false);
  });

  it('refuses more keys than it may hold, never those that it has', async () => {
    const queue = make({ maxKeys: 2 });
    assert.deepEqual(
      [queue.add('a'), queue.addAfter('b', 10_000), queue.add('c'), queue.addAfter('d', 5)],
      [true, true, false, false],
    );
    assert.deepEqual([queue.add('a'), queue.add('b')], [true, true]);
    assert.equal(queue.counts.refused, 2);
    await queue.stop();
  });

  it('stops: what runs may end, what waits is dropped, nothing is taken any more', async () => {
    const hand = byHand();
    const queue = make({ ...hand, concurrency: 1 });
    queue.start();
    queue.add('a');
    queue.add('b');
    const stopped = queue.stop(60_000);
    assert.equal(queue.add('c'), false);
    hand.end.get('a')!();
    await stopped;
    assert.deepEqual(hand.runs, ['a']);
  });

  it('what does not end in the grace is told to; so is what takes longer than it may', async () => {
    const told: string[] = [];
    const work: WorkQueueOptions['work'] = (key, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          told.push(`${key}: ${(signal.reason as Error).message}`);
          reject(signal.reason);
        });
      });
    const queue = make({ work });
    queue.start();
    queue.add('a');
    await queue.stop(10);
    const slow = make({ work, timeoutMs: 10, firstBackoffMs: 100_000 });
    slow.start();
    slow.add('b');
    await slow.idle();
    assert.equal(slow.counts.retries, 1);
    await slow.stop();
    assert.deepEqual(told, ['a: the queue was stopped', 'b: not done after 10 ms']);
    const signal = new AbortController();
    const signalled = make({ work });
    signalled.start(signal.signal);
    signalled.add('c');
    signal.abort();
    await signalled.idle();
    assert.equal(told.length, 3);
  });
});
