/** Rate and concurrency limits over several workers, in front of backends that sleep. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ask, problem, RawClient, type Answer } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };

/** A backend and its route for each name, with these filters before the others. */
function text(filters: Record<string, unknown[]>): string {
  const file = JSON.parse(
    configuration({
      workers: 3,
      security: { trustedProxies: ['127.0.0.1'] },
      backends: Object.fromEntries(
        Object.keys(filters).map((name) => [name, backend({ delayMs: 50 }, { scale: { idleAfter: '60s' } })]),
      ),
    }),
  ) as { routes: { name: string; rules: { filters: unknown[] }[] }[] };
  for (const { name, rules } of file.routes) rules[0]!.filters.unshift(...filters[name]!);
  return JSON.stringify(file);
}

/** Requests on connections of their own, so that they reach all workers. */
function many(port: number, path: string, count: number, headers: Record<string, string> = {}): Promise<Answer[]> {
  return Promise.all(Array.from({ length: count }, () => ask(port, { path, headers })));
}

function statuses(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

async function metric(up: Dormouse, line: RegExp): Promise<number> {
  const { body } = await ask(await up.port('observe'), '/metrics');
  return Number(line.exec(body)?.[1] ?? NaN);
}

describe('limits over three workers', () => {
  let place: Place;
  let up: Dormouse;
  let port = 0;
  const filters = {
    few: [{ rateLimit: { limit: 5, window: '1h' } }],
    header: [{ rateLimit: { limit: 3, window: '1h', key: { header: 'x-user' } } }],
    reloaded: [{ rateLimit: { limit: 30, window: '1h' } }],
    killed: [{ rateLimit: { limit: 30, window: '1h', key: 'route' } }],
    asleep: [{ rateLimit: { limit: 1, window: '1h', key: 'route' } }],
    slots: [{ concurrency: { max: 4 } }],
    each: [{ concurrency: { max: 1, per: 'client' } }],
    mortal: [{ concurrency: { max: 6 } }],
    held: [{ concurrency: { max: 2 } }],
  };

  before(async () => {
    place = new Place(text(filters));
    up = await place.start().up();
    port = await up.port();
  });

  after(async () => {
    assert.equal(await up.stop(), 0);
    assert.deepEqual(place.leftovers(), []);
    await place[Symbol.asyncDispose]();
  });

  it(
    'five an hour are five, by whichever worker; the others get 429 and are told when to come back',
    BOUND,
    async () => {
      const answers = await many(port, '/few/pid', 60);
      assert.deepEqual(statuses(answers), { 200: 5, 429: 55 });
      const refused = answers.find(({ status }) => status === 429)!;
      assert.equal(problem(refused).code, 'rate-limited');
      const retryAfter = Number(refused.headers['retry-after']);
      assert.ok(retryAfter > 700 && retryAfter <= 720, `${retryAfter}`);
      assert.equal(refused.headers['ratelimit-policy'], '"client";q=5;w=3600');
      assert.match(String(refused.headers['ratelimit']), /^"client";r=0;t=\d+$/);
      assert.equal(refused.headers['ratelimit-remaining'], '0');
      const passed = answers
        .filter(({ status }) => status === 200)
        .map(({ headers }) => headers['ratelimit-remaining']);
      assert.deepEqual(passed.toSorted(), passed.toSorted().toReversed().toReversed());
      assert.ok(passed.every((remaining) => Number(remaining) < 5));
      assert.deepEqual(statuses(await many(port, '/few/pid', 10, { 'x-forwarded-for': '192.0.2.1' })), {
        200: 5,
        429: 5,
      });
      await until(
        'refusals are counted',
        async () => (await metric(up, /^dormouse_rate_limited_total\{route="few"\} (\d+)$/m)) === 60,
      );
    },
  );

  it('by header', BOUND, async () => {
    const [one, two] = await Promise.all(['a', 'b'].map((user) => many(port, '/header/pid', 9, { 'x-user': user })));
    assert.deepEqual(
      [statuses(one!), statuses(two!)],
      [
        { 200: 3, 429: 6 },
        { 200: 3, 429: 6 },
      ],
    );
  });

  it('a request that is refused wakes nobody', BOUND, async () => {
    const { phase, wakes } = await up.backend('asleep');
    assert.deepEqual([phase, wakes], ['asleep', 0]);
    assert.equal((await ask(port, '/asleep/pid')).status, 200);
    assert.equal((await place.run('sleep', 'asleep')).code, 0);
    const before = (await up.backend('asleep')).wakes;
    assert.deepEqual(statuses(await many(port, '/asleep/pid', 30)), { 429: 30 });
    const after = await up.backend('asleep');
    assert.deepEqual([after.phase, after.wakes], ['asleep', before]);
  });

  it('buckets go on over a reload', BOUND, async () => {
    assert.deepEqual(statuses(await many(port, '/reloaded/pid', 20)), { 200: 20 });
    place.write(text({ ...filters, more: [] }));
    assert.equal((await place.run('reload')).code, 0);
    const { 200: passed = 0 } = statuses(await many(port, '/reloaded/pid', 40));
    // Each worker may have a batch that the others can't use: an eighth of what is free at most.
    assert.ok(passed <= 10 && passed >= 10 - 3 * 2, `${passed}`);
  });

  it('buckets go on when workers are killed', BOUND, async () => {
    assert.deepEqual(statuses(await many(port, '/killed/pid', 20)), { 200: 20 });
    const pids = await up.workers();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until('all are replaced', async () => {
      const now = await up.workers();
      return now.length === 3 && now.every((pid) => !pids.includes(pid));
    });
    const { 200: passed = 0 } = statuses(await many(port, '/killed/pid', 40));
    assert.ok(passed <= 10 && passed >= 4, `${passed}`);
  });

  it('in flight at most, over all workers; each that ends makes room', BOUND, async () => {
    await ask(port, '/slots/pid');
    const waiting = many(port, '/slots/wait?file=slots-go', 20);
    const early = await Promise.race([
      waiting.then(() => 'all'),
      until(
        '16 are refused',
        async () => (await metric(up, /^dormouse_concurrency_limited_total\{route="slots"\} (\d+)$/m)) >= 16,
      ),
    ]);
    assert.equal(early, true);
    place.touch('slots-go');
    const answers = await waiting;
    const { 200: passed = 0, 503: over = 0 } = statuses(answers);
    // The slot of the first request may have been on its way back.
    assert.ok(passed <= 4 && passed >= 3 && passed + over === 20, `${passed} passed, ${over} were refused`);
    const refused = answers.find(({ status }) => status === 503)!;
    assert.equal(problem(refused).code, 'concurrency-limited');
    assert.equal(refused.headers['retry-after'], '1');
    await until('all slots are free again', async () => {
      const again = await many(port, '/slots/slow?ms=200', 4);
      return again.every(({ status }) => status === 200);
    });
  });

  it('per client', BOUND, async () => {
    await ask(port, '/each/pid');
    const asks = ['192.0.2.1', '192.0.2.1', '192.0.2.2'].map((client) =>
      ask(port, { path: '/each/slow?ms=500', headers: { 'x-forwarded-for': client } }),
    );
    const answers = await Promise.all(asks);
    assert.deepEqual(answers.map(({ status }) => status).toSorted(), [200, 200, 503]);
    assert.equal(answers[2]!.status, 200);
  });

  it('clients that leave in the middle give their slot back, thousands of them', BOUND, async () => {
    await ask(port, '/slots/pid');
    for (let round = 0; round < 50; round++) {
      const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.connect(port)));
      for (const [index, client] of clients.entries()) {
        client.send(`GET /slots/slow?ms=1000 HTTP/1.1\r\nHost: x\r\n\r\n`);
        // Some are gone before the answer whether there is room.
        if (index % 2 === 0) client.reset();
      }
      await new Promise(setImmediate);
      for (const client of clients) client.reset();
    }
    await until('all slots are free again', async () => {
      const again = await many(port, '/slots/slow?ms=200', 4);
      return again.every(({ status }) => status === 200);
    });
  });

  it('slots of a worker that is killed come back', BOUND, async () => {
    await ask(port, '/mortal/pid');
    // The slot of a request before may be on its way back: whoever is refused asks again.
    const lost = Array.from({ length: 6 }, async () => {
      for (;;) {
        const answer = await ask(port, '/mortal/wait?file=never');
        if (answer.status !== 503) return answer;
      }
    });
    await until(
      'all slots are taken',
      async () => (await metric(up, /^dormouse_requests_in_flight\{backend="mortal"\} (\d+)$/m)) === 6,
    );
    assert.equal((await ask(port, '/mortal/pid')).status, 503);
    const pids = await up.workers();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    assert.deepEqual(statuses(await Promise.all(lost)), { 0: 6 });
    await until('the slots are free', async () => {
      const again = await many(port, '/mortal/slow?ms=200', 6);
      return again.every(({ status }) => status === 200);
    });
  });

  it('requests that are held count; the ones beyond them are refused while it wakes', BOUND, async () => {
    assert.equal((await up.backend('held')).phase, 'asleep');
    const answers = await many(port, '/held/slow?ms=100', 10);
    assert.deepEqual(statuses(answers), { 200: 2, 503: 8 });
    assert.equal((await up.backend('held')).wakes, 1);
  });
});
