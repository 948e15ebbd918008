import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { DemandWindow } from '../model/demand.ts';
import { DemandSum } from './demand-sum.ts';

const WALL = 1_700_000_000_000;
const window = (over: Partial<DemandWindow>): DemandWindow => ({
  backend: 'shop',
  elapsedMs: 1000,
  concurrencyMs: 0,
  requests: 0,
  errors: 0,
  inFlight: 0,
  held: 0,
  tunnels: 0,
  lastActivityMs: 0,
  ...over,
});

test('gateways are added up, and one that is gone takes its share with it', () => {
  const demand = new DemandSum<string>(60_000);
  const now = { nowMs: 10_000, wallMs: WALL };
  demand.report('a', window({ inFlight: 2, concurrencyMs: 3000, requests: 4, lastActivityMs: WALL - 50 }), now);
  demand.report('b', window({ inFlight: 1, held: 5, tunnels: 1, concurrencyMs: 1000, requests: 2 }), now);
  assert.deepEqual([demand.inFlight, demand.held, demand.tunnels], [3, 5, 1]);
  assert.equal(demand.concurrency(10_000, 60_000), 4);
  assert.equal(demand.requestsPerSecond(10_000, 60_000), 6);
  assert.equal(demand.lastActivityMs, 9950);
  demand.forget('a');
  assert.deepEqual([demand.inFlight, demand.held], [1, 5]);
  assert.equal(demand.lastActivityMs, 9950, 'that there was activity stays true');
});

test('reports that come oftener than once a second make the same average', () => {
  const demand = new DemandSum<string>(60_000);
  for (let i = 0; i < 40; i++) {
    demand.report('a', window({ elapsedMs: 50, concurrencyMs: 150 }), { nowMs: 10_000 + i * 50, wallMs: WALL });
  }
  assert.equal(demand.concurrency(11_950, 60_000), 3);
});

test('the same moment, computed anew a ms apart, is no new activity; a wall clock that is set back is no future', () => {
  const demand = new DemandSum<string>(60_000);
  demand.report('a', window({ lastActivityMs: WALL }), { nowMs: 10_000, wallMs: WALL });
  demand.report('a', window({ lastActivityMs: WALL + 1.3 }), { nowMs: 15_000, wallMs: WALL + 5000 });
  assert.equal(demand.lastActivityMs, 10_000);
  demand.answered('a', 0, WALL + 5000, { nowMs: 16_000, wallMs: WALL - 3_600_000 });
  assert.equal(demand.lastActivityMs, 16_000);
});
