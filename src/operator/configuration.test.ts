import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { Config } from '../model/config.ts';
import { silentLogger } from '../model/ports.ts';
import { Configuration } from './configuration.ts';

/** Each application takes that long; tells when each began and ended. */
function applied(tookMs: number): {
  configuration: Configuration;
  next(): Promise<{ beganAtMs: number; endedAtMs: number }>;
} {
  const done: { beganAtMs: number; endedAtMs: number }[] = [];
  let waiting: (() => void) | null = null;
  let beganAtMs = 0;
  const configuration = new Configuration({
    logger: silentLogger,
    build: () => ({}) as Config,
    configure: async () => {
      beganAtMs = performance.now();
      await new Promise((resolve) => setTimeout(resolve, tookMs));
      return 1;
    },
    gateways: () => [],
    applied: () => {
      done.push({ beganAtMs, endedAtMs: performance.now() });
      waiting?.();
    },
  });
  return {
    configuration,
    next: async () => {
      if (done.length === 0) await new Promise<void>((resolve) => (waiting = resolve));
      return done.shift()!;
    },
  };
}

test('a thousand objects that change one after the other are few configurations: it rests twice as long as the last one took', async () => {
  const { configuration, next } = applied(40);
  configuration.change();
  const first = await next();
  configuration.change();
  const second = await next();
  configuration.close();
  const tookMs = first.endedAtMs - first.beganAtMs;
  assert.ok(
    second.beganAtMs - first.endedAtMs >= 2 * tookMs - 5,
    `${second.beganAtMs - first.endedAtMs} ms after ${tookMs} ms`,
  );
});

test('changes while one is applied are applied with the next', async () => {
  const { configuration, next } = applied(5);
  configuration.change();
  configuration.change();
  await next();
  assert.equal(configuration.isSettled, true);
  configuration.change();
  assert.equal(configuration.isSettled, false);
  await next();
  assert.equal(configuration.isSettled, true);
  configuration.close();
});

test('a refused one is told of, and tried again though nothing changes: what refused it may have gone', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const told: (string | null)[] = [];
    const configuration = new Configuration({
      logger: silentLogger,
      build: () => ({}) as Config,
      configure: async () => {
        if (told.length < 2) throw new Error('gateway a refused it: the port is taken');
        return 1;
      },
      gateways: () => [{ inForce: 1, leaving: false }],
      applied: (refusal) => void told.push(refusal),
    });
    const change = configuration.change();
    const passes = async (ms: number): Promise<void> => {
      mock.timers.tick(ms);
      await new Promise(setImmediate);
    };
    await passes(10);
    assert.deepEqual(told, ['gateway a refused it: the port is taken']);
    assert.equal(configuration.isInForce(change), false);
    await passes(5000);
    await passes(10);
    assert.equal(told.length, 2);
    await passes(5000);
    await passes(10);
    assert.equal(told.at(-1), null);
    assert.equal(configuration.isInForce(change), true);
    await passes(60_000);
    assert.equal(told.length, 3);
    configuration.close();
  } finally {
    mock.timers.reset();
  }
});
