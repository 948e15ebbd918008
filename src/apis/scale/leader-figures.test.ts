import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScaleMetric } from '../../model/demand.ts';
import { figureOf } from './figures.ts';
import { LeaderFigures } from './leader-figures.ts';

const none = new AbortController().signal;

function setup() {
  const state = {
    refreshed: [] as unknown[],
    nowMs: 0,
    wanted: new Map<string, boolean | null>([['shop/users', false]]),
    metrics: [] as ScaleMetric[],
    gateways: 1,
    tell: (() => {}) as (backend: string, wanted: boolean) => void,
  };
  const figures = new LeaderFigures({
    clock: { nowMs: () => state.nowMs, wallMs: () => 1000 + state.nowMs },
    refresh: async (backend, maxAgeMs) => {
      state.refreshed.push([backend, maxAgeMs]);
      state.metrics = [{ ...http(8), name: 'jobs' }];
    },
    controller: {
      wanted: (name) => state.wanted.get(name) ?? null,
      scaleMetrics: (name) => (state.wanted.has(name) ? state.metrics : null),
      gateways: () =>
        Array.from({ length: state.gateways }, (_, index) => ({ id: `g${index}`, inForce: 1, leaving: false })),
      onWanted: (listener) => {
        state.tell = listener;
        return () => {};
      },
    },
  });
  const want = (wanted: boolean): void => {
    state.wanted.set('shop/users', wanted);
    state.tell('shop/users', wanted);
  };
  return { state, figures, want };
}

const http = (value: number): ScaleMetric => ({ name: 'http', value, target: 7, active: value > 0, atMs: 5 });

test('it is noted who heard that a backend is not wanted, until that is so anew', async () => {
  const { state, figures, want } = setup();
  const told: string[] = [];
  figures.onWanted((backend) => told.push(backend));
  want(true);
  assert.deepEqual(told, ['shop/users']);
  assert.equal((await figures.get('shop/users', none)).wanted, true);
  want(false);
  assert.equal(figures.wasTold('shop/users'), false);
  assert.equal((await figures.get('shop/users', none)).wanted, false);
  assert.equal(figures.wasTold('shop/users'), true);
  want(true);
  assert.equal(figures.wasTold('shop/users'), true, 'what was said before may be acted on still');
  want(false);
  assert.equal(figures.wasTold('shop/users'), false);
  assert.deepEqual(told, ['shop/users', 'shop/users']);
  await assert.rejects(figures.get('shop/nobody', none), { code: 'DORMOUSE_FIGURES_UNKNOWN' });
  state.wanted.set('shop/users', null);
  await assert.rejects(figures.get('shop/users', none), { code: 'DORMOUSE_FIGURES_UNAVAILABLE' });
  assert.equal(figures.wasTold('shop/users'), false, 'that was no word');
});

test('without gateways nobody knows of requests after 5 s; what triggers measured stands', async () => {
  const { state, figures } = setup();
  state.metrics = [{ ...http(3), name: 'jobs' }, http(4)];
  state.gateways = 0;
  state.nowMs = 5000;
  assert.equal(figureOf('shop/users', await figures.get('shop/users', none), 'http').value, 4);
  state.nowMs = 5001;
  const stale = await figures.get('shop/users', none);
  assert.throws(() => figureOf('shop/users', stale, 'http'), { code: 'DORMOUSE_FIGURES_UNAVAILABLE' });
  assert.equal(figureOf('shop/users', stale, 'jobs').value, 3);
  state.gateways = 1;
  assert.equal(figureOf('shop/users', await figures.get('shop/users', none), 'http').value, 4);
});

test('where nothing is measured there is one instance while it is wanted', async () => {
  const { figures, want } = setup();
  const awake = async (): Promise<number> =>
    figureOf('shop/users', await figures.get('shop/users', none), 'awake').value;
  assert.equal(await awake(), 0);
  want(true);
  assert.equal(await awake(), 1);
  assert.throws(() => figureOf('a/b', { wanted: true, metrics: [] }, 'x'.repeat(300)), /has no metric "x{99}…"/);
});

test('by what something is scaled is asked anew when it is old; whether it is wanted is not waited for', async () => {
  const { state, figures } = setup();
  state.metrics = [{ ...http(3), name: 'jobs' }];
  assert.equal(figureOf('shop/users', await figures.get('shop/users', none), 'jobs').value, 3);
  assert.deepEqual(state.refreshed, []);
  assert.equal(figureOf('shop/users', await figures.get('shop/users', none, true), 'jobs').value, 8);
  assert.deepEqual(state.refreshed, [['shop/users', 5000]]);
});
