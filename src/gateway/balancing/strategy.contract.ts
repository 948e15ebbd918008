/** What every strategy keeps to. registry.test.ts runs it against each of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { BalanceConfig } from '../../model/config.ts';
import { endpoints, pickContext, type TestEndpoint } from './endpoints.fixture.ts';
import type { StrategyFactory } from './strategy.ts';

export function strategyContract(name: string, factory: StrategyFactory): void {
  const balance: BalanceConfig = { strategy: name, hash: null, sticky: null, slowStartMs: 0 };
  const make = (weights: readonly number[]) => {
    const strategy = factory<TestEndpoint>(balance);
    const list = endpoints(weights);
    strategy.update(list);
    return { strategy, list };
  };

  describe(name, () => {
    test('has nothing to give before it was told of endpoints, and after they left', () => {
      const strategy = factory<TestEndpoint>(balance);
      assert.equal(strategy.pick(pickContext(), null), null);
      strategy.update(endpoints([1, 1]));
      assert.notEqual(strategy.pick(pickContext(), null), null);
      strategy.update([]);
      assert.equal(strategy.pick(pickContext(), null), null);
    });

    test('gives the only endpoint, unless it was tried', () => {
      const { strategy, list } = make([3]);
      for (let i = 0; i < 5; i++) assert.equal(strategy.pick(pickContext(), null), list[0]);
      assert.equal(strategy.pick(pickContext(), [list[0]!]), null);
    });

    test('never gives an endpoint of weight 0', () => {
      const { strategy, list } = make([0, 1, 0, 2]);
      for (let i = 0; i < 100; i++) {
        const picked = strategy.pick(pickContext(String(i)), i % 2 === 0 ? null : [list[1]!]);
        assert.ok(picked !== null && picked.weight > 0);
      }
      strategy.update(endpoints([0, 0]));
      assert.equal(strategy.pick(pickContext(), null), null);
    });

    test('a retry goes through all endpoints before it gets null, whatever the weights and loads are', () => {
      const context = pickContext();
      fc.assert(
        fc.property(
          fc.array(fc.record({ weight: fc.integer({ min: 0, max: 5 }), inFlight: fc.nat({ max: 3 }) }), {
            maxLength: 6,
          }),
          (shapes) => {
            const { strategy, list } = make(shapes.map((shape) => shape.weight));
            shapes.forEach((shape, i) => (list[i]!.inFlight = shape.inFlight));
            const tried: TestEndpoint[] = [];
            for (let picked = strategy.pick(context, null); picked !== null; picked = strategy.pick(context, tried)) {
              assert.ok(!tried.includes(picked));
              tried.push(picked);
            }
            assert.deepEqual(new Set(tried), new Set(list.filter((endpoint) => endpoint.weight > 0)));
          },
        ),
        { numRuns: 200 },
      );
    });

    test('after an update it gives only what is still there, and soon what is new', () => {
      const { strategy, list } = make([1, 1, 1]);
      for (let i = 0; i < 10; i++) strategy.pick(pickContext(String(i)), null);
      const [a, , c] = list;
      const added = endpoints([1], 'new');
      strategy.update([a!, c!, ...added]);
      const seen = new Set<string>();
      const context = pickContext();
      for (let i = 0; i < 200; i++) seen.add(strategy.pick({ ...context, client: `10.0.0.${i}` }, null)!.id);
      assert.deepEqual([...seen].sort(), [a!.id, c!.id, added[0]!.id].sort());
    });

    test('leaves inFlight alone', () => {
      const { strategy, list } = make([1, 2]);
      list[0]!.inFlight = 4;
      for (let i = 0; i < 10; i++) strategy.pick(pickContext(String(i)), null);
      assert.deepEqual(
        list.map((endpoint) => endpoint.inFlight),
        [4, 0],
      );
    });

    test('over many clients each endpoint gets its share of the weights', () => {
      // Each request ends before the next one comes, so that nobody is more loaded than the others.
      const weights = [1, 2, 5];
      const { strategy, list } = make(weights);
      const context = pickContext();
      const counts = new Map<TestEndpoint, number>();
      const total = 16_000;
      for (let i = 0; i < total; i++) {
        const picked = strategy.pick({ ...context, client: `client-${i}` }, null)!;
        counts.set(picked, (counts.get(picked) ?? 0) + 1);
      }
      list.forEach((endpoint, i) => {
        const share = (counts.get(endpoint) ?? 0) / total;
        const expected = weights[i]! / 8;
        assert.ok(Math.abs(share - expected) < 0.02, `${endpoint.id}: ${share}, expected ${expected}`);
      });
    });
  });
}
