/** helm install, upgrade and uninstall of the chart, with the program of this checkout. */
import assert from 'node:assert/strict';
import { before, describe, it, type TestContext } from 'node:test';
import { appObjects, DORMOUSE_IMAGE, ensureCluster, until, type Cluster } from '../machine/index.ts';
import { ADMIN_KUBECONFIG } from '../machine/places.ts';
import { apart, CHART, CRDS, helm, isClusterScoped, render, withValues } from './chart.ts';

const [repository, tag] = DORMOUSE_IMAGE.split(':');
const VALUES = {
  image: { repository, tag, pullPolicy: 'Never' },
  operator: { replicas: 1 },
  gateway: { replicas: 1, drainSeconds: 5, delaySeconds: 1 },
  uninstall: { timeoutSeconds: 120 },
};

describe('an installation by helm', () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await ensureCluster({ images: ['app', 'dormouse'] });
    const { code, stderr } = await cluster.kubectl(['apply', '--server-side', '-f', CRDS]);
    assert.equal(code, 0, stderr);
  });

  const kubectl = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cluster.kubectl(args, undefined, 180_000);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  };

  it('the job before an uninstallation runs with the rights that it has, without writing anywhere', async () => {
    await using own = await cluster.namespace('chart-job');
    await own.kubectl('label', 'namespace', own.name, 'pod-security.kubernetes.io/enforce=restricted');
    const objects = apart(await render(own.name, VALUES, { hooks: true }), own.name).filter(({ metadata }) =>
      metadata.name.endsWith('-uninstall'),
    );
    try {
      for (const object of objects) {
        if (object.kind !== 'Job') continue;
        // What it would do is asked, not done: there may be Backends of others.
        const [container] = object['spec'].template.spec.containers;
        container.args = (container.args as string[]).filter((arg) => arg !== '--yes');
        object['spec'].backoffLimit = 0;
      }
      await cluster.apply(objects);
      const read = async () =>
        JSON.parse(await own.kubectl('get', 'job', 'dormouse-uninstall', '-o', 'json')) as {
          status: { succeeded?: number; failed?: number };
        };
      await until('the job has ended', async () => {
        const { status } = await read();
        return (status.succeeded ?? 0) + (status.failed ?? 0) > 0;
      });
      const log = await own.kubectl('logs', 'job/dormouse-uninstall');
      assert.match(log, /nothing to put back|would delete \d+ Backends? of https:.*nothing was done/);
    } finally {
      for (const { kind, metadata } of objects.filter(isClusterScoped))
        await cluster.kubectl(['delete', kind, metadata.name]);
    }
  });

  it('becomes ready, is upgraded, and puts everything back before it goes', { timeout: 300_000 }, async (test) => {
    if (await isTaken(test)) return;
    await using own = await cluster.namespace('chart-install');
    await using shop = await cluster.namespace('chart-install-shop');
    const { name } = own;
    await own.kubectl('label', 'namespace', name, 'pod-security.kubernetes.io/enforce=restricted');
    const release = ['dormouse', CHART, '--namespace', name, '--kubeconfig', ADMIN_KUBECONFIG, '--skip-crds'];
    const wait = ['--wait', '--timeout', '120s'];
    let installed = false;
    try {
      await withValues(VALUES, async (file) => {
        const { code, stderr } = await helm(['install', ...release, '--values', file, ...wait], 150_000);
        installed = true;
        assert.equal(code, 0, stderr);
      });
      const secret = await kubectl('-n', name, 'get', 'secret', 'dormouse-gateway-link', '-o', 'jsonpath={.data}');
      assert.match(secret, /tls\.crt/);

      // One that the operator has taken on: its finalizer has to be worked off before the operator goes.
      await shop.apply(appObjects({ name: 'web', replicas: 1 }));
      await shop.apply([
        {
          apiVersion: 'dormouse.dev/v1alpha1',
          kind: 'Backend',
          metadata: { name: 'web' },
          spec: {
            kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' }, service: 'web' },
            idle: { schedule: { timezone: 'UTC', awake: ['* * * * *'] } },
          },
        },
      ]);
      const finalizers = () => shop.kubectl('get', 'backend', 'web', '-o', 'jsonpath={.metadata.finalizers}');
      await until('the operator has seen the Backend', async () =>
        (await finalizers()).includes('dormouse.dev/restore'),
      );

      await withValues({ ...VALUES, operator: { replicas: 1, podAnnotations: { a: 'b' } } }, async (file) => {
        const { code, stderr } = await helm(['upgrade', ...release, '--values', file, ...wait], 150_000);
        assert.equal(code, 0, stderr);
      });

      const gone = await helm(
        ['uninstall', 'dormouse', '--namespace', name, '--kubeconfig', ADMIN_KUBECONFIG, ...wait],
        240_000,
      );
      installed = gone.code !== 0;
      assert.equal(gone.code, 0, gone.stderr);
      assert.equal(await shop.kubectl('get', 'backends', '-o', 'name'), '');
      assert.equal((await shop.kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.spec.replicas}')).trim(), '1');
      const left = await kubectl('-n', name, 'get', 'deployments,services,networkpolicies,jobs,roles', '-o', 'name');
      assert.equal(left, '');
      const ofCluster =
        'clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings';
      assert.equal(await kubectl('get', ofCluster, '-l', 'app.kubernetes.io/name=dormouse', '-o', 'name'), '');
      assert.match(await kubectl('get', 'crd', 'backends.dormouse.dev', '-o', 'name'), /backends/);
    } finally {
      if (installed) await helm(['uninstall', 'dormouse', '-n', name, '--kubeconfig', ADMIN_KUBECONFIG, '--no-hooks']);
    }
  });

  /** One installation per cluster, and an uninstallation deletes all Backends: neither is done to somebody else's. */
  async function isTaken(test: TestContext): Promise<boolean> {
    const backends = await kubectl('get', 'backends', '-A', '-o', 'name');
    const { code } = await cluster.kubectl(['get', 'clusterrole', 'dormouse-operator']);
    if (backends === '' && code !== 0) return false;
    test.skip('dormouse is installed in this cluster, or there are Backends');
    return true;
  }
});
