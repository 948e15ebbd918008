import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { silentLogger } from '../model/ports.ts';
import { awaitLeftWorkers } from './leftover-workers.ts';
import { identify, isAlive } from './process-identity.ts';
import { StateLock } from './state-lock.ts';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function stateDir(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dormouse-lock-'));
  folders.push(folder);
  return folder;
}

/** A process that does nothing until it is killed. */
function sleeper(): ReturnType<typeof spawn> {
  return spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
}

describe('state lock', () => {
  it('is held once, and free again after its release, leaving nothing', () => {
    const folder = stateDir();
    const lock = StateLock.acquire(folder, Date.UTC(2026, 0, 2, 3, 4, 5));
    assert.throws(() => StateLock.acquire(folder, 0), {
      code: 'DORMOUSE_STATE_LOCKED',
      userFault: true,
      message: `Another dormouse runs on the state folder ${folder} (pid ${process.pid}, since 2026-01-02T03:04:05.000Z). End it first ("kill ${process.pid}"), or give this one another stateDir.`,
    });
    lock.recordWorkers([process.pid]);
    lock.release();
    assert.deepEqual(readdirSync(folder), []);
    StateLock.acquire(folder, 0).release();
  });

  it('is taken over from a process that is no more, even when its pid lives again', () => {
    const folder = stateDir();
    for (const content of [
      JSON.stringify({ pid: process.pid, started: '1', sinceMs: 1, token: 'old' }),
      JSON.stringify({ pid: 2 ** 22 + 1, started: '1', sinceMs: 1, token: 'old' }),
      'rubbish',
      '',
    ]) {
      writeFileSync(join(folder, 'lock'), content);
      StateLock.acquire(folder, 0).release();
      assert.deepEqual(readdirSync(folder), []);
    }
  });

  it('says what to do when the folder cannot be used', () => {
    assert.throws(() => StateLock.acquire('/nonexistent/dormouse', 0), {
      code: 'DORMOUSE_STATE_DIR',
      message: /The state folder \/nonexistent\/dormouse cannot be used: ENOENT.*Set stateDir to a folder/,
    });
    const folder = stateDir();
    chmodSync(folder, 0o500);
    if (process.getuid?.() !== 0) assert.throws(() => StateLock.acquire(folder, 0), { code: 'DORMOUSE_STATE_DIR' });
  });

  it('tells the workers that a killed supervisor left', async () => {
    const folder = stateDir();
    const child = sleeper();
    const lock = StateLock.acquire(folder, 0);
    lock.recordWorkers([child.pid!, 2 ** 22 + 1]);
    assert.deepEqual(lock.leftWorkers(), [identify(child.pid!)]);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.deepEqual(lock.leftWorkers(), []);
    lock.release();
  });
});

describe('workers left behind', () => {
  it('are waited for', async () => {
    const child = sleeper();
    const identity = identify(child.pid!)!;
    const waiting = awaitLeftWorkers([identity], {
      withinMs: 5000,
      logger: silentLogger,
      signal: new AbortController().signal,
    });
    child.kill('SIGTERM');
    await waiting;
    assert.equal(isAlive(identity), false);
  });

  it('are killed after the bound, but never another process with the same pid', async () => {
    const child = sleeper();
    const exit = once(child, 'exit');
    const { pid } = child;
    const options = { withinMs: 50, logger: silentLogger, signal: new AbortController().signal };
    await awaitLeftWorkers([{ pid: pid!, started: 'another' }], options);
    assert.equal(isAlive(identify(pid!)!), true);
    await awaitLeftWorkers([identify(pid!)!], options);
    const [, signal] = await exit;
    assert.equal(signal, 'SIGKILL');
  });
});
