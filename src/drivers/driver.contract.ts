/** What every kind of driver does, as a user of the interface could notice. Run against each kind with real processes and servers. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import type { Driver, DriverEvents, Instance } from './driver.ts';
import type { Crash } from '../model/backend.ts';

export interface DriverUnderTest {
  /** A new driver of a backend that can have two instances, which answer on their address. */
  create(events: DriverEvents): Driver;
  /** Makes one instance refuse connections without ending it. */
  silence(instance: Instance): Promise<void>;
  release(): Promise<void>;
}

/** Collects what a driver tells, and waits for it. */
export class Witness implements DriverEvents {
  readonly instances: Instance[] = [];
  readonly crashes: (Crash | null)[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #boundMs: number;

  /** How long `until` and its kin wait. */
  constructor(boundMs = 10_000) {
    this.#boundMs = boundMs;
  }

  instance(instance: Instance): void {
    this.instances.push(instance);
    for (const check of this.#waiting) check();
  }

  crash(crash: Crash | null): void {
    this.crashes.push(crash);
    for (const check of this.#waiting) check();
  }

  /** Resolves when `found` returns something, looked at after each event; rejects after the bound. */
  until<Value>(what: string, found: () => Value | undefined | false): Promise<Value> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(bound);
        this.#waiting.delete(check);
      };
      const check = (): void => {
        const value = found();
        if (value === undefined || value === false) return;
        done();
        resolve(value);
      };
      const bound = setTimeout(() => {
        done();
        const seen = this.instances.map(({ id, state, reason }) => `${id} ${state} ${reason}`).join('; ');
        reject(
          new Error(
            `did not see ${what}; saw ${seen} ${this.crashes.map((crash) => crash?.reason ?? 'recovered').join('; ')}`,
          ),
        );
      }, this.#boundMs);
      this.#waiting.add(check);
      check();
    });
  }

  ready(driver: Driver, count: number): Promise<Instance[]> {
    return this.until(`${count} ready`, () => {
      const ready = driver.instances().filter(({ state }) => state === 'ready');
      return ready.length >= count && ready;
    });
  }

  state(id: string, state: Instance['state']): Promise<Instance> {
    return this.until(`${id} ${state}`, () =>
      this.instances.find((instance) => instance.id === id && instance.state === state),
    );
  }
}

export function connects(address: Instance['address']): Promise<boolean> {
  return new Promise((resolve) => {
    if (address === null) return resolve(false);
    const socket = net.connect(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export function driverContract(name: string, setUp: () => Promise<DriverUnderTest>): void {
  const scenario = (
    what: string,
    run: (driver: Driver, witness: Witness, setup: DriverUnderTest) => Promise<void>,
  ): void => {
    test(`${name}: ${what}`, async () => {
      const setup = await setUp();
      const witness = new Witness();
      const driver = setup.create(witness);
      try {
        await run(driver, witness, setup);
      } finally {
        await driver.close();
        await setup.release();
      }
    });
  };

  scenario('scaleUp(2) leads to two ready instances that accept connections', async (driver, witness) => {
    driver.scaleUp(2);
    const ready = await witness.ready(driver, 2);
    assert.equal(ready.length, 2);
    assert.equal(new Set(ready.map(({ id }) => id)).size, 2);
    for (const instance of ready) {
      assert.equal(await connects(instance.address), true);
      assert.ok(instance.readyAtMs > 0);
      assert.equal(instance.reason, '');
    }
    assert.equal(driver.crash(), null);
  });

  scenario('scaleUp never lowers and never goes beyond what is configured', async (driver, witness) => {
    driver.scaleUp(2);
    driver.scaleUp(1);
    driver.scaleUp(100);
    await witness.ready(driver, 2);
    assert.equal(driver.instances().length, 2);
  });

  scenario('what it hands out are snapshots', async (driver, witness) => {
    driver.scaleUp(1);
    const [first] = await witness.ready(driver, 1);
    first!.state = 'gone';
    for (const instance of witness.instances) instance.weight = -1;
    const again = driver.instances().find(({ id }) => id === first!.id);
    assert.equal(again?.state, 'ready');
    assert.notEqual(again?.weight, -1);
  });

  scenario('retire ends instances where it can, and an id is never used again', async (driver, witness) => {
    driver.scaleUp(2);
    const ready = await witness.ready(driver, 2);
    const [first, second] = ready as [Instance, Instance];
    await driver.retire([first.id, 'nobody'], { freeze: false });
    if (!driver.canScale) {
      assert.equal(driver.instances().length, 2);
      return;
    }
    assert.deepEqual(
      driver.instances().map(({ id }) => id),
      [second.id],
    );
    assert.equal(await connects(first.address), false);
    assert.equal(witness.instances.findLast(({ id }) => id === first.id)?.state, 'gone');
    driver.scaleUp(2);
    const later = await witness.ready(driver, 2);
    assert.equal(
      later.some(({ id }) => id === first.id),
      false,
    );
    assert.deepEqual(witness.crashes, []);
  });

  scenario('cancelStarts leaves what is ready', async (driver, witness) => {
    driver.scaleUp(1);
    await witness.ready(driver, 1);
    driver.cancelStarts(0);
    assert.ok(driver.instances().some(({ state }) => state === 'ready'));
  });

  scenario(
    'an instance that refuses connections is unhealthy soon after it was suspected',
    async (driver, witness, setup) => {
      driver.scaleUp(2);
      const [first] = await witness.ready(driver, 2);
      await setup.silence(first!);
      driver.suspect('nobody', 'no such instance');
      driver.suspect(first!.id, 'connection refused');
      const unhealthy = await witness.state(first!.id, 'unhealthy');
      assert.match(unhealthy.reason, /refuses connections/);
      assert.equal(driver.instances().find(({ id }) => id === first!.id)?.state, 'unhealthy');
    },
  );

  scenario('a suspicion that proves wrong changes nothing', async (driver, witness) => {
    driver.scaleUp(2);
    const [first] = await witness.ready(driver, 2);
    for (let i = 0; i < 100; i++) driver.suspect(first!.id, 'timeout');
    await connects(first!.address);
    assert.equal(driver.instances().find(({ id }) => id === first!.id)?.state, 'ready');
  });

  scenario('close tells of every instance that it is gone, and may be called twice', async (driver, witness) => {
    driver.scaleUp(2);
    const ready = await witness.ready(driver, 2);
    await Promise.all([driver.close(), driver.close()]);
    for (const { id } of ready)
      assert.equal(witness.instances.findLast((instance) => instance.id === id)?.state, 'gone');
    assert.deepEqual(driver.instances(), []);
    driver.scaleUp(2);
    assert.deepEqual(driver.instances(), []);
    assert.deepEqual(witness.crashes, []);
  });

  scenario('logs are bounded by what was asked for, and a listener can leave', async (driver, witness) => {
    const stop = driver.onLog(() => assert.fail('it had left'));
    stop();
    driver.scaleUp(1);
    await witness.ready(driver, 1);
    assert.ok(driver.logs(1).length <= 1);
    assert.deepEqual(driver.logs(0), []);
  });
}
