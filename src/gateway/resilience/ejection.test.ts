import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EjectionConfig } from '../../model/config.ts';
import { Ejection, EndpointRecord, panics } from './ejection.ts';

const CONFIG: EjectionConfig = {
  consecutiveErrors: 5,
  failurePercent: 85,
  minimumRequests: 20,
  windowMs: 10_000,
  baseMs: 30_000,
  maxEjectedPercent: 50,
};

describe('ejection', () => {
  test('comes with the last of the errors in a row', () => {
    const ejection = new Ejection(CONFIG);
    const record = new EndpointRecord();
    for (let i = 0; i < 4; i++) assert.equal(ejection.count(record, true, i), null);
    assert.equal(ejection.count(record, true, 4), 'consecutive-errors');
  });

  test('a success begins the row anew', () => {
    const ejection = new Ejection(CONFIG);
    const record = new EndpointRecord();
    for (let i = 0; i < 15; i++) assert.equal(ejection.count(record, i % 5 !== 4, i), null);
  });

  test('comes with the failure rate when there are enough requests', () => {
    const ejection = new Ejection({ ...CONFIG, consecutiveErrors: 0 });
    const record = new EndpointRecord();
    ejection.count(record, false, 0);
    for (let i = 0; i < 18; i++) assert.equal(ejection.count(record, true, 0), null);
    assert.equal(ejection.count(record, true, 0), 'failure-rate');
  });

  test('a rate below the bound, or older than the window, doesn’t eject', () => {
    const ejection = new Ejection({ ...CONFIG, consecutiveErrors: 0, failurePercent: 60 });
    const mixed = new EndpointRecord();
    for (let i = 0; i < 100; i++) assert.equal(ejection.count(mixed, i % 2 === 0, i), null);
    const old = new EndpointRecord();
    for (let i = 0; i < 15; i++) ejection.count(old, true, 0);
    assert.equal(ejection.count(old, true, 11_000), null);
  });

  test('both off never eject', () => {
    const ejection = new Ejection({ ...CONFIG, consecutiveErrors: 0, failurePercent: 0 });
    const record = new EndpointRecord();
    for (let i = 0; i < 1000; i++) assert.equal(ejection.count(record, true, i), null);
  });

  test('lasts longer each time in a row, up to ten times the base, and begins anew after a good while', () => {
    const ejection = new Ejection(CONFIG);
    const record = new EndpointRecord();
    let nowMs = 0;
    for (let i = 1; i <= 12; i++) {
      assert.equal(ejection.eject(record, nowMs), 30_000 * Math.min(i, 10));
      nowMs = record.ejectedUntilMs + 1;
    }
    nowMs = record.probationUntilMs;
    assert.equal(ejection.eject(record, nowMs), 30_000);
  });

  const shares: [number, number, number, boolean][] = [
    // percent, ejected, total, one more?
    [50, 0, 1, false],
    [50, 0, 2, true],
    [50, 1, 2, false],
    [50, 1, 3, false],
    [50, 1, 4, true],
    [10, 0, 9, false],
    [10, 0, 10, true],
    [100, 0, 1, true],
    [0, 0, 100, false],
  ];
  for (const [maxEjectedPercent, ejected, total, expected] of shares) {
    test(`with ${maxEjectedPercent} % and ${ejected} of ${total} ejected one more ${expected ? 'may' : 'may not'} go`, () =>
      assert.equal(new Ejection({ ...CONFIG, maxEjectedPercent }).allows(ejected, total), expected));
  }

  test('panics when fewer than half would be left', () => {
    assert.equal(panics(2, 4), false);
    assert.equal(panics(1, 3), true);
    assert.equal(panics(0, 1), true);
  });
});
