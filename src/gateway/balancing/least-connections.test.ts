import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { endpoints, pickContext, seededRandom, tally } from './endpoints.fixture.ts';
import { LeastConnections } from './least-connections.ts';

test('takes one with the fewest in flight for its weight', () => {
  const context = pickContext();
  const shape = fc.record({ weight: fc.integer({ min: 1, max: 5 }), inFlight: fc.nat({ max: 20 }) });
  fc.assert(
    fc.property(fc.array(shape, { minLength: 1, maxLength: 8 }), (shapes) => {
      const strategy = new LeastConnections();
      const list = endpoints(shapes.map(({ weight }) => weight));
      shapes.forEach(({ inFlight }, i) => (list[i]!.inFlight = inFlight));
      strategy.update(list);
      const picked = strategy.pick(context, null)!;
      for (const other of list) assert.ok(picked.inFlight / picked.weight <= other.inFlight / other.weight);
    }),
  );
});

test('equals take turns', () => {
  const strategy = new LeastConnections();
  const list = endpoints([1, 1, 1, 1]);
  list[3]!.inFlight = 1;
  strategy.update(list);
  assert.deepEqual([...tally(strategy, 300, pickContext()).values()], [100, 100, 100]);
});

test('a slow endpoint gets less: what is in flight stays within one of even', () => {
  const strategy = new LeastConnections<ReturnType<typeof endpoints>[number]>();
  const list = endpoints([1, 1, 1]);
  strategy.update(list);
  const context = pickContext();
  const random = seededRandom(3);
  const served = [0, 0, 0];
  const running: number[] = [];
  for (let i = 0; i < 3_000; i++) {
    const at = list.indexOf(strategy.pick(context, null)!);
    list[at]!.inFlight++;
    served[at]!++;
    running.push(at);
    const loads = list.map((endpoint) => endpoint.inFlight);
    assert.ok(Math.max(...loads) - Math.min(...loads) <= 3, loads.join());
    // Endpoint 0 needs ten times as long.
    for (let k = running.length - 1; k >= 0 && running.length > 6; k--) {
      if (random() < (running[k] === 0 ? 0.05 : 0.5)) list[running.splice(k, 1)[0]!]!.inFlight--;
    }
  }
  assert.ok(served[0]! * 3 < served[1]! && served[0]! * 3 < served[2]!, served.join());
});
