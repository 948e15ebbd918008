/** What is told of starts that fail, and when the next one is tried. */
import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Crash } from '../../model/backend.ts';
import type { Witness } from '../driver.contract.ts';
import { appCommand, isAlive, logged, withDriver } from './fixtures/process-backend.ts';
import type { Changes } from './fixtures/process-backend.ts';

function firstCrash(witness: Witness): Promise<Crash> {
  return witness.until('a crash', () => witness.crashes[0] ?? false);
}

const REASONS: { what: string; process: NonNullable<Changes['process']>; reason: RegExp }[] = [
  {
    what: 'a command that does not exist',
    process: { command: ['nodee', 'server.js'] },
    reason: /^command not found: nodee \(ENOENT\); check backends\.app\.process\.command$/,
  },
  {
    what: 'a command that does not exist, with an inherited socket',
    process: { command: ['nodee', 'server.js'], socket: 'inherited' },
    reason: /^command not found: nodee \(ENOENT\); check backends\.app\.process\.command$/,
  },
  {
    what: 'a folder that does not exist',
    process: { cwd: '/no/such/folder' },
    reason: /^cwd does not exist: \/no\/such\/folder; check backends\.app\.process\.cwd$/,
  },
  {
    what: 'a file as folder',
    process: { cwd: process.execPath },
    reason: /^cwd is not a folder: /,
  },
  {
    what: 'an exit at once',
    process: { command: appCommand({ exitAtOnce: true, exitCode: 7 }) },
    reason: /^exited with code 7 after [\d.]+ m?s before it listened on port \d+$/,
  },
  {
    what: 'an exit with 0, as of what goes into the background',
    process: { command: appCommand({ exitAtOnce: true }) },
    reason: /^exited with code 0 after [\d.]+ m?s before it listened on port \d+; it must stay in the foreground$/,
  },
  {
    what: 'an application that never listens',
    process: { command: appCommand({ never: true }), startTimeoutMs: 300 },
    reason: /^did not listen on port \d+ within 300 ms$/,
  },
  {
    what: 'a crash in native code',
    process: { command: ['/bin/sh', '-c', 'kill -SEGV $$'] },
    reason: /^was killed by SIGSEGV \(.*\) after [\d.]+ m?s before it listened on port \d+$/,
  },
  {
    what: 'arguments that are too long',
    process: { command: ['/bin/true', 'x'.repeat(300_000)] },
    reason: /^the arguments and environment of \/bin\/true are too long \(E2BIG\)/,
  },
];

for (const { what, process: changes, reason } of REASONS) {
  test(`the reason of ${what}`, async () => {
    await withDriver({ process: changes }, async (driver, witness) => {
      const beganMs = Date.now();
      driver.scaleUp(1);
      const crash = await firstCrash(witness);
      assert.match(crash.reason, reason);
      assert.equal(crash.attempts, 1);
      assert.ok(crash.atMs >= beganMs && crash.retryAtMs >= crash.atMs + 90 && crash.retryAtMs <= crash.atMs + 110);
      const gone = await witness.state('app-1', 'gone');
      assert.match(gone.reason, reason);
    });
  });
}

test('a file that is not executable, and one that is no program, are told as such', async () => {
  await withDriver({}, async (_driver, _witness, bench) => {
    const plain = join(bench.stateDir, 'plain');
    const rubbish = join(bench.stateDir, 'rubbish');
    await writeFile(plain, 'text', { mode: 0o600 });
    await writeFile(rubbish, Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 0, 0]));
    await chmod(rubbish, 0o700);
    for (const [command, socket, reason] of [
      [plain, 'connect', /^not executable: \S+plain \(EACCES\)/],
      [plain, 'inherited', /^not executable: \S+plain \(EACCES\)/],
      // execvp(3) gives it to the shell, whose words are in the last lines.
      [rubbish, 'connect', /^exited with code 12[67] after /],
    ] as const) {
      await withDriver({ process: { command: [command], socket } }, async (driver, witness) => {
        driver.scaleUp(1);
        assert.match((await firstCrash(witness)).reason, reason);
      });
    }
  });
});

test('the last lines that it wrote are in the crash, at most 20 and only its own', async () => {
  const print = Array.from({ length: 30 }, (_, line) => `line ${line}\n`).join('');
  await withDriver(
    { process: { command: appCommand({ print, exitAtOnce: true, exitCode: 1 }) } },
    async (driver, witness) => {
      driver.scaleUp(1);
      const crash = await firstCrash(witness);
      assert.equal(crash.lastLogLines.length, 20);
      assert.ok(crash.lastLogLines.includes('line 29'));
      assert.ok(crash.lastLogLines.includes('no database'));
    },
  );
});

test('inside the back-off nothing starts; after it only when someone asked meanwhile', async () => {
  await withDriver(
    {
      process: {
        command: appCommand({ exitAtOnce: true, exitCode: 1 }),
        crash: { backoffMs: 150, maxBackoffMs: 10_000 },
      },
    },
    async (driver, witness) => {
      driver.scaleUp(1);
      const first = await firstCrash(witness);
      assert.deepEqual(driver.crash(), first);
      driver.scaleUp(1);
      assert.equal(
        driver.instances().some(({ state }) => state === 'starting'),
        false,
      );
      const second = await witness.until('the second crash', () => witness.crashes[1] ?? false);
      const startedAtMs = witness.instances.find(({ id, pid }) => id === 'app-2' && pid !== null)!.startedAtMs;
      assert.ok(startedAtMs >= first.retryAtMs - 5, `${startedAtMs} ${first.retryAtMs}`);
      assert.equal(second.attempts, 2);
      assert.ok(Math.abs(second.retryAtMs - second.atMs - 300) <= 5);
      // Whoever asked has left: nothing starts by itself when the time has come.
      driver.scaleUp(1);
      driver.cancelStarts(0);
      await new Promise((resolve) => setTimeout(resolve, second.retryAtMs - Date.now() + 30));
      assert.equal(driver.crash(), null);
      assert.equal(
        witness.instances.some(({ id }) => id === 'app-3'),
        false,
      );
    },
  );
});

test('several that fail together are one failed attempt, and the back-off is bounded', async () => {
  const command = appCommand({ exitAtOnce: true, exitCode: 1 });
  await withDriver(
    { process: { command, crash: { backoffMs: 20, maxBackoffMs: 50 } }, scale: { max: 3 } },
    async (driver, witness) => {
      driver.scaleUp(3);
      await witness.until('three gone', () => witness.instances.filter(({ state }) => state === 'gone').length === 3);
      assert.equal(Math.max(...witness.crashes.map((crash) => crash?.attempts ?? 0)), 1);
      for (let attempt = 2; attempt <= 4; attempt++) {
        driver.scaleUp(1);
        const crash = await witness.until(
          `attempt ${attempt}`,
          () => witness.crashes.find((seen) => seen?.attempts === attempt) ?? false,
        );
        assert.ok(crash.retryAtMs - crash.atMs <= 51);
      }
    },
  );
});

test('a start that works again tells that it recovered', async () => {
  const once = 'test -e "$FLAG" && exec "$@"; : > "$FLAG"; exit 9';
  await withDriver({}, async (_driver, _witness, bench) => {
    const command = ['/bin/sh', '-c', once, 'sh', ...appCommand()];
    await withDriver({ process: { command, env: { FLAG: join(bench.stateDir, 'flag') } } }, async (driver, witness) => {
      driver.scaleUp(1);
      await firstCrash(witness);
      driver.scaleUp(1);
      await witness.ready(driver, 1);
      assert.deepEqual(witness.crashes.slice(1), [null]);
      assert.equal(driver.crash(), null);
    });
  });
});

test('an end soon after ready is a crash; one after the back-off is an end with a reason and no crash', async () => {
  await withDriver({ process: { crash: { backoffMs: 60_000, maxBackoffMs: 60_000 } } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    askToDie(ready!.address!);
    const crash = await firstCrash(witness);
    assert.match(crash.reason, /^exited with code 3 after [\d.]+ m?s$/);
  });
  await withDriver({ process: { crash: { backoffMs: 1, maxBackoffMs: 60_000 } } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    askToDie(ready!.address!);
    const gone = await witness.state(ready!.id, 'gone');
    assert.match(gone.reason, /^exited with code 3 after [\d.]+ m?s$/);
    assert.deepEqual(witness.crashes, []);
    // Nobody asked: nothing starts.
    assert.deepEqual(driver.instances(), []);
    driver.scaleUp(1);
    await witness.ready(driver, 1);
  });
});

test('what a crashed application forked does not outlive it', async () => {
  const command = appCommand({ fork: true, daemon: true, exitAfterMs: 200, exitCode: 1, never: true });
  await withDriver({ process: { command, stopGraceMs: 100 } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [, child] = await logged(driver, /child (\d+)/);
    const [, daemon] = await logged(driver, /daemon (\d+)/);
    await firstCrash(witness);
    await driver.close();
    assert.equal(await isAlive(Number(child)), false);
    assert.equal(await isAlive(Number(daemon)), false);
  });
});

function askToDie(address: { host: string; port: number }): void {
  http.get({ ...address, path: '/die', agent: false }).once('error', () => {});
}
