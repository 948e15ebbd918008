import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayStatus } from '../link/messages.ts';
import type { BackendStatus } from '../model/status.ts';
import { withGateways } from './gateway-view.ts';

function status(name: string, breaker: BackendStatus['breaker'], ids: string[]): BackendStatus {
  return {
    name,
    driver: 'process',
    phase: 'awake',
    sinceMs: 0,
    why: '',
    awakeBecause: [],
    sleepsAtMs: 0,
    lastWoken: null,
    lastSleptMs: 0,
    wakes: 0,
    instances: ids.map((id) => ({ id, state: 'ready', address: '', pid: null, sinceMs: 0, reason: '', ejectedBy: 0 })),
    min: 0,
    max: 1,
    desired: 1,
    demand: { concurrency: 0, requestsPerSecond: 0, inFlight: 0, held: 0, tunnels: 0 },
    lastActivityMs: 0,
    crash: null,
    breaker,
  };
}

function gateway(backends: Partial<GatewayStatus['backends'][number]>[]): GatewayStatus {
  const nothing = { name: 'shop', inFlight: 0, held: 0, heldBytes: 0, tunnels: 0, breaker: null, ejected: [] };
  return { connections: 0, rssBytes: 0, backends: backends.map((backend) => ({ ...nothing, ...backend })) };
}

test('breakers and ejections of all workers are added up; who is silent about a backend has a closed one', () => {
  const none = { closed: 0, halfOpen: 0, open: 0 };
  const [shop, plain] = withGateways(
    [status('shop', none, ['shop-1', 'shop-2']), status('plain', null, ['plain-1'])],
    [
      gateway([{ breaker: 'open', ejected: ['shop-1'] }, { name: 'plain' }]),
      gateway([{ breaker: 'half-open', ejected: ['shop-1', 'gone-9'] }]),
      gateway([]),
      gateway([{ breaker: 'closed' }]),
    ],
  );
  assert.deepEqual(shop!.breaker, { closed: 2, halfOpen: 1, open: 1 });
  assert.deepEqual(
    shop!.instances.map((instance) => instance.ejectedBy),
    [2, 0],
  );
  assert.equal(plain!.breaker, null);
  assert.equal(plain!.instances[0]!.ejectedBy, 0);
});

test('without an answer of any worker nothing is said to be open', () => {
  const [shop] = withGateways([status('shop', { closed: 0, halfOpen: 0, open: 0 }, [])], []);
  assert.deepEqual(shop!.breaker, { closed: 0, halfOpen: 0, open: 0 });
});
