/** Rate limits that several gateways count in one Redis. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { createSharedLimits, type GatewayLimits } from '../../src/gateway/limits/create-shared-limits.ts';
import type { LimitDecision, RateLimiter, RateLimitSpec } from '../../src/gateway/limits/shared-limits.ts';
import { silentLogger, systemClock } from '../../src/model/ports.ts';
import { ask, problem, type Answer } from '../e2e/fixtures/client.ts';
import { backend, configuration } from '../e2e/fixtures/configuration.ts';
import { Place } from '../e2e/fixtures/dormouse.ts';
import { until } from '../e2e/fixtures/until.ts';
import { RedisServer } from './redis.ts';

const BOUND = { timeout: 60_000 };
const TIMEOUT_MS = 100;

class Gateways {
  readonly log: string[] = [];
  readonly all: GatewayLimits[] = [];

  add(): GatewayLimits {
    const note =
      (level: string) =>
      (text: string, fields?: Record<string, unknown>): void =>
        void this.log.push(`${level}: ${text} ${JSON.stringify(fields ?? {})}`);
    const limits = createSharedLimits({
      clock: systemClock,
      logger: { ...silentLogger, info: note('info'), warn: note('warn'), error: note('error') },
      send: () => {},
      workers: () => 1,
    });
    this.all.push(limits);
    return limits;
  }

  [Symbol.dispose](): void {
    for (const limits of this.all) limits.end();
  }
}

function spec(redis: RedisServer, more: Partial<RateLimitSpec> & { failure?: 'open' | 'closed' } = {}): RateLimitSpec {
  const { failure = 'closed', ...rest } = more;
  return {
    id: 'shop/0/0',
    route: 'shop',
    limit: 100,
    windowMs: 3_600_000,
    burst: 100,
    maxKeys: 10_000,
    redis: { url: redis.url, failure, timeoutMs: TIMEOUT_MS, prefix: 'test' },
    ...rest,
  };
}

async function allowed(limiters: readonly RateLimiter[], requests: number, key = 'k'): Promise<number> {
  const decisions = Array.from({ length: requests }, (_, i) => limiters[i % limiters.length]!.take(key));
  const settled: LimitDecision[] = await Promise.all(decisions);
  return settled.filter((decision) => decision.allowed).length;
}

describe('the bucket in Redis', () => {
  it('two gateways at once: exactly the burst passes', BOUND, async () => {
    await using redis = await RedisServer.start();
    using gateways = new Gateways();
    const limiters = [gateways.add(), gateways.add()].map((limits) => limits.rate(spec(redis)));
    assert.equal(await allowed(limiters, 1000), 100);
    for (let i = 0; i < 20; i++) assert.equal(await allowed(limiters, 2, 'few'), 2);
    const told = await limiters[0]!.take('few');
    assert.deepEqual([told.allowed, told.counted], [true, true]);
    // What the other one has in its batch is counted as used.
    assert.ok(told.remaining >= 50 && told.remaining <= 65, `${told.remaining}`);
  });

  it('few tokens are exact, request by request, and come back by the time of Redis', BOUND, async () => {
    await using redis = await RedisServer.start();
    using gateways = new Gateways();
    const few = spec(redis, { limit: 5, burst: 5, windowMs: 2000 });
    const limiters = [gateways.add(), gateways.add(), gateways.add()].map((limits) => limits.rate(few));
    let passed = 0;
    for (let i = 0; i < 12; i++) if ((await limiters[i % 3]!.take('k')).allowed) passed++;
    assert.equal(passed, 5);
    const refused = await limiters[0]!.take('k');
    assert.ok(!refused.allowed && refused.retryAfterMs > 0 && refused.retryAfterMs <= 400);
    await pause(refused.retryAfterMs + 10);
    assert.equal(await allowed([limiters[0]!], 3), 1);
  });

  it('keys have the prefix and expire once their bucket is full again; nothing else is left', BOUND, async () => {
    await using redis = await RedisServer.start();
    using gateways = new Gateways();
    const limiter = gateways.add().rate(spec(redis, { limit: 10, burst: 10, windowMs: 1000 }));
    assert.equal(await allowed([limiter], 3, 'c:192.0.2.1'), 3);
    assert.equal((await redis.say('KEYS', '*')).trim(), 'test:rate:shop/0/0:c:192.0.2.1');
    const ttlMs = Number(await redis.say('PTTL', 'test:rate:shop/0/0:c:192.0.2.1'));
    assert.ok(ttlMs <= 300, `${ttlMs}`);
    await until('it is gone', async () => (await redis.say('DBSIZE')).trim() === '0');
  });

  it('a busy key takes batches: fewer calls than requests, never more than burst + rate x time', BOUND, async () => {
    await using redis = await RedisServer.start();
    using gateways = new Gateways();
    const fast = spec(redis, { limit: 2000, burst: 2000, windowMs: 1000 });
    const [one, two] = [gateways.add(), gateways.add()];
    const limiters = [one.rate(fast), two.rate(fast)];
    const beganMs = performance.now();
    let passed = 0;
    let requests = 0;
    while (performance.now() - beganMs < 1500) {
      passed += await allowed(limiters, 20);
      requests += 20;
    }
    const elapsedMs = performance.now() - beganMs;
    assert.ok(passed <= 2000 + 2 * elapsedMs + 1, `${passed} in ${elapsedMs} ms`);
    const calls = gateways.all
      .flatMap((limits) => limits.families())
      .filter(({ name }) => name === 'dormouse_limit_store_calls_total')
      .reduce((sum, { series }) => sum + series[0]!.value!, 0);
    assert.ok(calls < passed / 2, `${calls} calls, ${passed} passed of ${requests}`);
  });

  it('a reload keeps the connection; the last one to close ends it', BOUND, async () => {
    await using redis = await RedisServer.start();
    using gateways = new Gateways();
    const limits = gateways.add();
    const before = limits.rate(spec(redis, { limit: 10, burst: 10 }));
    assert.equal(await allowed([before], 6), 6);
    const after = limits.rate(spec(redis, { limit: 10, burst: 10, windowMs: 7_200_000 }));
    before.close();
    assert.equal(await allowed([after], 10), 4);
    assert.equal(await redis.connections(), 1);
    after.close();
    await until('it is closed', async () => (await redis.connections()) === 0);
  });
});

describe('when Redis is gone', () => {
  for (const failure of ['open', 'closed'] as const) {
    it(
      `hangs: ${failure}, after a bounded wait and then at once; said once; counted again afterwards`,
      BOUND,
      async () => {
        await using redis = await RedisServer.start('verysecret');
        using gateways = new Gateways();
        const limits = gateways.add();
        const limiter = limits.rate(spec(redis, { failure }));
        assert.equal(await allowed([limiter], 10), 10);
        redis.stop();
        const beganMs = performance.now();
        const first = await Promise.all(Array.from({ length: 50 }, (_, i) => limiter.take(`hung${i}`)));
        const waitedMs = performance.now() - beganMs;
        assert.ok(waitedMs >= TIMEOUT_MS - 5 && waitedMs < TIMEOUT_MS * 5, `${waitedMs}`);
        assert.ok(first.every((decision) => !decision.counted && decision.allowed === (failure === 'open')));
        // 10,000 more: none waits, nothing piles up.
        for (let i = 0; i < 10_000; i++) {
          const decision = limiter.take(`more${i}`);
          assert.ok(!(decision instanceof Promise) && !decision.counted);
        }
        await pause(2500);
        assert.ok(!(limiter.take('still') instanceof Promise));
        redis.goOn();
        await until('it is counted again', async () => (await limiter.take('back')).counted);
        assert.deepEqual(
          gateways.log.map((line) => line.split(':', 1)[0]),
          ['warn', 'info'],
        );
        assert.doesNotMatch(gateways.log.join(), /verysecret/);
        assert.match(gateways.log[0]!, new RegExp(`redis://127\\.0\\.0\\.1:${redis.port}/0`));
        const undecided = limits.families().find(({ name }) => name === 'dormouse_rate_limit_undecided_total')!;
        assert.ok(undecided.series[0]!.value! >= 10_050);
        const errors = limits.families().find(({ name }) => name === 'dormouse_limit_store_errors_total')!;
        assert.ok(errors.series.some(({ labels, value }) => labels['store'] === 'redis' && value! >= 1));
      },
    );
  }

  it('killed and started again: no script, no keys, and it goes on', BOUND, async () => {
    await using redis = await RedisServer.start();
    using gateways = new Gateways();
    const limiter = gateways.add().rate(spec(redis, { limit: 3, burst: 3 }));
    assert.equal(await allowed([limiter], 5), 3);
    await redis.kill();
    await until('it is noticed', async () => !(await limiter.take('other')).counted);
    await redis.start();
    await until('it is counted again', async () => (await limiter.take('back')).counted);
    assert.equal(await allowed([limiter], 5, 'new'), 3);
    assert.equal(gateways.log.length, 2);
  });

  it(
    'scripts are flushed, the clock of a bucket is ahead, a key holds something else: counted on, or an error',
    BOUND,
    async () => {
      await using redis = await RedisServer.start();
      using gateways = new Gateways();
      const limiter = gateways.add().rate(spec(redis, { limit: 3, burst: 3 }));
      assert.equal(await allowed([limiter], 1), 1);
      await redis.say('SCRIPT', 'FLUSH');
      assert.equal(await allowed([limiter], 1), 1);
      await redis.say('SET', 'test:rate:shop/0/0:ahead', '3600000:3600000:99999999999999');
      assert.equal(await allowed([limiter], 5, 'ahead'), 2);
      await redis.say('SET', 'test:rate:shop/0/0:text', 'something else');
      assert.equal(await allowed([limiter], 5, 'text'), 3);
      await redis.say('LPUSH', 'test:rate:shop/0/0:list', 'x');
      assert.equal((await limiter.take('list')).counted, false);
      assert.match(gateways.log[0]!, /WRONGTYPE/);
    },
  );

  it('was never there, or does not like the password: nobody waits for long', BOUND, async () => {
    await using redis = await RedisServer.start('right');
    using gateways = new Gateways();
    const url = `redis://:wrong@127.0.0.1:${redis.port}`;
    const limiter = gateways
      .add()
      .rate(spec(redis, { redis: { url, failure: 'open', timeoutMs: TIMEOUT_MS, prefix: 'test' } }));
    const decision = await limiter.take('k');
    assert.deepEqual([decision.allowed, decision.counted], [true, false]);
    assert.match(gateways.log[0]!, /WRONGPASS/);
    assert.doesNotMatch(gateways.log.join(), /:wrong@|"wrong"/);
    await redis.kill();
    const other = gateways.add().rate(spec(redis, { failure: 'closed' }));
    assert.deepEqual([(await other.take('k')).allowed, gateways.log.length], [false, 2]);
  });
});

describe('dormouse with a Redis', () => {
  const file = (redis: RedisServer, name: string, failure: string): string => {
    const written = JSON.parse(
      configuration({ workers: 2, backends: { [name]: backend({}, { scale: { idleAfter: '60s' } }) } }),
    ) as { routes: { rules: { filters: unknown[] }[] }[] };
    const limit = { url: '${LIMITS_REDIS}', failure, timeout: '200ms' };
    written.routes[0]!.rules[0]!.filters.unshift({
      rateLimit: { limit: 20, window: '1h', name: 'shared', key: { header: 'x-user' }, redis: limit },
    });
    return JSON.stringify(written);
  };
  const many = (ports: readonly number[], name: string, user: string, count: number): Promise<Answer[]> =>
    Promise.all(
      Array.from({ length: count }, (_, i) =>
        ask(ports[i % ports.length]!, { path: `/${name}/pid`, headers: { 'x-user': user } }),
      ),
    );
  const passed = (answers: readonly Answer[]): number => answers.filter(({ status }) => status === 200).length;

  it(
    'two gateways of two workers share a limit; open and closed when Redis hangs; nobody is woken for a refusal',
    BOUND,
    async () => {
      await using redis = await RedisServer.start('verysecret');
      await using open = new Place(file(redis, 'shop', 'open'));
      await using closed = new Place(file(redis, 'shop', 'closed'));
      const env = { LIMITS_REDIS: redis.url };
      const ups = await Promise.all([open.start({ env }).up(), closed.start({ env }).up()]);
      const ports = await Promise.all(ups.map((up) => up.port()));
      assert.equal(passed(await many(ports, 'shop', 'ann', 80)), 20);
      assert.doesNotMatch(await redis.say('KEYS', '*'), /ann/);

      redis.stop();
      assert.equal(passed(await many([ports[0]!], 'shop', 'ben', 30)), 30);
      assert.equal((await closed.run('sleep', 'shop')).code, 0);
      const refused = await many([ports[1]!], 'shop', 'ben', 30);
      assert.ok(refused.every(({ status }) => status === 503));
      assert.equal(problem(refused[0]!).code, 'rate-limit-unavailable');
      assert.equal(refused[0]!.headers['retry-after'], '1');
      assert.equal((await ups[1]!.backend('shop')).phase, 'asleep');

      redis.goOn();
      await until('it is counted again by all workers', async () => {
        const answers = await many(ports, 'shop', 'cid', 40);
        return answers.every(({ headers }) => headers['ratelimit'] !== undefined);
      });
      for (const up of ups) {
        const lines = up.log.filter(({ msg }) => msg.startsWith('Redis does not answer'));
        assert.ok(lines.length >= 1 && lines.length <= 2, 'once per worker');
        assert.doesNotMatch(JSON.stringify(up.log) + up.text, /verysecret/);
        assert.equal(await up.stop(), 0);
      }
    },
  );
});
