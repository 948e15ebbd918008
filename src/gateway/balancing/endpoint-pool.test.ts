import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GatewayBackendConfig } from '../../link/messages.ts';
import type { Endpoint } from '../../model/backend.ts';
import { backendConfig } from '../fixtures/gateway-harness.ts';
import { TestWaiter } from '../hold/waiter.fixture.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import { EndpointPool } from './endpoint-pool.ts';
import { strategies } from './registry.ts';

interface Made {
  pool: EndpointPool;
  told: string[];
  pick(waiter?: TestWaiter): string;
  /** How often each is chosen. */
  shares(picks: number): Record<string, number>;
  one(id: string): UpstreamEndpoint;
}

function make(
  endpoints: (Partial<Endpoint> & { id: string })[],
  more: Parameters<typeof backendConfig>[1] = {},
  nowMs = 0,
): Made {
  const told: string[] = [];
  const pool = new EndpointPool(backendConfig('shop', more), {
    createStrategy: (config: GatewayBackendConfig) => strategies[config.balance.strategy]!(config.balance),
    onEjected: ({ id }, reason, forMs) => told.push(`${id} ${reason} ${forMs}`),
    onReturned: ({ id }) => told.push(`${id} back`),
  });
  pool.apply(list(endpoints), 1, nowMs);
  const waiter = new TestWaiter();
  const pick = (who = waiter): string => pool.pick(who)?.id ?? '-';
  return {
    pool,
    told,
    pick,
    shares: (picks) => {
      const counts: Record<string, number> = {};
      for (let i = 0; i < picks; i++) {
        const id = pick();
        counts[id] = (counts[id] ?? 0) + 1;
      }
      return counts;
    },
    one: (id) => pool.all.get(id)!,
  };
}

function list(endpoints: (Partial<Endpoint> & { id: string })[]): Endpoint[] {
  return endpoints.map((endpoint) => ({ host: '127.0.0.1', port: 1, weight: 1, state: 'ready', ...endpoint }));
}

function fail({ pool, one }: Made, id: string, times: number, nowMs: number): void {
  for (let i = 0; i < times; i++) pool.result(one(id), true, nowMs);
}

const four = [{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd' }];

describe('ejection of endpoints', () => {
  test('takes the one that fails out, for the base time', () => {
    const made = make(four);
    fail(made, 'a', 5, 1000);
    assert.deepEqual(made.told, ['a consecutive-errors 30000']);
    assert.deepEqual(made.pool.ejected(), ['a']);
    assert.deepEqual(made.shares(30), { b: 10, c: 10, d: 10 });
    assert.equal(made.pool.tick(30_999), false);
    assert.equal(made.pool.tick(31_000), true);
    assert.deepEqual(made.told, ['a consecutive-errors 30000', 'a back']);
    assert.deepEqual(made.shares(40), { a: 10, b: 10, c: 10, d: 10 });
  });

  test('stops at the share that may be ejected', () => {
    const made = make(four);
    for (const id of ['a', 'b', 'c', 'd']) fail(made, id, 50, 0);
    assert.deepEqual(made.pool.ejected(), ['a', 'b']);
    assert.equal(made.pool.panicking, false);
  });

  test('never takes the only one', () => {
    const made = make([{ id: 'a' }]);
    fail(made, 'a', 100, 0);
    assert.equal(made.pick(), 'a');
    assert.deepEqual(made.told, []);
  });

  test('is ignored when fewer than half would be left (panic)', () => {
    const made = make(four);
    fail(made, 'a', 5, 0);
    fail(made, 'b', 5, 0);
    made.pool.apply(list([{ id: 'a' }, { id: 'b' }, { id: 'c' }]), 2, 10);
    assert.equal(made.pool.panicking, true);
    assert.deepEqual(made.shares(30), { a: 10, b: 10, c: 10 });
    made.pool.apply(list([...four, { id: 'e' }]), 3, 20);
    assert.equal(made.pool.panicking, false);
    assert.deepEqual(made.shares(30), { c: 10, d: 10, e: 10 });
  });

  test('is off with ejection: off, and a reload that switches it off takes everybody back', () => {
    const off = make(four, { ejection: null });
    fail(off, 'a', 1000, 0);
    assert.equal(off.shares(4).a, 1);
    const on = make(four);
    fail(on, 'a', 5, 0);
    on.pool.reconfigure(backendConfig('shop', { ejection: null }), 10);
    assert.equal(on.shares(4).a, 1);
    assert.equal(on.pool.quiet, true);
  });

  test('of an endpoint that the list doesn’t name any more is over', () => {
    const made = make(four);
    fail(made, 'a', 5, 0);
    made.pool.apply(list(four.slice(1)), 2, 10);
    assert.deepEqual(made.pool.ejected(), []);
    assert.equal(made.pool.quiet, true);
  });
});

describe('backups', () => {
  const withBackup = [{ id: 'a' }, { id: 'b' }, { id: 'z', backup: true }];

  test('get nothing while another one is usable', () => {
    assert.deepEqual(make(withBackup).shares(20), { a: 10, b: 10 });
  });

  test('stand in when all others are gone, and go back when one returns', () => {
    const made = make(withBackup);
    made.pool.apply(list([{ id: 'z', backup: true }]), 2, 0);
    assert.deepEqual(made.shares(3), { z: 3 });
    made.pool.apply(list(withBackup), 3, 0);
    assert.equal(made.shares(20).z, undefined);
  });

  test('stand in for a server that is ejected', () => {
    const made = make([{ id: 'a' }, { id: 'z', backup: true }]);
    fail(made, 'a', 5, 0);
    assert.equal(made.pick(), 'z');
    made.pool.tick(30_000);
    assert.equal(made.pick(), 'a');
  });

  test('take a request that has tried all others', () => {
    const made = make(withBackup);
    const waiter = new TestWaiter();
    waiter.tried = [made.one('a'), made.one('b')];
    assert.equal(made.pick(waiter), 'z');
    waiter.tried.push(made.one('z'));
    assert.equal(made.pick(waiter), '-');
  });

  test('don’t help out when the others are only full', () => {
    const made = make(withBackup, { endpoints: { maxRequests: 1 } });
    made.one('a').inFlight = 1;
    made.one('b').inFlight = 1;
    assert.equal(made.pick(), '-');
  });
});

describe('bounds of an endpoint', () => {
  test('maxConnections counts tunnels, maxRequests doesn’t', () => {
    const connections = make([{ id: 'a' }], { endpoints: { maxConnections: 2 } });
    connections.one('a').inFlight = 1;
    connections.one('a').tunnels = 1;
    assert.equal(connections.pick(), '-');
    const requests = make([{ id: 'a' }], { endpoints: { maxRequests: 2 } });
    requests.one('a').inFlight = 1;
    requests.one('a').tunnels = 5;
    assert.equal(requests.pick(), 'a');
    requests.one('a').inFlight = 2;
    assert.equal(requests.pick(), '-');
  });

  test('a full one is passed over', () => {
    const made = make(four, { endpoints: { maxRequests: 1 } });
    for (const id of ['a', 'c', 'd']) made.one(id).inFlight = 1;
    for (let i = 0; i < 8; i++) assert.equal(made.pick(), 'b');
  });
});

describe('slow start', () => {
  const balance = { strategy: 'round-robin', hash: null, sticky: null, slowStartMs: 10_000 };

  test('raises the share of an endpoint that became ready while others serve', () => {
    const made = make([{ id: 'a' }], { balance });
    made.pool.apply(list([{ id: 'a' }, { id: 'b' }]), 2, 0);
    assert.deepEqual(made.shares(110), { a: 100, b: 10 });
    made.pool.tick(5000);
    assert.deepEqual(made.shares(30), { a: 20, b: 10 });
    made.pool.tick(10_000);
    assert.deepEqual(made.shares(20), { a: 10, b: 10 });
    assert.equal(made.pool.quiet, true);
  });

  test('leaves a freshly woken endpoint its full weight when no other one is ready', () => {
    const made = make([], { balance });
    made.pool.apply(list([{ id: 'a' }]), 2, 0);
    assert.equal(made.one('a').weight, 1);
    assert.equal(made.pool.quiet, true);
  });

  test('begins anew after an ejection', () => {
    const made = make([{ id: 'a' }, { id: 'b' }], { balance });
    fail(made, 'a', 5, 0);
    made.pool.tick(30_000);
    assert.equal(made.one('a').weight, 0.1);
    made.pool.tick(35_000);
    assert.equal(made.one('a').weight, 0.5);
  });

  for (const strategy of Object.keys(strategies)) {
    test(`${strategy} gives less to one that starts slowly`, () => {
      const made = make([{ id: 'a' }], { balance: { ...balance, strategy } });
      made.pool.apply(list([{ id: 'a' }, { id: 'b' }]), 2, 0);
      const counts = { a: 0, b: 0 };
      for (let i = 0; i < 2000; i++)
        counts[made.pool.pick(new TestWaiter({}, `client-${i}`, i * 7919))!.id as 'a' | 'b']++;
      assert.ok(counts.b < 400, `${counts.b} of 2000`);
      assert.ok(counts.b > 20, `${counts.b} of 2000`);
    });
  }
});

describe('the sticky cookie', () => {
  const balance = {
    strategy: 'round-robin',
    hash: null,
    sticky: { cookie: 'route', ttlMs: 3_600_000 },
    slowStartMs: 0,
  };
  const cookieOf = (line: string): string => /^Set-Cookie: (route=[^;]+);/.exec(line)![1]!;
  const withCookie = (cookie: string): TestWaiter => new TestWaiter({ headers: [['Cookie', `x=1; ${cookie}; y=2`]] });

  test('is given with the first answer and keeps the client at its endpoint', () => {
    const made = make(four, { balance });
    const first = new TestWaiter();
    const endpoint = made.pool.pick(first)!;
    const line = made.pool.stickyLine(first, endpoint);
    assert.match(line, /^Set-Cookie: route=[0-9a-z]{13}; Path=\/; Max-Age=3600; HttpOnly; SameSite=Lax\r\n$/);
    for (let i = 0; i < 10; i++) {
      const again = withCookie(cookieOf(line));
      assert.equal(made.pool.pick(again), endpoint);
      assert.equal(made.pool.stickyLine(again, endpoint), '');
    }
  });

  test('says nothing about addresses or names', () => {
    const made = make([{ id: 'shop-1', host: '10.1.2.3', port: 4567 }], { balance });
    const waiter = new TestWaiter();
    const value = cookieOf(made.pool.stickyLine(waiter, made.pool.pick(waiter)!)).slice('route='.length);
    for (const secret of ['10.1', '4567', 'shop'])
      assert.ok(!value.includes(secret) && !Buffer.from(value, 'base64').toString('latin1').includes(secret));
  });

  test('is set anew when its endpoint is gone, drains, is ejected or was tried in vain', () => {
    const gone: [string, (made: Made, id: string) => void][] = [
      ['gone', ({ pool }, id) => pool.apply(list(four.filter((one) => one.id !== id)), 2, 0)],
      [
        'draining',
        ({ pool }, id) =>
          pool.apply(list(four.map((one) => (one.id === id ? { ...one, state: 'draining' } : one))), 2, 0),
      ],
      ['ejected', (made, id) => fail(made, id, 5, 0)],
    ];
    for (const [what, go] of gone) {
      const made = make(four, { balance });
      const first = new TestWaiter();
      const endpoint = made.pool.pick(first)!;
      const cookie = cookieOf(made.pool.stickyLine(first, endpoint));
      go(made, endpoint.id);
      const again = withCookie(cookie);
      const other = made.pool.pick(again)!;
      assert.notEqual(other, endpoint, what);
      assert.notEqual(cookieOf(made.pool.stickyLine(again, other)), cookie, what);
    }
    const made = make(four, { balance });
    const first = new TestWaiter();
    const endpoint = made.pool.pick(first)!;
    const again = withCookie(cookieOf(made.pool.stickyLine(first, endpoint)));
    again.tried = [endpoint];
    assert.notEqual(made.pool.pick(again), endpoint);
    assert.notEqual(made.pool.stickyLine(again, made.pool.pick(again)!), '');
  });

  test('stays when its endpoint is only full', () => {
    const made = make(four, { balance, endpoints: { maxRequests: 1 } });
    const first = new TestWaiter();
    const endpoint = made.pool.pick(first)!;
    endpoint.inFlight = 1;
    const again = withCookie(cookieOf(made.pool.stickyLine(first, endpoint)));
    const other = made.pool.pick(again)!;
    assert.notEqual(other, endpoint);
    assert.equal(made.pool.stickyLine(again, other), '');
  });

  test('one that somebody made up is answered with a new one', () => {
    const made = make(four, { balance });
    const waiter = withCookie('route=0000000000000');
    assert.notEqual(made.pool.stickyLine(waiter, made.pool.pick(waiter)!), '');
  });

  test('is Secure over TLS, lasts for the session without a ttl, and is nothing for a raw connection', () => {
    const made = make([{ id: 'a' }], { balance: { ...balance, sticky: { cookie: 'route', ttlMs: 0 } } });
    const waiter = new (class extends TestWaiter {
      override readonly secure = true;
    })();
    assert.match(made.pool.stickyLine(waiter, made.pool.pick(waiter)!), /Path=\/; HttpOnly; SameSite=Lax; Secure\r\n$/);
    const raw = new TestWaiter(null);
    assert.equal(made.pool.stickyLine(raw, made.pool.pick(raw)!), '');
  });
});
