/** The leader is killed while a service sleeps: a wake never waits for its Lease to run out. And the next one has to do with what gateways have of the former one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { killOperator, leader } from '../chaos/faults.ts';
import { installDormouse, scaleOperators } from '../fixtures/installation.ts';
import { Scene, type Guarded } from '../fixtures/scene.ts';
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
after(async () => {
  await scaleOperators(cluster, 2);
  await scene?.[Symbol.asyncDispose]();
});

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

test('a leader that knows nothing of a Service that went meanwhile gives its port at the gateways to another one', async () => {
  // Whoever begins to lead gives ports from the first one on.
  await scaleOperators(cluster, 0);
  await scaleOperators(cluster, 2);
  const former = await scene.guarded({ name: 'former' });
  await former.untilCondition('Ready', 'True');
  const portOf = ({ object }: Guarded): number | undefined => object?.status?.handover?.ports?.[0]?.gatewayPort;
  await former.untilAsleep();
  const port = portOf(former);
  assert.equal((await former.get()).status, 200);
  await former.untilServing();
  await scaleOperators(cluster, 0);
  await scene.namespace.kubectl('patch', 'backend', 'former', '--type=merge', '-p', '{"metadata":{"finalizers":null}}');
  await scene.namespace.kubectl('delete', 'backend', 'former', '--wait=true');
  const next = await scene.guarded({ name: 'next' });
  await scaleOperators(cluster, 2);
  await next.untilAsleep();
  assert.equal(portOf(next), port);
  const { status, headers, text } = await next.get();
  assert.equal(status, 200, text);
  assert.equal(headers.get('x-cold-start'), 'true');
});
