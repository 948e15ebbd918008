/** The leader is killed while a service sleeps: a wake never waits for its Lease to run out. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { killOperator, leader } from '../chaos/faults.ts';
import { installDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { ensureCluster, type Cluster } from '../machine/index.ts';

/** The Lease is good for 15 s. */
const SOON_MS = 8000;

let cluster: Cluster;
let scene: Scene;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster);
});
after(() => scene?.[Symbol.asyncDispose]());

test('a sleeping service is woken, and answers, before another operator leads', async (t) => {
  const app = await scene.guarded({ name: 'orphan', backend: { scale: { idleAfter: '1s' } } });
  await app.untilAsleep();
  const killed = await leader(cluster);
  const strike = await killOperator(cluster);
  const another = strike();
  const startedMs = performance.now();
  const { status, headers, text } = await app.get('/', { headers: { 'x-id': 'orphan-1' } });
  const tookMs = performance.now() - startedMs;
  assert.equal(status, 200, text);
  assert.equal(headers.get('x-cold-start'), 'true');
  assert.equal(await leader(cluster), killed, 'the Lease has not changed hands yet');
  t.diagnostic(`answered after ${Math.round(tookMs)} ms without a leader`);
  assert.ok(tookMs < SOON_MS, `${tookMs} ms`);
  await another;
  // The next leader takes over what was woken, and hands the Service back.
  await app.untilServing();
  assert.equal((await app.get()).status, 200);
  assert.deepEqual(scene.witness.pods('orphan-1').length, 1);
});
