import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger, systemClock } from '../model/ports.ts';
import { measured, poll, type Source } from './polling.ts';

/** Asked once a minute. `arrival`: as in Source. */
function polling(arrival?: Source['arrival']) {
  const ended = new AbortController();
  let value = 1;
  let told: () => void = () => {};
  let askAgain: () => void = () => assert.fail('nobody listens');
  const values: number[] = [];
  const done = poll({
    pollingMs: 60_000,
    boundMs: 1000,
    open: async () => ({
      read: async () => measured({ value: value++, target: 1, activation: 100, reason: '' }),
      ...(arrival === undefined ? {} : { arrival }),
      close: () => {},
    }),
    signal: ended.signal,
    report: ({ metric }) => {
      values.push(metric!.value);
      told();
    },
    context: {
      backend: 'shop',
      name: 'jobs',
      clock: systemClock,
      logger: silentLogger,
      failed: assert.fail,
      onAsked: (listener) => (askAgain = listener),
      readSecret: () => Promise.reject(new Error('there is none')),
    },
  });
  return {
    values,
    askAgain: () => askAgain(),
    async until(count: number): Promise<void> {
      while (values.length < count) await new Promise<void>((resolve) => (told = resolve));
    },
    async end(): Promise<void> {
      ended.abort();
      await done;
    },
  };
}

for (const [name, arrival] of [
  ['is asked now and then', undefined],
  ['is also looked at', () => new Promise<void>(() => {})],
] as const)
  test(`a source that ${name} is asked at once when somebody scales by it`, { timeout: 10_000 }, async () => {
    const source = polling(arrival);
    await source.until(1);
    source.askAgain();
    await source.until(2);
    await new Promise(setImmediate);
    source.askAgain();
    await source.until(3);
    assert.deepEqual(source.values, [1, 2, 3]);
    await source.end();
  });
