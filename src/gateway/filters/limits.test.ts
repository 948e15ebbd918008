import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Gateways } from '../limits/limits.fixture.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import { compileFilters, type CompiledFilters } from './compile-filters.ts';
import { RequestEdit } from './edits.ts';
import type { Answer } from './filter.ts';
import { filter, filterContext, filterServices, issues } from './filters.fixture.ts';
import { clientKey } from './limit-key.ts';
import { filters } from './all-filters.fixture.ts';

class World {
  readonly gateways = new Gateways();
  readonly compiled: CompiledFilters;

  constructor(...list: [string, unknown][]) {
    const limits = this.gateways.add('g0');
    this.compiled = compileFilters(
      list.map(([type, options]) => filter(type, options)),
      filters,
      filterContext(),
      filterServices({ limits, clock: this.gateways.time }),
    );
  }

  /** One request; `before`: what earlier filters found. */
  async ask(
    parts: ViewParts & { client?: string } = {},
    before: (edit: RequestEdit) => void = () => {},
  ): Promise<{ answer: Answer | null; edit: RequestEdit; lines: string[] }> {
    const edit = new RequestEdit();
    edit.begin(requestView(parts), parts.client ?? '192.0.2.1', 'http');
    before(edit);
    const verdict = this.compiled.request!(edit);
    await this.gateways.settle();
    const answer = await verdict;
    return { answer, edit, lines: edit.responseLines.split('\r\n').slice(0, -1) };
  }

  async statuses(requests: readonly (ViewParts & { client?: string })[]): Promise<number[]> {
    const all: number[] = [];
    for (const parts of requests) all.push((await this.ask(parts)).answer?.status ?? 200);
    return all;
  }
}

const over = (edit: RequestEdit): void => {
  for (const end of edit.ends ?? []) end();
};

describe('rateLimit', () => {
  test('a client that is over it gets 429 with Retry-After and what the limit is; others are not touched', async () => {
    const world = new World(['rateLimit', { limit: 2, window: '10s' }]);
    assert.deepEqual((await world.ask()).lines, [
      'RateLimit-Policy: "client";q=2;w=10',
      'RateLimit: "client";r=1;t=5',
      'RateLimit-Limit: 2',
      'RateLimit-Remaining: 1',
      'RateLimit-Reset: 5',
    ]);
    await world.ask();
    const { answer, lines } = await world.ask();
    assert.equal(answer!.status, 429);
    assert.match(answer!.headers, /^Retry-After: 5\r\nContent-Type: application\/problem\+json\r\n$/);
    assert.deepEqual(JSON.parse(answer!.body), {
      type: 'about:blank',
      title: 'Too Many Requests',
      status: 429,
      detail: 'Too many requests: the next one is answered in 5 s.',
      code: 'rate-limited',
    });
    assert.ok(lines.includes('RateLimit: "client";r=0;t=10') && lines.includes('RateLimit-Remaining: 0'));
    assert.equal((await world.ask({ client: '192.0.2.2' })).answer, null);
    world.gateways.time.advance(5000);
    await world.gateways.settle();
    assert.equal((await world.ask()).answer, null);
  });

  test('burst, status, and which fields', async () => {
    const world = new World([
      'rateLimit',
      { limit: 10, window: '1s', burst: 25, name: 'api', headers: 'standard', status: 503 },
    ]);
    const { lines } = await world.ask();
    assert.deepEqual(lines, ['RateLimit-Policy: "api";q=25', 'RateLimit: "api";r=24;t=1']);
    const statuses = await world.statuses(Array.from({ length: 30 }, () => ({})));
    assert.deepEqual([statuses.filter((status) => status === 200).length, statuses.at(-1)], [24, 503]);
    const legacy = new World(['rateLimit', { limit: 10, headers: 'legacy' }]);
    assert.equal((await legacy.ask()).lines.length, 3);
    assert.deepEqual((await new World(['rateLimit', { limit: 10, headers: 'off' }]).ask()).lines, []);
  });

  test('two limits: both are listed, and of the older fields those of the one that leaves least', async () => {
    const world = new World(
      ['rateLimit', { limit: 100, key: 'client' }],
      ['rateLimit', { limit: 3, key: 'route' }],
      ['rateLimit', { limit: 50, key: { header: 'x-user' } }],
    );
    const { lines } = await world.ask();
    assert.deepEqual(
      lines.filter((line) => line.startsWith('RateLimit:')),
      ['RateLimit: "client";r=99;t=1', 'RateLimit: "route";r=2;t=20', 'RateLimit: "header";r=49;t=2'],
    );
    assert.deepEqual(
      lines.filter((line) => line.startsWith('RateLimit-Remaining')),
      ['RateLimit-Remaining: 2'],
    );
    await world.ask();
    await world.ask();
    const refused = await world.ask();
    assert.equal(refused.answer!.status, 429);
    assert.ok(refused.lines.includes('RateLimit-Limit: 3'));
  });

  test('by header, and what becomes of requests without it', async () => {
    const two = [{ headers: [['X-User', 'a']] }, { headers: [['X-User', 'a']] }] as const;
    const none = [{}, {}, { client: '192.0.2.9' }];
    const run = (missing: string): Promise<number[]> =>
      new World(['rateLimit', { limit: 1, key: { header: 'X-User' }, missing }]).statuses([
        ...two,
        { headers: [['X-User', 'b']] },
        ...none,
      ]);
    assert.deepEqual(await run('client'), [200, 429, 200, 200, 429, 200]);
    assert.deepEqual(await run('shared'), [200, 429, 200, 200, 429, 429]);
    assert.deepEqual(await run('allow'), [200, 429, 200, 200, 200, 200]);
  });

  test('a credential in a header is not told to anybody', async () => {
    const world = new World(['rateLimit', { limit: 1, key: { header: 'authorization' } }]);
    await world.ask({ headers: [['Authorization', 'Bearer verysecret']] });
    assert.doesNotMatch(JSON.stringify(world.gateways.messages), /verysecret/);
  });

  test('by claim and by identity, as the filters before found them', async () => {
    const run = async (key: unknown, befores: ((edit: RequestEdit) => void)[]): Promise<number[]> => {
      const world = new World(['rateLimit', { limit: 1, key, missing: 'allow' }]);
      const all: number[] = [];
      for (const before of befores) all.push((await world.ask({}, before)).answer?.status ?? 200);
      return all;
    };
    const claims =
      (given: Record<string, unknown>) =>
      (edit: RequestEdit): void =>
        void (edit.claims = given);
    assert.deepEqual(
      await run({ claim: 'tenant' }, [
        claims({ tenant: 'a' }),
        claims({ tenant: 'a' }),
        claims({ tenant: 7 }),
        claims({ tenant: 'b'.repeat(5000) }),
        claims({ tenant: 'b'.repeat(5000) }),
        claims({ tenant: ['a'] }),
        claims({ tenant: ['a'] }),
        () => {},
        claims({}),
      ]),
      [200, 429, 200, 200, 429, 200, 200, 200, 200],
    );
    assert.deepEqual(await run({ claim: 'constructor' }, [claims({}), claims({})]), [200, 200]);
    const identity =
      (name: string) =>
      (edit: RequestEdit): void =>
        void (edit.identity = name);
    assert.deepEqual(
      await run('identity', [identity('ann'), identity('ann'), identity('bob'), identity('')]),
      [200, 429, 200, 200],
    );
  });

  test('addresses of one IPv6 network are one client', () => {
    assert.equal(clientKey('192.0.2.1'), 'c:192.0.2.1');
    assert.equal(clientKey('2001:db8:1:2:3:4:5:6'), 'c:2001:db8:1:2');
    assert.equal(clientKey('2001:0DB8:1:2::9'), clientKey('2001:db8:1:2:ffff::1'));
    assert.notEqual(clientKey('2001:db8:1:2::1'), clientKey('2001:db8:1:3::1'));
    assert.equal(clientKey('::1'), 'c:0:0:0:0');
    assert.equal(clientKey('64:ff9b::192.0.2.33'), 'c:64:ff9b:0:0');
    assert.equal(clientKey('2001:db8::'), 'c:2001:db8:0:0');
  });

  test('options that are wrong are told, never with the password', () => {
    assert.deepEqual(issues('rateLimit', {}), ['limit: is missing']);
    assert.equal(issues('rateLimit', { limit: 0 }).length, 1);
    assert.equal(issues('rateLimit', { limit: 5, window: '2d' }).length, 1);
    assert.equal(issues('rateLimit', { limit: 5, key: 'somebody' }).length, 1);
    assert.equal(issues('rateLimit', { limit: 5, key: { header: 'a', claim: 'b' } }).length, 1);
    assert.equal(issues('rateLimit', { limit: 5, name: 'a"b' }).length, 1);
    for (const url of ['http://:hunter2@x', 'redis://:hunter2@x/a b', ':hunter2', 'redis://']) {
      const found = issues('rateLimit', { limit: 5, redis: { url } });
      assert.equal(found.length, 1, url);
      assert.doesNotMatch(found[0]!, /hunter2/);
    }
    assert.deepEqual(issues('rateLimit', { limit: 5, redis: { url: 'rediss://u:p@redis.example:6380/2' } }), []);
  });
});

describe('concurrency', () => {
  test('over it 503 with Retry-After; whoever ends makes room', async () => {
    const world = new World(['concurrency', { max: 2, retryAfter: '3s' }]);
    const [one, two] = [await world.ask(), await world.ask()];
    assert.deepEqual([one.answer, two.answer], [null, null]);
    const { answer, edit } = await world.ask();
    assert.equal(answer!.status, 503);
    assert.match(answer!.headers, /^Retry-After: 3\r\n/);
    assert.equal(JSON.parse(answer!.body).code, 'concurrency-limited');
    over(edit);
    assert.equal((await world.ask()).answer!.status, 503, 'one that was refused gives nothing back');
    over(one.edit);
    await world.gateways.settle();
    assert.equal((await world.ask()).answer, null);
  });

  test('per client', async () => {
    const world = new World(['concurrency', { max: 1, per: 'client', status: 429 }]);
    assert.deepEqual(await world.statuses([{}, {}, { client: '192.0.2.2' }]), [200, 429, 200]);
  });

  test('a client that is gone before it is known whether there is room leaves nothing behind', async () => {
    const world = new World(['concurrency', { max: 1 }]);
    const edit = new RequestEdit();
    edit.begin(requestView(), '192.0.2.1', 'http');
    const verdict = world.compiled.request!(edit);
    over(edit);
    await world.gateways.settle();
    await verdict;
    await world.gateways.settle();
    assert.equal((await world.ask()).answer, null);
  });

  test('options that are wrong are told', () => {
    assert.deepEqual(issues('concurrency', {}), ['max: is missing']);
    assert.equal(issues('concurrency', { max: 1, retryAfter: '1ms' }).length, 1);
  });
});
