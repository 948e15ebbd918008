import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../model/ports.ts';
import type { BackendObject } from './backend-object.ts';
import { AWAKE_UNTIL, Orders, SLEEP_AT, WAKE_AT } from './orders.ts';

const NOW = Date.parse('2030-01-01T12:00:00Z');

function world() {
  const done: string[] = [];
  const orders = new Orders({
    controller: {
      wake: async (name) => void done.push(`wake ${name}`),
      sleep: async (name) => {
        done.push(`sleep ${name}`);
        throw new Error('scale.min is 1');
      },
      pin: (name, untilMs) =>
        void done.push(`pin ${name} ${untilMs === null ? null : new Date(untilMs).toISOString()}`),
    },
    clock: { nowMs: () => 0, wallMs: () => NOW },
    logger: silentLogger,
    event: (_object, type, reason, note) => void done.push(`${type} ${reason}: ${note}`),
  });
  const object = (annotations: Record<string, string>, uid = 'a') =>
    ({ metadata: { name: 'shop', uid, annotations } }) as unknown as BackendObject;
  return { orders, object, done };
}

test('each wish is done once, and again for another time', async () => {
  const { orders, object, done } = world();
  orders.obey('a/shop', object({}));
  orders.obey('a/shop', object({ [WAKE_AT]: '2030-01-01T11:59:50Z' }));
  orders.obey('a/shop', object({ [WAKE_AT]: '2030-01-01T11:59:50Z' }));
  orders.obey('a/shop', object({ [WAKE_AT]: '2030-01-01T11:59:55Z', [SLEEP_AT]: '2030-01-01T12:00:01Z' }));
  await new Promise(setImmediate);
  assert.deepEqual(done, ['wake a/shop', 'wake a/shop', 'sleep a/shop', 'Warning SleepRefused: scale.min is 1']);
});

test('an old wish, as in a manifest that is applied again, is not done', () => {
  const { orders, object, done } = world();
  orders.obey('a/shop', object({ [WAKE_AT]: '2030-01-01T11:58:00Z', [SLEEP_AT]: 'now' }));
  assert.deepEqual(done, []);
});

test('a pin is set, moved and taken back; what is no time is told', () => {
  const { orders, object, done } = world();
  orders.obey('a/shop', object({ [AWAKE_UNTIL]: '2030-01-02T00:00:00Z' }));
  orders.obey('a/shop', object({ [AWAKE_UNTIL]: '2030-01-03T00:00:00Z' }));
  orders.obey('a/shop', object({ [AWAKE_UNTIL]: 'tomorrow' }));
  orders.obey('a/shop', object({}));
  orders.obey('a/shop', object({ [AWAKE_UNTIL]: '2030-01-03T00:00:00Z' }, 'b'));
  assert.deepEqual(done, [
    'pin a/shop 2030-01-02T00:00:00.000Z',
    'pin a/shop 2030-01-03T00:00:00.000Z',
    'Warning AwakeUntilInvalid: the annotation dormouse.dev/awake-until is no time; write one of RFC 3339, such as 2030-01-31T18:00:00Z',
    'pin a/shop null',
    'pin a/shop 2030-01-03T00:00:00.000Z',
  ]);
});
