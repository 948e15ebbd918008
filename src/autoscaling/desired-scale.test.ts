import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  desiredScale,
  initialScaleState,
  panicWindowMs,
  targetPerInstance,
  type ScaleInput,
  type ScaleLimits,
  type ScaleState,
} from './desired-scale.ts';

const LIMITS: ScaleLimits = {
  min: 0,
  max: 0,
  targetValue: 10,
  utilizationPercent: 100,
  stableWindowMs: 60_000,
  upRate: 1000,
  downRate: 2,
  panicThresholdPercent: 200,
  scaleDownDelayMs: 0,
};

function decide(limits: Partial<ScaleLimits>, input: Partial<ScaleInput>, state?: ScaleState) {
  const all = { ...LIMITS, ...limits };
  const full = { nowMs: 0, stable: 0, panic: 0, ready: 1, present: 1, hasData: true, ...input };
  return desiredScale(all, state ?? initialScaleState(all), full);
}

const CASES: { name: string; limits?: Partial<ScaleLimits>; input: Partial<ScaleInput>; desired: number }[] = [
  { name: 'nothing to do', input: { stable: 0 }, desired: 0 },
  { name: 'rounded up', input: { stable: 10.1, ready: 2, present: 2 }, desired: 2 },
  { name: 'exactly the target', input: { stable: 20, ready: 2, present: 2 }, desired: 2 },
  { name: 'utilization makes room', limits: { utilizationPercent: 70 }, input: { stable: 20, ready: 3 }, desired: 3 },
  { name: 'up rate', limits: { upRate: 2 }, input: { stable: 1000, ready: 3 }, desired: 6 },
  { name: 'up rate from nothing counts as one', limits: { upRate: 2 }, input: { stable: 1000, ready: 0 }, desired: 2 },
  { name: 'down rate', input: { stable: 1, panic: 1, ready: 10, present: 10 }, desired: 5 },
  { name: 'down rate rounds down', input: { stable: 1, panic: 1, ready: 5, present: 5 }, desired: 2 },
  {
    name: 'unreachable: down at once',
    limits: { reachable: false },
    input: { stable: 1, panic: 1, ready: 10 },
    desired: 1,
  },
  { name: 'max', limits: { max: 3 }, input: { stable: 1000, ready: 2 }, desired: 3 },
  { name: 'min', limits: { min: 2 }, input: { stable: 0, ready: 1 }, desired: 2 },
  { name: 'the panic average takes over above twice', input: { stable: 10, panic: 40, ready: 2 }, desired: 4 },
  { name: 'and not below', input: { stable: 10, panic: 30, ready: 2 }, desired: 1 },
  { name: 'activation scale with demand', limits: { activationScale: 3 }, input: { stable: 1, ready: 3 }, desired: 3 },
  {
    name: 'activation scale without demand',
    limits: { activationScale: 3 },
    input: { stable: 0, ready: 1 },
    desired: 0,
  },
  { name: 'no data: what is', input: { stable: 0, present: 7, hasData: false }, desired: 7 },
  { name: 'no data, but limits hold', limits: { max: 4 }, input: { present: 7, hasData: false }, desired: 4 },
];

for (const { name, limits = {}, input, desired } of CASES) {
  test(`desired scale: ${name}`, () => {
    const { result } = decide(limits, input);
    assert.equal(result.desired, desired, result.reason);
    assert.equal(result.decision, desired === (input.present ?? 1) ? 'hold' : 'scale');
    assert.notEqual(result.reason, '');
  });
}

test('in panic nothing shrinks until a stable window has passed without it', () => {
  let { result, state } = decide({}, { nowMs: 0, stable: 5, panic: 60, ready: 1 });
  assert.equal(result.desired, 6);
  const later = (nowMs: number, stable: number, panic: number) => {
    ({ result, state } = decide({}, { nowMs, stable, panic, ready: 6, present: 6 }, state));
    return result.desired;
  };
  assert.equal(later(30_000, 20, 10), 6, 'the greatest number is kept');
  assert.equal(later(60_000, 20, 10), 6, 'panicAt + W < now does not hold yet');
  assert.equal(later(60_001, 30, 10), 3, 'left: the stable average decides');
  assert.equal(state.panicAtMs, null);
});

test('a scale-down waits for the delay, a scale-up does not', () => {
  const limits = { scaleDownDelayMs: 6000 };
  let state = initialScaleState({ ...LIMITS, ...limits });
  const seen: number[] = [];
  for (const [tick, stable] of [50, 20, 20, 20, 60, 20].entries()) {
    const step = decide(limits, { nowMs: tick * 2000, stable, panic: stable, ready: 4, present: 5 }, state);
    state = step.state;
    seen.push(step.result.desired);
  }
  assert.deepEqual(seen, [5, 5, 5, 2, 6, 6], 'three slots of 2 s');
});

test('windows and targets', () => {
  assert.equal(panicWindowMs(60_000, 10), 6000);
  assert.equal(panicWindowMs(6000, 10), 1000);
  assert.equal(panicWindowMs(3_600_000, 10), 360_000);
  assert.equal(targetPerInstance({ targetValue: 100, utilizationPercent: 70 }), 70);
  assert.equal(targetPerInstance({ targetValue: 0, utilizationPercent: 70 }), 0.01);
});

const limitsArbitrary = fc.record({
  min: fc.nat({ max: 5 }),
  max: fc.integer({ min: 5, max: 50 }),
  targetValue: fc.integer({ min: 1, max: 200 }),
  utilizationPercent: fc.integer({ min: 1, max: 100 }),
  upRate: fc.integer({ min: 1, max: 1000 }),
  downRate: fc.integer({ min: 1, max: 10 }),
  panicThresholdPercent: fc.integer({ min: 110, max: 1000 }),
  scaleDownDelayMs: fc.constantFrom(0, 2000, 15_000),
});
const inputArbitrary = fc.record({
  stable: fc.nat({ max: 5000 }),
  panic: fc.nat({ max: 5000 }),
  ready: fc.nat({ max: 50 }),
  present: fc.nat({ max: 50 }),
});

test('whatever was before, the answer lies in [min, max]', () => {
  fc.assert(
    fc.property(limitsArbitrary, fc.array(inputArbitrary, { minLength: 1, maxLength: 20 }), (limits, inputs) => {
      let state = initialScaleState({ ...LIMITS, ...limits });
      for (const [index, input] of inputs.entries()) {
        const step = decide(limits, { ...input, nowMs: index * 2000 }, state);
        state = step.state;
        assert.ok(step.result.desired >= limits.min && step.result.desired <= limits.max);
      }
    }),
  );
});

test('more demand never asks for less', () => {
  fc.assert(
    fc.property(
      limitsArbitrary,
      inputArbitrary,
      fc.nat({ max: 500 }),
      fc.nat({ max: 500 }),
      (limits, input, moreStable, morePanic) => {
        const less = decide(limits, input).result.desired;
        const more = decide(limits, { ...input, stable: input.stable + moreStable, panic: input.panic + morePanic })
          .result.desired;
        assert.ok(more >= less, `${less} -> ${more}`);
      },
    ),
  );
});

test('one step never goes beyond the rates', () => {
  fc.assert(
    fc.property(limitsArbitrary, inputArbitrary, (limits, input) => {
      const { desired } = decide({ ...limits, min: 0, max: 0 }, input).result;
      const instances = Math.max(1, input.ready);
      assert.ok(desired <= Math.ceil(instances * limits.upRate));
      assert.ok(desired >= Math.floor(instances / limits.downRate));
    }),
  );
});
