import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { backendConfig, World } from './controller.fixture.ts';
import { Leases } from './leases.ts';

test('an ask is always answered: with what remains, or with nothing', async () => {
  const world = new World();
  await world.configure(backendConfig('shop', { wake: { maxHeld: 10, maxHeldBytes: 1000 } }));
  const [one, two] = [world.gateway(), world.gateway()];
  const ask = (gateway: typeof one, holds: number, bytes: number, backend = 'shop') => {
    gateway.say({ type: 'lease-ask', backend, holds, bytes });
    const last = gateway.received.at(-1);
    return last?.type === 'lease' ? [last.holds, last.bytes] : null;
  };
  assert.deepEqual(ask(one, 8, 100), [8, 100]);
  assert.deepEqual(ask(two, 8, 100), [2, 100]);
  assert.deepEqual(ask(two, 1, 0), [0, 0]);
  assert.deepEqual(ask(two, 1, 1, 'nobody'), [0, 0]);
  one.say({ type: 'lease-return', backend: 'shop', holds: 3, bytes: 0 });
  assert.deepEqual(ask(two, 5, 0), [3, 0]);
  one.close();
  assert.deepEqual(ask(two, 50, 5000), [5, 900], 'what the closed link had came back');
  await world.configure(backendConfig('shop', { wake: { maxHeld: 12, maxHeldBytes: 1000 } }));
  assert.deepEqual(ask(two, 50, 0), [2, 0]);
  await world.end();
});

test('never more than the total is out, whoever asks and returns what', () => {
  const step = fc.record({
    gateway: fc.nat(3),
    what: fc.constantFrom('ask', 'return', 'forget'),
    holds: fc.nat(20),
    bytes: fc.nat(300),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const leases = new Leases<number>({ maxHeld: 30, maxHeldBytes: 400 });
      const out = new Map<number, { holds: number; bytes: number }>();
      for (const { gateway, what, holds, bytes } of steps) {
        const has = out.get(gateway) ?? { holds: 0, bytes: 0 };
        if (what === 'ask') {
          const granted = leases.ask(gateway, { holds, bytes });
          assert.ok(granted.holds <= holds && granted.bytes <= bytes);
          out.set(gateway, { holds: has.holds + granted.holds, bytes: has.bytes + granted.bytes });
        } else if (what === 'return') {
          leases.giveBack(gateway, { holds, bytes });
          out.set(gateway, { holds: Math.max(0, has.holds - holds), bytes: Math.max(0, has.bytes - bytes) });
        } else {
          leases.forget(gateway);
          out.delete(gateway);
        }
        const sum = [...out.values()].reduce(
          (all, one) => ({ holds: all.holds + one.holds, bytes: all.bytes + one.bytes }),
          { holds: 0, bytes: 0 },
        );
        assert.deepEqual(leases.remaining, { holds: 30 - sum.holds, bytes: 400 - sum.bytes });
        assert.ok(sum.holds <= 30 && sum.bytes <= 400);
      }
    }),
  );
});
