/** scale.jobs with a real Redis: a run of the queue demo's worker for each batch, at most so many at once, each message done once. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ControlClient } from '../../src/apis/control/control-client.ts';
import type { BackendStatus } from '../../src/model/status.ts';
import { startProgram, type Program } from '../../bench/processes.ts';
import { RedisServer } from './redis.ts';

const MAIN = fileURLToPath(new URL('../../src/commands/main.ts', import.meta.url));
const WORKER = fileURLToPath(new URL('../../examples/queue-demo/worker.js', import.meta.url));
const BOUND_MS = 40_000;

test('a run for each batch, and no more than max at once', async () => {
  await using redis = await RedisServer.start();
  const command = [
    process.execPath,
    WORKER,
    '--connection',
    redis.url,
    '--queue',
    'grain',
    '--batch',
    '3',
    '--work',
    '150',
  ];
  await using dormouse = await Running.start(redis, command, { max: 3, jobs: { batch: 3, history: 4 } });
  await redis.say('RPUSH', 'grain', ...Array.from({ length: 20 }, (_, index) => `sack-${index}`));
  const status = await dormouse.until(({ phase, runs }) => phase === 'asleep' && (runs?.succeeded ?? 0) >= 7);
  assert.deepEqual([status.runs!.succeeded, status.runs!.failed, status.runs!.last.length], [7, 0, 4]);
  assert.ok(dormouse.most <= 3 && dormouse.most > 1, `${dormouse.most} at once`);
  assert.equal(await redis.say('HGET', 'grain:counts', 'done'), '20');
  assert.equal(await redis.say('HGET', 'grain:counts', 'taken'), '20');
  assert.equal(await redis.say('LLEN', 'grain:processing'), '0');
});

test('a run that is killed in the middle is counted as failed, and its message is done by another one', async () => {
  await using redis = await RedisServer.start();
  const command = [
    process.execPath,
    WORKER,
    '--connection',
    redis.url,
    '--queue',
    'grain',
    '--batch',
    '1',
    '--lease',
    '900',
    '--work',
    '1000',
  ];
  await using dormouse = await Running.start(redis, command, { max: 1, jobs: {} });
  await redis.say('RPUSH', 'grain', 'sack');
  await dormouse.until(({ instances }) => instances.some(({ state }) => state === 'ready'));
  const deadlineMs = performance.now() + BOUND_MS;
  while ((await redis.say('LLEN', 'grain:processing')) !== '1') assert.ok(performance.now() < deadlineMs);
  const { instances } = await dormouse.until((one) => one.instances.length === 1);
  process.kill(instances[0]!.pid!, 'SIGKILL');
  // A run that finds nothing, before the message is given back, has succeeded too.
  while ((await redis.say('HGET', 'grain:counts', 'done')) !== '1') assert.ok(performance.now() < deadlineMs);
  const status = await dormouse.until(({ phase, runs }) => phase === 'asleep' && (runs?.succeeded ?? 0) > 0);
  const failed = status.runs!.last.find(({ ok }) => !ok);
  assert.match(failed!.reason, /^was killed by SIGKILL/);
  assert.equal(await redis.say('HGET', 'grain:counts', 'returned'), '1');
});

test('a worker that is put to sleep, or is one too many, in the middle of messages finishes them: the source need not tell of them', async () => {
  await using redis = await RedisServer.start();
  const command = [process.execPath, WORKER, '--connection', redis.url, '--queue', 'grain', '--work', '2000'];
  await using dormouse = await Running.start(redis, command, { max: 4, idleAfter: '300ms' }, { listLength: 1 });
  await redis.say('RPUSH', 'grain', ...Array.from({ length: 4 }, (_, index) => `sack-${index}`));
  // Nothing waits as soon as each worker has one: to this trigger all is done, while they are at work.
  await dormouse.until(({ phase }) => phase === 'awake');
  await dormouse.until(({ phase }) => phase === 'falling-asleep');
  assert.notEqual(await redis.say('LLEN', 'grain:processing'), '0');
  await dormouse.until(({ phase, instances }) => phase === 'asleep' && instances.length === 0);
  const told = await redis.say('HGETALL', 'grain:counts');
  assert.deepEqual(told.split('\n').sort(), ['4', '4', 'done', 'taken']);
  assert.equal(await redis.say('LLEN', 'grain:processing'), '0');
});

class Running implements AsyncDisposable {
  readonly #folder: string;
  readonly #program: Program;
  /** Instances at once, as far as they were seen. */
  most = 0;

  private constructor(folder: string, program: Program) {
    this.#folder = folder;
    this.#program = program;
  }

  static async start(
    redis: RedisServer,
    command: string[],
    scale: object,
    seen: object = { processingListName: 'grain:processing' },
  ): Promise<Running> {
    const folder = mkdtempSync(join(tmpdir(), 'dormouse-jobs-test-'));
    const trigger = {
      address: `127.0.0.1:${redis.port}`,
      listName: 'grain',
      ...seen,
      pollingInterval: '200ms',
    };
    const config = {
      stateDir: 'state',
      workers: 1,
      listeners: [{ address: '127.0.0.1:0' }],
      observe: 'off',
      admin: 'off',
      backends: {
        mill: {
          process: { command, port: 'none', crash: { backoff: '200ms', maxBackoff: '1s' } },
          scale,
          triggers: [{ 'redis-list': trigger }],
        },
      },
    };
    const file = join(folder, 'dormouse.yaml');
    writeFileSync(file, JSON.stringify(config));
    const program = startProgram([process.execPath, MAIN, 'up', '-c', file], { core: null });
    const running = new Running(folder, program);
    await running.until(() => true);
    return running;
  }

  /** Looks again and again, within the bound. */
  async until(holds: (status: BackendStatus) => boolean): Promise<BackendStatus> {
    const client = new ControlClient({ stateDir: join(this.#folder, 'state') });
    const signal = AbortSignal.timeout(BOUND_MS);
    let last: unknown = null;
    while (!signal.aborted) {
      try {
        const { backends } = await client.status({ signal });
        last = backends[0];
        this.most = Math.max(this.most, backends[0]?.instances.length ?? 0);
        if (backends[0] !== undefined && holds(backends[0])) return backends[0];
      } catch (error) {
        // It is not up yet.
        last = error;
        if (this.#program.child.exitCode !== null) break;
      }
    }
    assert.fail(`never came so far: ${JSON.stringify(last)} ${String(last)}\n${this.#program.errors()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
