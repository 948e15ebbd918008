/** With scale.by keda: who writes zero, and what becomes of pods that were to go when a request comes before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until, withDriver, type Subject } from './fixtures/bench.ts';
import type { KedaView } from './index.ts';

class FakeKeda implements KedaView {
  told = true;
  withinMs = 60_000;
  readonly #listeners = new Set<(isGone: boolean) => void>();

  zeroWithinMs(): number {
    return this.withinMs;
  }

  wasTold(): boolean {
    return this.told;
  }

  onActed(_backend: string, listener: (isGone: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  acted(isGone = false): void {
    for (const listener of [...this.#listeners]) listener(isGone);
  }

  get listeners(): number {
    return this.#listeners.size;
  }
}

async function withKeda(
  run: (subject: Subject & { keda: FakeKeda; ids: string[] }) => Promise<void>,
  options: { kedaWakesWithinMs?: number } = {},
): Promise<void> {
  const keda = new FakeKeda();
  await withDriver({ scale: { by: 'keda' }, replicas: 2, keda, ...options }, async (subject) => {
    const ids = (await subject.witness.ready(subject.driver, 2)).map(({ id }) => id);
    await run({ ...subject, keda, ids });
    assert.deepEqual(
      subject.cluster.requests.filter(({ body }) => body?.spec?.replicas === 0),
      [],
      'zero is never ours to write',
    );
  });
}

const outcome = (retired: Promise<void>): Promise<string> =>
  retired.then(
    () => 'gone',
    (error: Error) => error.message,
  );

test('pods are gone when KEDA has written zero', async () => {
  await withKeda(async ({ driver, cluster, keda, ids }) => {
    const retired = outcome(driver.retire(ids));
    cluster.scaleByHand('users', 0);
    assert.equal(await retired, 'gone');
    assert.equal(keda.listeners, 0);
  });
});

test('KEDA that has not heard of it does nothing: they serve on at once', async () => {
  await withKeda(async ({ driver, keda, ids }) => {
    keda.told = false;
    const retired = outcome(driver.retire(ids));
    driver.scaleUp(1 + ids.length);
    assert.match(await retired, /stays: it is wanted again, and KEDA had not heard otherwise/);
  });
});

test('KEDA that has heard of it has acted twice on the new word before they serve on', async () => {
  await withKeda(async ({ driver, keda, ids }) => {
    let told = '';
    const retired = outcome(driver.retire(ids)).then((text) => (told = text));
    driver.scaleUp(1 + ids.length);
    keda.acted();
    await new Promise(setImmediate);
    assert.equal(told, '');
    keda.acted();
    await retired;
    assert.match(told, /KEDA has not written zero/);
    assert.equal(keda.listeners, 0);
  });
});

test('a zero that was written although it had acted is seen: those pods are not used again', async () => {
  await withKeda(async ({ driver, cluster, keda, witness, ids }) => {
    cluster.deaf = true;
    cluster.paused = true;
    const retired = outcome(driver.retire(ids));
    driver.scaleUp(1 + ids.length);
    cluster.scaleByHand('users', 0);
    cluster.scaleByHand('users', 1);
    keda.acted();
    keda.acted();
    await until('the look', () => cluster.requests.some(({ verb }) => verb === 'get'));
    cluster.deaf = false;
    cluster.graceful = false;
    for (const { metadata } of cluster.podsOf('users')) cluster.finish(metadata.name);
    cluster.paused = false;
    cluster.reconcile('users');
    assert.equal(await retired, 'gone');
    const ready = await witness.ready(driver, 1);
    assert.ok(!ids.includes(ready[0]!.id));
  });
});

test('a ScaledObject that is gone scales nothing', async () => {
  await withKeda(async ({ driver, keda, ids }) => {
    const retired = outcome(driver.retire(ids));
    keda.acted(true);
    assert.match(await retired, /its ScaledObject is gone/);
  });
});

test('KEDA that writes nothing in time is told of', async () => {
  await withKeda(async ({ driver, keda, ids }) => {
    keda.withinMs = 20;
    assert.match(await outcome(driver.retire(ids)), /KEDA has not written zero within 0 s/);
  });
});

test('a wake is left to KEDA, and done for it when it does not come', async () => {
  await withKeda(
    async ({ driver, cluster, witness, ids }) => {
      const retired = outcome(driver.retire(ids));
      cluster.scaleByHand('users', 0);
      assert.equal(await retired, 'gone');
      driver.scaleUp(1);
      cluster.scaleByHand('users', 1);
      await witness.ready(driver, 1);
      const writes = (): number => cluster.requests.filter(({ verb }) => verb === 'patch').length;
      assert.equal(writes(), 0);
      driver.cancelStarts(1);
      cluster.scaleByHand('users', 0);
      await until('nothing runs', () => driver.instances().length === 0);
      driver.scaleUp(1);
      await witness.ready(driver, 1);
      assert.equal(writes(), 1);
    },
    { kedaWakesWithinMs: 50 },
  );
});
