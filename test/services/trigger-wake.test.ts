/** How long it takes from a message on an empty queue to the worker's process: Redis list, Redis stream and JetStream, twenty times each. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { RedisClient } from '../../src/triggers/redis-client.ts';
import { Place } from '../e2e/fixtures/dormouse.ts';
import { until } from '../e2e/fixtures/until.ts';
import { NatsServer } from './nats.ts';
import { NatsTool } from './nats-tool.ts';
import { RedisServer } from './redis.ts';

const WAKES = 20;
const MOST_MS = 100;
/** Far more than the bound: what is seen sooner is seen by the look. */
const POLLING = '1s';

interface Queue {
  trigger: Record<string, unknown>;
  send(): Promise<void>;
  empty(): Promise<void>;
}

/** Wall clock, ms with fractions. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

async function wakes(t: TestContext, name: string, { trigger, send, empty }: Queue): Promise<void> {
  await using place = new Place('');
  const started = join(place.path, 'started');
  place.write(
    JSON.stringify({
      workers: 1,
      listeners: [{ address: '127.0.0.1:0' }],
      observe: 'off',
      backends: {
        worker: {
          // Whole nanoseconds since 1970, written by the process as the first thing that it does.
          process: {
            command: ['sh', '-c', `date +%s%N > ${started}.new; mv ${started}.new ${started}; exec sleep 600`],
            port: 'none',
          },
          scale: { idleAfter: '50ms' },
          triggers: [{ [name]: { ...trigger, pollingInterval: POLLING } }],
        },
      },
    }),
  );
  const up = await place.start().up();
  const tookMs: number[] = [];
  // The first one may come before there is a look: it is not counted.
  for (let wake = 0; wake <= WAKES; wake++) {
    await up.phase('worker', 'asleep');
    rmSync(started, { force: true });
    const sentMs = nowMs();
    await send();
    await until('the worker has started', () => existsSync(started));
    if (wake > 0) tookMs.push(Number(readFileSync(started, 'latin1')) / 1e6 - sentMs);
    await empty();
  }
  tookMs.sort((a, b) => a - b);
  const median = tookMs[WAKES / 2]!;
  t.diagnostic(
    `${name}: message -> worker process, ${WAKES} wakes: median ${median.toFixed(1)} ms, least ${tookMs[0]!.toFixed(1)}, most ${tookMs.at(-1)!.toFixed(1)}`,
  );
  assert.ok(median < MOST_MS, `median ${median} ms`);
  assert.equal(await up.stop(), 0);
}

async function redis(server: RedisServer): Promise<(...command: string[]) => Promise<void>> {
  const options = {
    host: '127.0.0.1',
    port: server.port,
    database: 0,
    tls: null,
    credentials: { given: {}, files: {}, secret: null },
  };
  const never = new AbortController().signal;
  const client = await RedisClient.open(options, { readSecret: () => Promise.reject(new Error('none')) }, never);
  return async (...command) => void (await client.command(command, never));
}

test('a message on an empty Redis list starts the worker', { timeout: 120_000 }, async (t) => {
  await using server = await RedisServer.start();
  const say = await redis(server);
  await wakes(t, 'redis-list', {
    trigger: { address: `127.0.0.1:${server.port}`, listName: 'jobs' },
    send: () => say('RPUSH', 'jobs', 'a'),
    empty: () => say('DEL', 'jobs'),
  });
});

test('a message on an empty Redis stream starts the worker', { timeout: 120_000 }, async (t) => {
  await using server = await RedisServer.start();
  const say = await redis(server);
  await say('XGROUP', 'CREATE', 'jobs', 'workers', '$', 'MKSTREAM');
  await wakes(t, 'redis-streams', {
    trigger: { address: `127.0.0.1:${server.port}`, stream: 'jobs', consumerGroup: 'workers', lagCount: 5 },
    send: () => say('XADD', 'jobs', '*', 'n', '1'),
    empty: () => say('XGROUP', 'SETID', 'jobs', 'workers', '$'),
  });
});

test('a message on an empty JetStream stream starts the worker', { timeout: 120_000 }, async (t) => {
  await using server = await NatsServer.start();
  const tool = await NatsTool.open(server.port);
  try {
    await tool.stream('JOBS', 'jobs.>');
    await tool.consumer('JOBS', 'workers');
    await wakes(t, 'nats-jetstream', {
      trigger: { servers: [server.url], stream: 'JOBS', consumer: 'workers' },
      send: () => tool.publish('jobs.a'),
      empty: async () => {
        const acknowledge = await tool.next('JOBS', 'workers');
        await acknowledge();
      },
    });
  } finally {
    tool.close();
  }
});
