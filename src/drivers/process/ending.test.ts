/** How an instance is ended, however it resists. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { connects } from '../driver.contract.ts';
import { appCommand, isAlive, logged, withDriver } from './fixtures/process-backend.ts';

test('SIGTERM and the grace period come before SIGKILL', async () => {
  await withDriver(
    { process: { command: appCommand({ ignoreTerm: true }), stopGraceMs: 300 } },
    async (driver, witness) => {
      driver.scaleUp(1);
      const [ready] = await witness.ready(driver, 1);
      const beganMs = performance.now();
      const retired = driver.retire([ready!.id], { freeze: false });
      assert.equal(driver.instances()[0]?.state, 'stopping');
      await logged(driver, /SIGTERM ignored/);
      assert.equal(await connects(ready!.address), true);
      await retired;
      const tookMs = performance.now() - beganMs;
      assert.ok(tookMs >= 290 && tookMs < 2300, `${tookMs} ms`);
      assert.equal(await isAlive(ready!.pid!), false);
      assert.deepEqual(driver.instances(), []);
    },
  );
});

test('a program that ends on SIGTERM is gone at once, long before the grace period', async () => {
  await withDriver({ process: { stopGraceMs: 60_000 } }, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    const beganMs = performance.now();
    await driver.retire([ready!.id], { freeze: false });
    assert.ok(performance.now() - beganMs < 5000);
  });
});

for (const resistance of ['fork', 'daemon'] as const) {
  test(`a child that ignores SIGTERM (${resistance === 'fork' ? 'in the group' : 'in a session of its own'}) is ended as well`, async () => {
    const command = appCommand({ [resistance]: true, quietTerm: true });
    await withDriver({ process: { command, stopGraceMs: 200 } }, async (driver, witness) => {
      driver.scaleUp(1);
      const [ready] = await witness.ready(driver, 1);
      const [, child] = await logged(driver, resistance === 'fork' ? /child (\d+)/ : /daemon (\d+)/);
      assert.equal(await isAlive(Number(child)), true);
      await driver.retire([ready!.id], { freeze: false });
      assert.equal(await isAlive(Number(child)), false);
      assert.equal(await isAlive(ready!.pid!), false);
    });
  });
}

test('the children of one instance are not those of another', async () => {
  const command = appCommand({ fork: true, daemon: true, quietTerm: true });
  await withDriver({ process: { command, stopGraceMs: 200 } }, async (driver, witness) => {
    driver.scaleUp(2);
    const [first] = await witness.ready(driver, 2);
    await witness.until('all children', () => true);
    await logged(driver, /daemon/);
    await driver.retire([first!.id], { freeze: false });
    const other = driver.instances();
    assert.equal(other.length, 1);
    const children = driver
      .logs(100)
      .filter(({ instance, text }) => instance === other[0]!.id && /^(child|daemon)/.test(text));
    assert.equal(children.length, 2);
    for (const { text } of children) assert.equal(await isAlive(Number(text.split(' ')[1])), true);
  });
});

test('close ends ready, starting and frozen instances', async () => {
  await withDriver({ scale: { max: 3 } }, async (driver, witness) => {
    driver.scaleUp(2);
    const [first, second] = await witness.ready(driver, 2);
    await driver.retire([first!.id], { freeze: true });
    driver.scaleUp(3);
    await driver.retire([second!.id], { freeze: true });
    const pids = [first!.pid!, second!.pid!];
    await driver.close();
    for (const pid of pids) assert.equal(await isAlive(pid), false);
    assert.deepEqual(driver.instances(), []);
  });
});

test('retiring one that is being retired waits for the same end', async () => {
  await withDriver({}, async (driver, witness) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    await Promise.all([driver.retire([ready!.id], { freeze: false }), driver.retire([ready!.id], { freeze: true })]);
    assert.equal(await isAlive(ready!.pid!), false);
    assert.equal(witness.instances.filter(({ state }) => state === 'gone').length, 1);
  });
});

test('a record of each running instance is kept and taken away', async () => {
  await withDriver({}, async (driver, witness, bench) => {
    driver.scaleUp(1);
    const [ready] = await witness.ready(driver, 1);
    await driver.retire([ready!.id], { freeze: false });
    assert.deepEqual(await readdir(join(bench.stateDir, 'instances')), []);
  });
});

test('a retired instance may be replaced while it still stops', async () => {
  await withDriver(
    { process: { command: appCommand({ ignoreTerm: true }), stopGraceMs: 250 }, scale: { max: 1 } },
    async (driver, witness) => {
      driver.scaleUp(1);
      const [first] = await witness.ready(driver, 1);
      const retired = driver.retire([first!.id], { freeze: false });
      driver.scaleUp(1);
      // How long it takes to be ready is the machine's business; it begins at once.
      await witness.until('the second', () => driver.instances().find(({ id }) => id === 'app-2'));
      assert.equal(driver.instances().find(({ id }) => id === first!.id)?.state, 'stopping');
      await witness.until('the second, ready', () =>
        witness.instances.find(({ id, state }) => id === 'app-2' && state === 'ready'),
      );
      await retired;
      assert.equal(await isAlive(first!.pid!), false);
    },
  );
});
