import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MetricFamily } from '../model/metrics.ts';
import { silentLogger } from '../model/ports.ts';
import type { MetricsSinkDefinition } from './metrics-sink.ts';
import { MetricsSinks } from './metrics-sinks.ts';

const FAMILIES: MetricFamily[] = [{ name: 'x_total', help: 'x', type: 'counter', series: [{ labels: {}, value: 1 }] }];

function setup(write: () => void | Promise<void> = () => {}) {
  const events: string[] = [];
  const failures: string[] = [];
  let wrote = (): void => {};
  const definition: MetricsSinkDefinition = {
    create: (options) => ({
      async write(families) {
        events.push(`write ${JSON.stringify(options)} ${families[0]!.name}`);
        wrote();
        await write();
      },
      close: () => void events.push(`close ${JSON.stringify(options)}`),
    }),
  };
  const sinks = new MetricsSinks({
    logger: silentLogger,
    collect: () => Promise.resolve(FAMILIES),
    onFailure: (type, what, error) => failures.push(`${type} ${what}: ${(error as Error).message}`),
  });
  const nextWrite = (): Promise<void> => new Promise((resolve) => (wrote = resolve));
  return { sinks, definition, events, failures, nextWrite };
}

test('a sink is given the metrics again and again, and once more at its end', async () => {
  const { sinks, definition, events, nextWrite } = setup();
  sinks.configure([{ type: 'own', options: 1, intervalMs: 1 }], { own: definition });
  await nextWrite();
  await nextWrite();
  await sinks.close();
  assert.deepEqual([...new Set(events)], ['write 1 x_total', 'close 1']);
  assert.equal(events.at(-1), 'close 1');
});

test('one that stays in the configuration goes on, one that changes is closed', async () => {
  const { sinks, definition, events, nextWrite } = setup();
  const kept = { type: 'own', options: 'kept', intervalMs: 100_000 };
  sinks.configure([kept, { type: 'own', options: 'old', intervalMs: 100_000 }], { own: definition });
  sinks.configure([{ type: 'own', options: 'new', intervalMs: 1 }, kept], { own: definition });
  await nextWrite();
  await new Promise(setImmediate);
  assert.ok(events.includes('close "old"') && !events.includes('close "kept"'));
  await sinks.close();
  assert.ok(events.includes('close "kept"') && events.includes('close "new"'));
});

test('what a sink throws is counted, and it is tried again', async () => {
  let times = 0;
  const { sinks, definition, failures, nextWrite } = setup(() => {
    if (++times < 3) throw new Error('no');
  });
  sinks.configure([{ type: 'own', options: {}, intervalMs: 1 }], { own: definition });
  for (let i = 0; i < 3; i++) await nextWrite();
  await sinks.close();
  assert.deepEqual(failures, ['own write: no', 'own write: no']);
});
