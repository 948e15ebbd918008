/** The worker of docs/triggers.md under dormouse and a real Redis: from nothing to several and back, with every message done once, also those in work when workers are taken away. */
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Place } from '../e2e/fixtures/dormouse.ts';
import { until } from '../e2e/fixtures/until.ts';
import { RedisServer } from './redis.ts';

const MESSAGES = 120;

function sample(): string {
  const page = readFileSync(new URL('../../docs/triggers.md', import.meta.url), 'utf8');
  const code = /```js\n([\s\S]*?)```/.exec(page)![1]!;
  // Work that takes its time.
  return code.replace(
    'async function handle(message) {',
    'async function handle(message) {\n  await new Promise((resolve) => setTimeout(resolve, 100));',
  );
}

test(
  'the worker of the documentation loses and repeats nothing from 0 to many and back to 0',
  { timeout: 120_000 },
  async () => {
    await using server = await RedisServer.start();
    await using place = new Place('');
    symlinkSync(new URL('../../node_modules', import.meta.url).pathname, join(place.path, 'node_modules'));
    writeFileSync(join(place.path, 'worker.mjs'), sample());
    place.write(
      JSON.stringify({
        workers: 1,
        listeners: [{ address: '127.0.0.1:0' }],
        observe: 'off',
        backends: {
          mailer: {
            process: {
              command: [process.execPath, 'worker.mjs'],
              port: 'none',
              env: { REDIS_URL: server.url },
              stopGrace: '10s',
              logs: { lines: 1000 },
            },
            scale: { max: 4, idleAfter: '500ms' },
            triggers: [
              {
                name: 'jobs',
                'redis-list': {
                  address: `127.0.0.1:${server.port}`,
                  listName: 'jobs',
                  processingListName: 'work',
                  listLength: 20,
                  pollingInterval: '200ms',
                },
              },
            ],
          },
        },
      }),
    );
    const up = await place.start().up();
    await up.phase('mailer', 'asleep');
    const names = Array.from({ length: MESSAGES }, (_, n) => `m${n}`);
    await server.say('RPUSH', 'jobs', ...names);
    let most = 0;
    await until(
      'the queue is empty',
      async () => {
        most = Math.max(most, (await up.backend('mailer')).instances.filter(({ state }) => state === 'ready').length);
        return (await server.say('LLEN', 'jobs')).trim() === '0' && (await server.say('LLEN', 'work')).trim() === '0';
      },
      60_000,
    );
    assert.ok(most >= 3, `${most} workers at most`);
    await up.phase('mailer', 'asleep');
    const done = (await up.logs('mailer')).flatMap((line) => /done: (m\d+)/.exec(line)?.[1] ?? []);
    assert.deepEqual(done.toSorted(), names.toSorted(), 'each of them once');
    assert.equal(await up.stop(), 0);
  },
);
