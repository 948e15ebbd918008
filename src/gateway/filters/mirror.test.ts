import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileFilters } from './compile-filters.ts';
import { filter, filterContext, filterServices, issues } from './filters.fixture.ts';
import { filters } from './all-filters.fixture.ts';

test('mirror asks for copies of a share of the requests', () => {
  const configs = [{ type: 'mirror', options: { backend: 'next', percent: 12.5 } }];
  const compiled = compileFilters(configs, filters, filterContext(), filterServices());
  assert.deepEqual(compiled.mirrors, [{ backend: 'next', percent: 12.5 }]);
  assert.equal(compiled.request, null);
  assert.equal(compiled.response, null);
});

test('what the file may not say', () => {
  assert.equal((filter('mirror', { backend: 'next' }).options as { percent: number }).percent, 100);
  assert.match(issues('mirror', {})[0]!, /^backend: /);
  assert.match(issues('mirror', { backend: 'Not A Name' })[0]!, /^backend: the name of a backend/);
  assert.match(issues('mirror', { backend: 'next', percent: 0 })[0]!, /^percent: expected/);
  assert.match(issues('mirror', { backend: 'next', percent: 101 })[0]!, /^percent: expected/);
});
