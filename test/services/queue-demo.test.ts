/** The queue demo on one machine, as somebody would use it; and what it promises: no message is lost or done twice, whatever happens to workers. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Flow } from '../../src/commands/queue/flow.ts';
import { runProgram, startProgram, type Program } from '../../bench/processes.ts';

const MAIN = join(import.meta.dirname, '../../src/commands/main.ts');
const BOUND_MS = 30_000;

for (const source of ['list', 'stream'] as const) {
  describe(`the queue demo with a ${source}`, () => {
    test('from none to several workers and back to none: each message is done once', async () => {
      await using demo = await Demo.up(source, {
        QUEUE_DEMO_WORK: '300-400',
        QUEUE_DEMO_IDLE: '500ms',
        QUEUE_DEMO_DELAY: '300ms',
      });
      assert.match(demo.output(), /of which none runs/);
      assert.match(await demo.run('queue', 'enqueue', '60'), /^60 messages appended to queue-demo/);
      const busy = await demo.until((flow) => valueOf(flow, 'instances') > 3);
      assert.ok(valueOf(busy, 'autoscaler') > 3);
      const idle = await demo.until((flow) => flow.stats?.done === 60 && valueOf(flow, 'instances') === 0);
      const { depth, inFlight, taken, returned } = idle.stats!;
      assert.deepEqual({ depth, inFlight, taken, returned }, { depth: 0, inFlight: 0, taken: 60, returned: 0 });
      assert.match(await demo.run('demo', 'queue', 'status'), /event source +─▶ +scaler/);
      assert.match(await demo.run('queue', 'depth'), /^0 wait in queue-demo, 0 in flight, 60 done$/m);
      // A second one finds it.
      await assert.rejects(demo.run('demo', 'queue', 'up'), /runs already/);
      assert.match(await demo.run('demo', 'queue', 'down'), /has ended/);
      assert.equal(await demo.program.ended, 0);
      assert.match(demo.output(), /nothing is left running/);
      assert.equal(existsSync(demo.folder), false);
      await demo.unwatch();
      assert.deepEqual(processesOf(demo.folder), []);
      await assert.rejects(demo.run('queue', 'depth'), /no queue demo runs on this machine; start it with/);
    });

    test('workers that go while they work finish what they have: at scale-in, and at a sleep by command', async () => {
      await using demo = await Demo.up(source, {
        QUEUE_DEMO_WORK: '1000-3000',
        QUEUE_DEMO_LENGTH: '1',
        QUEUE_DEMO_IDLE: '10m',
        QUEUE_DEMO_DELAY: '0s',
      });
      await demo.run('queue', 'enqueue', '12');
      await demo.until((flow) => (flow.stats?.inFlight ?? 0) >= 4);
      // With each message that is done, a worker too many goes, while the others are at work.
      await demo.until((flow) => flow.stats?.done === 12);
      await demo.run('queue', 'enqueue', '6');
      await demo.until((flow) => (flow.stats?.inFlight ?? 0) >= 3);
      await assert.rejects(demo.run('sleep', 'worker', '--state-dir', demo.stateDir), /would be woken again at once/);
      const { stats } = await demo.until((flow) => flow.stats?.done === 18);
      assert.deepEqual([stats!.taken, stats!.returned, stats!.inFlight], [18, 0, 0]);
    });
  });
}

test('a demo that was killed is cleared up by down: its queue and its workers', async () => {
  await using demo = await Demo.up('list', { QUEUE_DEMO_WORK: '60000' });
  await demo.run('queue', 'enqueue', '3');
  await demo.until((flow) => (flow.stats?.inFlight ?? 0) > 0);
  demo.program.child.kill('SIGKILL');
  await demo.program.ended;
  await demo.unwatch();
  assert.notDeepEqual(processesOf(demo.folder), []);
  assert.match(await demo.run('demo', 'queue', 'down'), /that was killed had left \d+ processes/);
  assert.deepEqual(processesOf(demo.folder), []);
  assert.equal(existsSync(demo.folder), false);
  assert.match(await demo.run('demo', 'queue', 'down'), /no queue demo runs/);
});

test('the schedule: a worker while the clock says so, and no queue', async () => {
  await using demo = await Demo.up('cron', { QUEUE_DEMO_START: '0 0 1 1 *', QUEUE_DEMO_END: '59 23 31 12 *' });
  const flow = await demo.until((one) => valueOf(one, 'instances') === 1);
  assert.equal(valueOf(flow, 'scaler'), 1);
  assert.equal(flow.stats, null);
  await assert.rejects(demo.run('queue', 'enqueue', '1'), /is a schedule, which has no queue/);
});

test('without redis-server the line that installs it is told', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dormouse-queue-test-'));
  try {
    const program = startProgram([process.execPath, MAIN, 'demo', 'queue', 'up', '--folder', folder], {
      core: null,
      env: { PATH: '/nowhere' },
    });
    assert.equal(await program.ended, 1);
    assert.match(program.errors(), /needs redis-server, which is not installed: apt-get install redis-server/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function valueOf({ stages }: Flow, title: string): number {
  return stages.find((stage) => stage.title === title)?.value ?? 0;
}

/** Processes that work in a folder, or were told of it. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const told = ['environ', 'cmdline'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1')).join('');
      // A process that has ended and was not waited for has neither.
      return told !== '' && (told.includes(folder) || readlinkSync(`/proc/${pid}/cwd`).startsWith(folder));
    } catch {
      return false;
    }
  });
}

class Demo implements AsyncDisposable {
  readonly folder: string;
  readonly program: Program;
  readonly #lines: string[];
  readonly #flows: Flow[] = [];
  #from = 0;
  #told: () => void = () => {};
  #watching: Program | null = null;

  private constructor(folder: string, program: Program, lines: string[]) {
    this.folder = folder;
    this.program = program;
    this.#lines = lines;
  }

  /** Resolves when it says what to try. */
  static async up(source: string, env: Record<string, string>): Promise<Demo> {
    const folder = join(mkdtempSync(join(tmpdir(), 'dormouse-queue-test-')), 'demo');
    const lines: string[] = [];
    const up = Promise.withResolvers<void>();
    const program = startProgram(
      [process.execPath, MAIN, 'demo', 'queue', 'up', '--source', source, '--folder', folder],
      {
        core: null,
        env: { QUEUE_DEMO_POLLING: '200ms', ...env },
        onLine: (line) => {
          lines.push(line);
          if (line.startsWith('Ctrl-C ends it')) up.resolve();
        },
      },
    );
    const early = program.ended.then((code) => {
      throw new Error(`it ended with ${code}:\n${lines.join('\n')}\n${program.errors()}`);
    });
    early.catch(() => {});
    await Promise.race([up.promise, early]);
    const demo = new Demo(folder, program, lines);
    demo.#watch();
    return demo;
  }

  #watch(): void {
    this.#watching = startProgram(
      [process.execPath, MAIN, 'demo', 'queue', 'status', '--watch', '--json', '--folder', this.folder],
      {
        core: null,
        onLine: (line) => {
          this.#flows.push(JSON.parse(line) as Flow);
          this.#told();
        },
      },
    );
  }

  async unwatch(): Promise<void> {
    this.#watching?.child.kill('SIGTERM');
    await this.#watching?.ended;
  }

  get stateDir(): string {
    return join(this.folder, 'dormouse');
  }

  output(): string {
    return this.#lines.join('\n');
  }

  /** What a command prints; rejects with what it said when it failed. */
  run(...args: string[]): Promise<string> {
    const where = args.includes('--state-dir') ? [] : ['--folder', this.folder];
    return runProgram([process.execPath, MAIN, ...args, ...where], { core: null }, BOUND_MS);
  }

  /** The first flow that is as wanted, of those that `status --watch` has told since the one before. */
  async until(holds: (flow: Flow) => boolean): Promise<Flow> {
    const deadlineMs = performance.now() + BOUND_MS;
    for (;;) {
      const at = this.#flows.findIndex((flow, index) => index >= this.#from && holds(flow));
      if (at >= 0) {
        this.#from = at + 1;
        return this.#flows[at]!;
      }
      const late = AbortSignal.timeout(Math.max(1, Math.ceil(deadlineMs - performance.now())));
      const next = new Promise<void>((resolve, reject) => {
        this.#told = resolve;
        late.addEventListener('abort', () =>
          reject(new Error(`never came so far: ${JSON.stringify(this.#flows.at(-1))}`)),
        );
      });
      await next;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unwatch();
    // Ended by itself, or by its own command, in most cases.
    if (this.program.child.exitCode === null && this.program.child.signalCode === null)
      this.program.child.kill('SIGTERM');
    await this.program.ended;
    rmSync(join(this.folder, '..'), { recursive: true, force: true });
  }
}
