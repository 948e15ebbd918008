import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BackendConfig } from '../model/config.ts';
import { kindOutside } from './operator.ts';

const rollout = {
  source: { driver: 'kubernetes', kubernetes: { target: { apiVersion: 'argoproj.io/v1alpha1', kind: 'Rollout' } } },
} as never as BackendConfig;

test('a kind that may not be scaled is named, with those that may', () => {
  assert.equal(kindOutside(null, rollout), null);
  assert.equal(kindOutside(['argoproj.io/v1alpha1/Rollout'], rollout), null);
  assert.match(
    kindOutside(['apps/v1/Deployment'], rollout) ?? '',
    /^spec\.kubernetes\.target: Rollout of argoproj\.io\/v1alpha1 may not be scaled, only apps\/v1\/Deployment; add it to the chart's value "kinds"/,
  );
});
