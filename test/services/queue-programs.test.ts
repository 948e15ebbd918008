/** The programs of examples/queue-demo with a real Redis: first in first out, and nothing lost, whatever happens to a worker. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runProgram, startProgram, type Program } from '../../bench/processes.ts';
import { RedisServer } from './redis.ts';

const FOLDER = fileURLToPath(new URL('../../examples/queue-demo/', import.meta.url));
const BOUND_MS = 20_000;

describe('the programs of the queue demo, with a list', () => {
  test('what was appended first is done first, and each message once', async () => {
    await using redis = await RedisServer.start();
    await produce(redis, '--count', '30', '--prefix', 'order');
    await redis.say('RPUSH', 'queue-demo', 'by hand');
    await using worker = startWorker(redis, '--work', '0');
    await worker.seen(/did by hand/);
    const ids = worker.lines.flatMap((line) => / did (.*)$/.exec(line)?.[1] ?? []);
    const batch = /^order-(\w+)-1$/.exec(ids[0] ?? '')?.[1];
    assert.deepEqual(ids, [...Array.from({ length: 30 }, (_, index) => `order-${batch}-${index + 1}`), 'by hand']);
    assert.deepEqual(await stats(redis), {
      depth: 0,
      inFlight: 0,
      taken: 31,
      done: 31,
      returned: 0,
      repeated: 0,
      late: 0,
    });
  });

  test('a worker that is told to end finishes the message that it has, and takes no other', async () => {
    await using redis = await RedisServer.start();
    await produce(redis, '--count', '3');
    await using worker = startWorker(redis, '--work', '700');
    await worker.seen(/works on demo-\w+-1$/);
    worker.program.child.kill('SIGTERM');
    assert.equal(await worker.program.ended, 0);
    assert.deepEqual(await stats(redis), {
      depth: 2,
      inFlight: 0,
      taken: 1,
      done: 1,
      returned: 0,
      repeated: 0,
      late: 0,
    });
  });

  test('the message of a worker that was killed goes to another one, before those that came after it', async () => {
    await using redis = await RedisServer.start();
    await produce(redis, '--count', '3', '--prefix', 'kill');
    await using first = startWorker(redis, '--work', '60000', '--lease', '600');
    await first.seen(/works on/);
    first.program.child.kill('SIGKILL');
    await first.program.ended;
    await untilGone(redis, 'queue-demo:worker:*');
    await using second = startWorker(redis, '--work', '50', '--lease', '600');
    await second.seen(/did kill-\w+-3/);
    await untilStats(redis, ({ done }) => done === 3);
    const figures = await stats(redis);
    assert.deepEqual(figures, { depth: 0, inFlight: 0, taken: 4, done: 3, returned: 1, repeated: 0, late: 0 });
  });

  test('a worker that was taken for dead is told so, and its message counts once', async () => {
    await using redis = await RedisServer.start();
    await produce(redis, '--count', '1');
    await using first = startWorker(redis, '--work', '1500', '--lease', '600');
    await first.seen(/works on/);
    first.program.child.kill('SIGSTOP');
    await untilGone(redis, 'queue-demo:worker:*');
    await using second = startWorker(redis, '--work', '0', '--lease', '600');
    await second.seen(/did demo/);
    first.program.child.kill('SIGCONT');
    await first.seen(/another one has been given/);
    assert.deepEqual(await stats(redis), {
      depth: 0,
      inFlight: 0,
      taken: 2,
      done: 1,
      returned: 1,
      repeated: 0,
      late: 1,
    });
  });

  test('a run of a batch ends by itself: after its messages, or when there are none', async () => {
    await using redis = await RedisServer.start();
    await produce(redis, '--count', '3');
    for (const [depth, done] of [
      [1, 2],
      [0, 3],
      [0, 3],
    ]) {
      await runProgram(worker(redis, '--batch', '2', '--work', '0'), { core: null }, BOUND_MS);
      const figures = await stats(redis);
      assert.equal(figures.depth, depth);
      assert.equal(figures.done, done);
    }
  });

  test('a wrong flag is named', async () => {
    const wrong = startProgram([process.execPath, `${FOLDER}worker.js`, '--work', 'fast'], { core: null });
    assert.equal(await wrong.ended, 2);
    assert.match(wrong.errors(), /--work has to be milliseconds \(200\) or a range of them \(500-1500\), not fast/);
  });
});

interface Stats {
  depth: number;
  inFlight: number;
  taken: number;
  done: number;
  returned: number;
  repeated: number;
  late: number;
}

async function produce(redis: RedisServer, ...flags: string[]): Promise<void> {
  const command = [process.execPath, `${FOLDER}producer.js`, '--connection', redis.url, ...flags];
  await runProgram(command, { core: null }, BOUND_MS);
}

async function stats(redis: RedisServer): Promise<Stats> {
  const command = [process.execPath, `${FOLDER}stats.js`, '--connection', redis.url];
  const { atMs: _, queue: __, ...figures } = JSON.parse(await runProgram(command, { core: null }, BOUND_MS));
  return figures;
}

/** Looks again and again, within the bound. */
async function untilStats(redis: RedisServer, holds: (stats: Stats) => boolean): Promise<void> {
  const deadlineMs = performance.now() + BOUND_MS;
  let seen: Stats | null = null;
  while (seen === null || !holds(seen)) {
    assert.ok(performance.now() < deadlineMs, `it never came so far: ${JSON.stringify(seen)}`);
    seen = await stats(redis);
  }
}

async function untilGone(redis: RedisServer, pattern: string): Promise<void> {
  const deadlineMs = performance.now() + BOUND_MS;
  while ((await redis.say('KEYS', pattern)).trim() !== '')
    assert.ok(performance.now() < deadlineMs, `${pattern} is still there`);
}

function worker(redis: RedisServer, ...flags: string[]): string[] {
  return [process.execPath, `${FOLDER}worker.js`, '--connection', redis.url, ...flags];
}

interface RunningWorker extends AsyncDisposable {
  readonly program: Program;
  readonly lines: readonly string[];
  /** Resolves when it has written such a line. */
  seen(pattern: RegExp): Promise<void>;
}

function startWorker(redis: RedisServer, ...flags: string[]): RunningWorker {
  const lines: string[] = [];
  let changed: () => void = () => {};
  const onLine = (line: string): void => {
    lines.push(line);
    changed();
  };
  const program = startProgram(worker(redis, ...flags), { core: null, onLine });
  return {
    program,
    lines,
    async seen(pattern) {
      const ended = program.ended.then(() => true);
      const late = AbortSignal.timeout(BOUND_MS);
      const bound = new Promise<boolean>((resolve) => late.addEventListener('abort', () => resolve(true)));
      while (!lines.some((line) => pattern.test(line))) {
        const over = await Promise.race([
          new Promise<boolean>((resolve) => (changed = () => resolve(false))),
          ended,
          bound,
        ]);
        if (over && !lines.some((line) => pattern.test(line)))
          assert.fail(`no ${pattern} in:\n${lines.join('\n')}\n${program.errors()}`);
      }
    },
    async [Symbol.asyncDispose]() {
      if (program.child.exitCode === null && program.child.signalCode === null) program.child.kill('SIGKILL');
      await program.ended;
    },
  };
}
