import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestName } from './nearest-name.ts';

test('the nearest name, or none when nothing is near', () => {
  const names = ['shop', 'users', 'reports'];
  assert.equal(nearestName('shpo', names), 'shop');
  assert.equal(nearestName('SHOP', names), 'shop');
  assert.equal(nearestName('user', names), 'users');
  assert.equal(nearestName('report', names), 'reports');
  assert.equal(nearestName('kitchen', names), null);
  assert.equal(nearestName('', names), null);
  assert.equal(nearestName('x'.repeat(10_000), names), null);
  assert.equal(nearestName('shop', []), null);
});
