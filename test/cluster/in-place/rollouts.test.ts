/** Operator and gateways are rolled while traffic passes gateways, requests are held and services fall asleep: nothing is lost. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { INSTALLATION_NAMESPACE, installDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { Edge } from '../gateway-api/gateway.fixture.ts';
import { ensureCluster, type Cluster } from '../machine/index.ts';

let cluster: Cluster;
let scene: Scene;
let edge: Edge;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'rollouts');
  edge = await Edge.open(scene, [
    { name: 'web', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'Same' } } },
  ]);
});
after(async () => {
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

async function restart(name: string): Promise<void> {
  const kubectl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await cluster.kubectl(['-n', INSTALLATION_NAMESPACE, ...args], undefined, 200_000);
    assert.equal(code, 0, stderr);
  };
  await kubectl('rollout', 'restart', `deployment/${name}`);
  await kubectl('rollout', 'status', `deployment/${name}`, '--timeout=180s');
}

for (const name of ['dormouse-gateway', 'dormouse-operator']) {
  test(`${name} is rolled with traffic and holds running`, async (t) => {
    const own = name.replace('dormouse-', '');
    const warm = await edge.sleeping({ name: `warm-${own}` });
    await edge.untilRouted(warm.name);
    // Its start takes longer than the first gateways' end.
    const slow = await scene.guarded({
      name: `slow-${own}`,
      replicas: 0,
      env: { START_DELAY_MS: '15000' },
      backend: { wake: { failFastAfter: '60s' } },
    });
    await slow.untilAsleep();
    const falling = await scene.guarded({ name: `falling-${own}`, backend: { scale: { idleAfter: '1s' } } });

    await using traffic = await warm.traffic({
      host: edge.address,
      hostHeader: edge.host(warm.name),
      fresh: { everyMs: 30 },
      kept: { clients: 3, everyMs: 30 },
      methods: 'both',
      timeoutMs: 60_000,
    });
    const held = Promise.all(Array.from({ length: 20 }, () => slow.get('/', { timeoutMs: 120_000 })));
    await restart(name);
    const answers = await held;
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    // The new ones sleep and wake what the former ones did.
    await falling.untilAsleep();
    const passed = falling.steps.length;
    assert.equal((await falling.get()).status, 200);
    await falling.untilPassed('serving', passed);
    await slow.untilPassed('serving');
    const report = await traffic.end();
    t.diagnostic(`${answers.length} held; ${summary(report)}`);
    assert.equal(report.lost.length, 0, summary(report));
    assert.deepEqual(scene.witness.duplicates, []);
    await Promise.all([warm, slow, falling].map((app) => app.delete()));
    await falling.untilRestored(1);
  });
}
