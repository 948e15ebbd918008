/** Health checks, ejection, breaker and retries of a running `dormouse up`. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ask, Load, problem } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place } from './fixtures/dormouse.ts';
import { until } from './fixtures/until.ts';
import type { BackendStatus } from '../../src/model/status.ts';

const BOUND = { timeout: 60_000 };

const pidIn = (body: string): number => (JSON.parse(body) as { pid: number }).pid;

const allReady =
  (count: number) =>
  ({ instances }: BackendStatus): boolean =>
    instances.length === count && instances.every(({ state }) => state === 'ready');

describe('a backend that fails', { concurrency: 2 }, () => {
  it(
    'an instance that answers 500 is ejected by both workers: nothing is lost, status says so, and it comes back',
    BOUND,
    async () => {
      const shop = backend(
        {},
        {
          scale: { min: 3, max: 3 },
          ejection: { consecutiveErrors: 3, base: '2s' },
        },
      );
      const place = new Place(
        configuration({
          workers: 2,
          backends: { shop },
          routes: [
            {
              name: 'retried',
              rules: [
                {
                  backends: [{ name: 'shop' }],
                  retry: { attempts: 3, on: ['5xx'], backoff: '1ms', budgetPercent: 100 },
                },
              ],
            },
          ],
        }),
      );
      await using _ = place;
      const up = await place.start().up();
      const port = await up.port();
      const { instances } = await up.backendWhen('shop', 'ready', allReady(3));
      // So many that none of the two workers is left without a connection: the kernel deals them out by chance.
      await using load = new Load(port, 24, '/health');
      await load.more(100);
      const ill = instances[1]!;
      place.touch(`ill-${ill.pid}`);
      const seen = await up.backendWhen('shop', 'ejected', (status) =>
        status.instances.some((one) => one.ejectedBy === 2),
      );
      assert.deepEqual(
        seen.instances.map(({ id, ejectedBy }) => [id, ejectedBy]),
        instances.map(({ id }) => [id, id === ill.id ? 2 : 0]),
      );
      rmSync(join(place.path, `ill-${ill.pid}`));
      const text = (await place.run('status', 'shop')).stdout;
      assert.match(text, /1 of 3 instances ejected|ejected by 2 workers/);
      await up.backendWhen('shop', 'whole again', (status) => status.instances.every((one) => one.ejectedBy === 0));
      load.pids.clear();
      await until('all instances answer', () => load.pids.size === 3);
      await load.stop();
      assert.deepEqual(load.losses, []);
      await up.line(/an endpoint was ejected/);
      await up.line(/an ejected endpoint is back/);
    },
  );

  it(
    'its breaker opens: clients get the fallback of the file, status and log say so, and it closes by its trials',
    BOUND,
    async () => {
      const page = '<!doctype html><title>Sorry</title>';
      const shop = backend(
        {},
        {
          ejection: 'off',
          breaker: {
            minimumRequests: 5,
            openFor: '1s',
            trials: 2,
            fallback: { status: 200, file: 'sorry.html', headers: { 'Content-Type': 'text/html' } },
          },
        },
      );
      const place = new Place(configuration({ backends: { shop } }));
      await using _ = place;
      writeFileSync(join(place.path, 'sorry.html'), page);
      const up = await place.start().up();
      const port = await up.port();
      place.touch('ill');
      for (let i = 0; i < 5; i++) assert.equal((await ask(port, '/shop/health')).status, 500);
      const fallback = await ask(port, '/shop/health');
      assert.deepEqual([fallback.status, fallback.headers['content-type'], fallback.body], [200, 'text/html', page]);
      assert.deepEqual((await up.backend('shop')).breaker, { closed: 0, halfOpen: 0, open: 1 });
      assert.match((await place.run('status', 'shop')).stdout, /breaker +open in 1 of 1 worker/);
      rmSync(join(place.path, 'ill'));
      await until('the application answers again', async () => (await ask(port, '/shop/health')).body !== page);
      for (let i = 0; i < 5; i++) pidIn((await ask(port, '/shop/health')).body);
      assert.deepEqual((await up.backend('shop')).breaker, { closed: 1, halfOpen: 0, open: 0 });
      for (const line of [/5 of 5 requests failed.*breaker is open/, /breaker is half-open/, /breaker is closed/])
        await up.line(line);
      const metrics = await ask(await up.port('observe'), '/metrics');
      assert.match(metrics.body, /dormouse_breaker_transitions_total\{backend="shop",to="open"\} 1\n/);
      assert.match(metrics.body, /dormouse_breaker_state\{backend="shop",state="closed"\} 1\n/);
    },
  );

  it('timeouts end what hangs: 504 for the application, 408 for the client', BOUND, async () => {
    const place = new Place(
      configuration({
        backends: { shop: backend() },
        routes: [{ name: 'bounded', rules: [{ backends: [{ name: 'shop' }], timeouts: { request: '300ms' } }] }],
      }),
    );
    await using _ = place;
    const up = await place.start().up();
    const port = await up.port();
    assert.equal((await ask(port, '/pid')).status, 200);
    const late = await ask(port, '/wait?file=never');
    assert.deepEqual([problem(late).status, problem(late).code], [504, 'request-timeout']);
    const slow = await ask(port, { path: '/echo', headers: { 'content-length': '100' }, chunks: ['abc'] });
    assert.ok(slow.status === 408 || slow.status === 0, `${slow.status}`);
  });
});

describe('active health checks', { concurrency: 2 }, () => {
  const health = { http: '/health', interval: '100ms', timeout: '1s', status: '200', rise: 2, fall: 2 };

  it('take a sick process out and back in again, with nothing lost', BOUND, async () => {
    const shop = backend({}, { scale: { min: 2, max: 2 }, ejection: 'off', health });
    const place = new Place(configuration({ workers: 2, backends: { shop } }));
    await using _ = place;
    const up = await place.start().up();
    const port = await up.port();
    const { instances } = await up.backendWhen('shop', 'ready', allReady(2));
    await using load = new Load(port, 4, '/shop/pid');
    await load.more(50);
    const ill = instances[0]!;
    place.touch(`ill-${ill.pid}`);
    const status = await up.backendWhen('shop', 'partly sick', (one) =>
      one.instances.some(({ state }) => state === 'unhealthy'),
    );
    assert.match(status.instances.find(({ id }) => id === ill.id)!.reason, /GET \/health answered 500/);
    await load.more(20);
    load.pids.clear();
    await load.more(50);
    assert.ok(!load.pids.has(ill.pid!));
    rmSync(join(place.path, `ill-${ill.pid}`));
    await until('it answers again', () => load.pids.has(ill.pid!));
    await load.stop();
    assert.deepEqual(load.losses, []);
  });

  it('neither keep a backend awake nor wake it', BOUND, async () => {
    const shop = backend({ print: ['here'] }, { scale: { idleAfter: '1s' }, health });
    const place = new Place(configuration({ backends: { shop } }));
    await using _ = place;
    const up = await place.start().up();
    const port = await up.port();
    assert.equal((await ask(port, '/shop/pid')).status, 200);
    await up.phase('shop', 'asleep');
    // Ten intervals of the check.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const status = await up.backend('shop');
    assert.deepEqual([status.phase, status.wakes, status.instances.length], ['asleep', 1, 0]);
    assert.equal((await ask(port, '/shop/pid')).status, 200);
    assert.equal((await up.backend('shop')).wakes, 2);
  });
});
