/** `dormouse up` on a machine that reaches a cluster's pods: a Deployment sleeps and wakes behind its listener. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Place } from '../../e2e/fixtures/dormouse.ts';
import { configuration } from '../../e2e/fixtures/configuration.ts';
import { appObjects, ensureCluster, type Cluster } from '../machine/index.ts';

describe('dormouse up with a workload of a cluster', { concurrency: 1 }, () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await ensureCluster({ nodes: 1 });
  });

  it('wakes it on a request, puts it to sleep, and leaves it as it is at the end', { timeout: 120_000 }, async () => {
    await using namespace = await cluster.namespace();
    await namespace.apply(appObjects({ name: 'shop', replicas: 0, env: { DRAIN: '1' } }));
    const place = new Place(
      configuration({
        backends: {
          shop: {
            kubernetes: {
              namespace: namespace.name,
              target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' },
              service: 'shop',
            },
            scale: { idleAfter: '1s' },
          },
        },
        routes: [{ backend: 'shop' }],
      }),
    );
    await using _ = place;
    const up = await place.start({ env: { KUBECONFIG: cluster.kubeconfigPath } }).up();
    const port = await up.port();
    for (let round = 0; round < 2; round++) {
      const response = await fetch(`http://127.0.0.1:${port}/`);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('x-cold-start'), 'true');
      assert.match(((await response.json()) as { pod: string }).pod, /^shop-/);
      await up.backendWhen('shop', 'asleep again', ({ phase }) => phase === 'asleep');
      assert.equal(await namespace.kubectl('get', 'deployment', 'shop', '-o', 'jsonpath={.spec.replicas}'), '0');
    }
  });
});
