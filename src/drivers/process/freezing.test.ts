/** Sleep by SIGSTOP. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { test } from 'node:test';
import { appCommand, isAlive, logged, withDriver } from './fixtures/process-backend.ts';

async function isStopped(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
}

async function untilStopped(pid: number): Promise<void> {
  for (let turn = 0; turn < 1000 && !(await isStopped(pid)); turn++)
    await new Promise((resolve) => setTimeout(resolve, 2));
  assert.equal(await isStopped(pid), true);
}

function get(address: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .get({ ...address, agent: false }, (response) =>
        response.resume().once('end', () => resolve(response.statusCode ?? 0)),
      )
      .once('error', reject);
  });
}

test(
  'freezing stops the whole group; the next start thaws the same process, which is ready at once',
  { skip: process.platform !== 'linux' && 'reads /proc' },
  async () => {
    await withDriver({ process: { command: appCommand({ fork: true }) } }, async (driver, witness) => {
      driver.scaleUp(1);
      const [ready] = await witness.ready(driver, 1);
      const [, child] = await logged(driver, /child (\d+)/);
      await driver.retire([ready!.id], { freeze: true });
      assert.equal(driver.instances()[0]?.state, 'frozen');
      await untilStopped(ready!.pid!);
      await untilStopped(Number(child));
      driver.scaleUp(1);
      const [thawed] = driver.instances();
      assert.equal(thawed?.state, 'ready');
      assert.equal(thawed?.id, ready!.id);
      assert.equal(await get(thawed!.address!), 200);
      assert.deepEqual(witness.crashes, []);
    });
  },
);

test('thawing comes before starting', async () => {
  await withDriver({}, async (driver, witness) => {
    driver.scaleUp(2);
    const [first, second] = await witness.ready(driver, 2);
    await driver.retire([first!.id, second!.id], { freeze: true });
    driver.scaleUp(1);
    assert.deepEqual(
      driver.instances().map(({ state }) => state),
      ['ready', 'frozen'],
    );
    driver.scaleUp(2);
    assert.deepEqual(
      driver.instances().map(({ id, state }) => [id, state]),
      [
        ['app-1', 'ready'],
        ['app-2', 'ready'],
      ],
    );
  });
});

test('one that died while frozen is replaced by a fresh start', async () => {
  await withDriver({}, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    await driver.retire([ready!.id], { freeze: true });
    process.kill(ready!.pid!, 'SIGKILL');
    await witness.state(ready!.id, 'gone');
    assert.deepEqual(witness.crashes, []);
    driver.scaleUp(1);
    const [fresh] = await witness.ready(driver, 1);
    assert.notEqual(fresh!.id, ready!.id);
  });
});

test('a frozen one is ended by SIGTERM, without waiting for the grace period', async () => {
  await withDriver({ process: { stopGraceMs: 30_000 } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    await driver.retire([ready!.id], { freeze: true });
    const beganMs = performance.now();
    await driver.retire([ready!.id], { freeze: false });
    assert.ok(performance.now() - beganMs < 5000);
    assert.equal(await isAlive(ready!.pid!), false);
  });
});

test('one that is still starting is ended, since there is nothing to freeze', async () => {
  await withDriver({ process: { command: appCommand({ never: true }) } }, async (driver, witness) => {
    driver.scaleUp(1);
    const starting = await witness.until('a pid', () => driver.instances().find(({ pid }) => pid !== null));
    await driver.retire([starting.id], { freeze: true });
    assert.equal(await isAlive(starting.pid!), false);
    assert.deepEqual(driver.instances(), []);
  });
});

test('health checks pause while it is frozen', async () => {
  const health = { path: '/', intervalMs: 20, timeoutMs: 20, status: { from: 200, to: 299 }, rise: 1, fall: 1 };
  await withDriver({ health }, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    await driver.retire([ready!.id], { freeze: true });
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(driver.instances()[0]?.state, 'frozen');
    assert.equal(witness.instances.at(-1)?.state, 'frozen');
  });
});
