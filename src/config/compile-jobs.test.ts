import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { parseConfig } from './parse.ts';

const registry = { filters: {}, strategies: ['round-robin'], triggers: { queue: z.strictObject({}) } };
const TRIGGERS = [{ queue: {} }];
const RUN = { command: ['mill'], port: 'none' };

function parse(backend: object) {
  const text = JSON.stringify({ backends: { mill: backend }, routes: [] });
  return parseConfig(text, { file: '/srv/dormouse.yaml', env: {}, registry, cores: 2 }).backends[0]!;
}

test('jobs of processes and of CronJobs, with what is usual', () => {
  const { scale } = parse({ process: RUN, scale: { max: 3, jobs: {} }, triggers: TRIGGERS });
  assert.deepEqual(scale.jobs, { batch: 1, history: 10 });
  const target = { apiVersion: 'batch/v1', kind: 'CronJob', name: 'mill' };
  const given = {
    kubernetes: { namespace: 'shop', target },
    scale: { jobs: { batch: 5, history: 0 } },
    triggers: TRIGGERS,
  };
  assert.deepEqual(parse(given).scale.jobs, { batch: 5, history: 0 });
  assert.equal(parse({ process: RUN, scale: { jobs: null } }).scale.jobs, null);
});

const WRONG: readonly [what: string, backend: object, said: RegExp][] = [
  [
    'a port',
    { process: { command: ['mill'] }, scale: { jobs: {} }, triggers: TRIGGERS },
    /process\.port: .*write port: none/,
  ],
  ['no trigger', { process: RUN, scale: { jobs: {} } }, /scale\.jobs: needs a trigger/],
  [
    'a minimum',
    { process: RUN, scale: { min: 1, jobs: {} }, triggers: TRIGGERS },
    /scale\.min: is 1, but a run ends by itself/,
  ],
  [
    'another scaler',
    { process: RUN, scale: { by: 'none', jobs: {} }, triggers: TRIGGERS },
    /scale\.by: is none, but runs are started by dormouse/,
  ],
  [
    'freezing',
    { process: { ...RUN, sleep: 'freeze' }, scale: { jobs: {} }, triggers: TRIGGERS },
    /process\.sleep: a run is never frozen/,
  ],
  ['servers', { servers: ['http://10.0.0.1:80'], scale: { jobs: {} } }, /scale\.jobs: has no effect on servers/],
  [
    'a Deployment',
    {
      kubernetes: { namespace: 'shop', target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'mill' } },
      scale: { jobs: {} },
      triggers: TRIGGERS,
    },
    /kubernetes\.target: has to be a CronJob with scale\.jobs; name a suspended one/,
  ],
  [
    'a fallback',
    { process: RUN, scale: { jobs: {}, fallback: { failures: 3, replicas: 1 } }, triggers: TRIGGERS },
    /scale\.fallback: has no meaning for runs/,
  ],
  [
    'a formula',
    { process: RUN, scale: { jobs: {}, formula: 'queue * 2' }, triggers: TRIGGERS },
    /scale\.formula: has no meaning for runs/,
  ],
  ['a batch of none', { process: RUN, scale: { jobs: { batch: 0 } }, triggers: TRIGGERS }, /scale\.jobs\.batch/],
];

for (const [what, backend, said] of WRONG) {
  test(`jobs with ${what} are refused with the next step`, () => {
    assert.throws(() => parse(backend), said);
  });
}
