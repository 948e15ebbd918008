import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { HashKey } from '../../model/config.ts';
import type { ViewParts } from '../request-view.fixture.ts';
import { ConsistentHash } from './consistent-hash.ts';
import { endpoints, pickContext, seededRandom, tally, type TestEndpoint } from './endpoints.fixture.ts';
import { cookieValue } from './hash-key.ts';

function hashing(hash: HashKey | null, list: readonly TestEndpoint[]): ConsistentHash<TestEndpoint> {
  const strategy = new ConsistentHash<TestEndpoint>({
    strategy: 'consistent-hash',
    hash,
    sticky: null,
    slowStartMs: 0,
  });
  strategy.update(list);
  return strategy;
}

const clients = Array.from({ length: 4_000 }, (_, i) => `10.${i >> 8}.${i & 255}.7`);

function placement(list: readonly TestEndpoint[]): Map<string, string> {
  const strategy = hashing({ by: 'client' }, list);
  const context = pickContext();
  return new Map(clients.map((client) => [client, strategy.pick({ ...context, client }, null)!.id]));
}

test('keys are spread by weight', () => {
  for (const weights of [
    [1, 1, 1, 1],
    [1, 2, 3, 10],
  ]) {
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const counts = tally(hashing(null, endpoints(weights)), clients.length, pickContext(), (i) => clients[i]!);
    weights.forEach((weight, i) => {
      const share = counts.get(`e-${i}`)! / clients.length;
      assert.ok(Math.abs(share - weight / sum) < 0.025, `${i}: ${share}`);
    });
  }
});

test('when an endpoint leaves, only its keys move; when one comes, keys move to it only', () => {
  const weight = fc.integer({ min: 1, max: 4 });
  fc.assert(
    fc.property(fc.array(weight, { minLength: 2, maxLength: 8 }), fc.nat(), (weights, which) => {
      const list = endpoints(weights);
      const leaving = list[which % list.length]!;
      const before = placement(list);
      const after = placement(list.filter((endpoint) => endpoint !== leaving));
      for (const client of clients) {
        if (before.get(client) !== leaving.id) assert.equal(after.get(client), before.get(client));
      }
    }),
    { numRuns: 20 },
  );
});

test('the keys of an endpoint that left spread over all the others', () => {
  const list = endpoints([1, 1, 1, 1, 1]);
  const before = placement(list);
  const after = placement(list.slice(1));
  const moved = new Map<string, number>();
  for (const client of clients) {
    if (before.get(client) === 'e-0') moved.set(after.get(client)!, (moved.get(after.get(client)!) ?? 0) + 1);
  }
  for (const count of moved.values()) assert.ok(count > 130 && count < 270, [...moved].join(' '));
  assert.equal(moved.size, 4);
});

test('workers agree: order of the list, history and randomness do not matter', () => {
  const list = endpoints([1, 2, 1, 3]);
  const a = hashing(null, list);
  const b = hashing(null, []);
  b.update(list.slice(1));
  b.update(list.toReversed());
  for (const client of clients.slice(0, 500)) {
    assert.equal(a.pick(pickContext(client, {}, 1), null), b.pick(pickContext(client, {}, 2), null));
  }
});

test('the next one for a retry is where the key would go without the endpoint that was tried', () => {
  const list = endpoints([1, 2, 1, 3]);
  const strategy = hashing(null, list);
  for (const client of clients.slice(0, 500)) {
    const context = pickContext(client);
    const first = strategy.pick(context, null)!;
    const rest = hashing(
      null,
      list.filter((endpoint) => endpoint !== first),
    );
    assert.equal(strategy.pick(context, [first]), rest.pick(context, null));
  }
});

describe('keys', () => {
  const list = endpoints(Array.from({ length: 16 }, () => 1));
  /** Same place for all of `same`, and not the same for all of `different`. */
  function keeps(hash: HashKey, same: ViewParts[], different: ViewParts[]): void {
    const strategy = hashing(hash, list);
    const of = (parts: ViewParts, i: number): string => strategy.pick(pickContext(`10.0.0.${i}`, parts, i), null)!.id;
    assert.equal(new Set(same.map(of)).size, 1);
    assert.ok(new Set(different.map(of)).size > 1);
  }

  test('header', () => {
    keeps(
      { by: 'header', name: 'X-User' },
      [
        { target: '/a', headers: [['x-user', 'ann']] },
        {
          target: '/b',
          headers: [
            ['Accept', '*/*'],
            ['X-USER', 'ann'],
          ],
        },
      ],
      ['a', 'b', 'c', 'd'].map((user) => ({ headers: [['x-user', user]] })),
    );
  });

  test('cookie', () => {
    keeps(
      { by: 'cookie', name: 'id' },
      [
        { headers: [['Cookie', 'id=7']] },
        { headers: [['Cookie', 'xid=8; id=7; id=9']] },
        {
          headers: [
            ['Cookie', 'theme=dark'],
            ['Cookie', 'id=7'],
          ],
        },
      ],
      ['a', 'b', 'c', 'd'].map((id) => ({ headers: [['Cookie', `id=${id}`]] })),
    );
  });

  test('uri is path and query', () => {
    keeps(
      { by: 'uri' },
      [{ target: '/x?y=1', headers: [['a', 'b']] }, { target: '/x?y=1' }],
      [{ target: '/x?y=1' }, { target: '/x?y=2' }, { target: '/x' }, { target: '/y' }],
    );
  });

  test('without the key, requests are spread', () => {
    const random = seededRandom(5);
    for (const hash of [
      { by: 'header', name: 'x-user' },
      { by: 'cookie', name: 'id' },
    ] as const) {
      const strategy = hashing(hash, list);
      const ids = Array.from({ length: 400 }, () => strategy.pick({ ...pickContext(), random }, null)!.id);
      assert.equal(new Set(ids).size, list.length);
    }
  });

  test('a connection without a request is placed by its client', () => {
    const strategy = hashing(null, list);
    const context = { view: null, client: '10.0.0.1', random: seededRandom(1) };
    assert.equal(strategy.pick(context, null), strategy.pick(context, null));
    assert.ok(hashing({ by: 'uri' }, list).pick(context, null) !== null);
  });
});

for (const [cookies, expected] of [
  ['id=1', '1'],
  ['a=b; id=1', '1'],
  ['a=b;id=1 ; c=d', '1'],
  ['id=', ''],
  ['xid=1', null],
  ['id', null],
  ['idx=1', null],
  ['a=id=1', null],
  ['', null],
] as const) {
  test(`the cookie id in "${cookies}" is ${expected}`, () => assert.equal(cookieValue(cookies, 'id'), expected));
}
