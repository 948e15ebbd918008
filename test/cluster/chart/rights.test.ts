/** The chart on a real API server: everything is accepted, and the service accounts may do what they need and nothing else. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ensureCluster, type Cluster, type TestNamespace } from '../machine/index.ts';
import { apart, CRDS, isClusterScoped, render, type Rendered } from './chart.ts';

const KINDS = [
  { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments' },
  { apiVersion: 'apps/v1', kind: 'StatefulSet', plural: 'statefulsets' },
];

describe('the chart on a cluster', () => {
  let cluster: Cluster;
  let own: TestNamespace;
  /** Another one, in which users have their applications. */
  let shop: TestNamespace;
  /** Certificates of listeners are in this one. */
  let edge: TestNamespace;
  let applied: Rendered[] = [];

  before(async () => {
    cluster = await ensureCluster({ images: [] });
    own = await cluster.namespace('chart');
    shop = await cluster.namespace('chart-shop');
    edge = await cluster.namespace('chart-edge');
    const { code, stderr } = await cluster.kubectl(['apply', '--server-side', '-f', CRDS]);
    assert.equal(code, 0, stderr);
    const objects = await render(
      own.name,
      {
        kinds: KINDS,
        gateway: { watchEndpointSlices: true },
        gatewayApi: { secretNamespaces: [edge.name] },
      },
      { hooks: true },
    );
    // Neither pods nor the job: rights are all that is looked at.
    applied = apart(objects, own.name).filter(({ kind }) => /Role|ServiceAccount/.test(kind));
    await cluster.apply(applied);
  });

  after(async () => {
    for (const { kind, metadata } of applied.filter(isClusterScoped))
      await cluster.kubectl(['delete', kind, metadata.name]);
    await Promise.all([own, shop, edge].map((namespace) => namespace?.[Symbol.asyncDispose]()));
  });

  for (const [name, values] of [
    ['the defaults', {}],
    [
      'DaemonSet, LoadBalancer and the like',
      {
        gateway: {
          kind: 'DaemonSet',
          watchEndpointSlices: true,
          service: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', extraPorts: [{ name: 'mqtt', port: 1883 }] },
        },
        gatewayApi: { createClass: true },
        networkPolicy: { metricsNamespaces: ['monitoring'], sleepingServicesFrom: [{ namespaceSelector: {} }] },
        uninstall: { restore: false },
      },
    ],
    ['an HPA', { gateway: { autoscaling: { enabled: true } }, networkPolicy: { enabled: false } }],
  ] as const) {
    it(`every object of it is accepted, without warnings, by a namespace that is restricted: ${name}`, async () => {
      await own.kubectl('label', 'namespace', own.name, 'pod-security.kubernetes.io/warn=restricted', '--overwrite');
      const apiVersions = ['gateway.networking.k8s.io/v1/GatewayClass'];
      const objects = apart(await render(own.name, values, { hooks: true, apiVersions }), own.name);
      const { code, stdout, stderr } = await cluster.kubectl(
        // An object that a server-side apply would take over is the fields' matter, not the chart's.
        ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '--validate=strict', '-f', '-'],
        objects.map((object) => JSON.stringify(object)).join('\n---\n'),
      );
      assert.deepEqual([code, stderr], [0, '']);
      assert.equal(stdout.trim().split('\n').length, objects.length);
    });
  }

  /** `kubectl auth can-i` as this service account: yes or no for each. */
  async function can(account: string, questions: readonly string[]): Promise<Record<string, boolean>> {
    const user = `system:serviceaccount:${own.name}:${account}`;
    const groups = ['system:serviceaccounts', `system:serviceaccounts:${own.name}`, 'system:authenticated'];
    const answers: Record<string, boolean> = {};
    for (const question of questions) {
      const asked = question.replaceAll('OWN', own.name).replaceAll('SHOP', shop.name).replaceAll('EDGE', edge.name);
      const as = [`--as=${user}`, ...groups.map((group) => `--as-group=${group}`)];
      const { stdout, stderr } = await cluster.kubectl(['auth', 'can-i', ...as, ...asked.split(' ')]);
      assert.match(stdout, /^(yes|no)/, `${asked}: ${stderr}`);
      answers[question] = stdout.startsWith('yes');
    }
    return answers;
  }

  async function may(account: string, questions: readonly string[]): Promise<void> {
    const answers = await can(account, questions);
    assert.deepEqual(
      Object.entries(answers).filter(([, yes]) => !yes),
      [],
    );
  }

  async function mayNot(account: string, questions: readonly string[]): Promise<void> {
    const answers = await can(account, questions);
    assert.deepEqual(
      Object.entries(answers).filter(([, yes]) => yes),
      [],
    );
  }

  it('the operator may do what it does', () =>
    may('dormouse-operator', [
      'list backends.dormouse.dev -A',
      'watch backends.dormouse.dev -A',
      'patch backends.dormouse.dev -n SHOP',
      'patch backends.dormouse.dev --subresource=status -n SHOP',
      'watch routefilters.dormouse.dev -A',
      'patch routepolicies.dormouse.dev --subresource=status -n SHOP',
      'watch pods -A',
      'patch pods -n SHOP',
      'watch services -A',
      'patch services -n SHOP',
      'watch endpointslices.discovery.k8s.io -A',
      'create endpointslices.discovery.k8s.io -n SHOP',
      'patch endpointslices.discovery.k8s.io -n SHOP',
      'delete endpointslices.discovery.k8s.io -n SHOP',
      'watch namespaces',
      'create events.events.k8s.io -n SHOP',
      'get deployments.apps --subresource=scale -n SHOP',
      'patch deployments.apps --subresource=scale -n SHOP',
      'patch statefulsets.apps --subresource=scale -n SHOP',
      'watch deployments.apps -A',
      'watch horizontalpodautoscalers.autoscaling -A',
      'watch networkpolicies.networking.k8s.io -A',
      'patch scaledobjects.keda.sh -n SHOP',
      'watch httproutes.gateway.networking.k8s.io -A',
      'patch gateways.gateway.networking.k8s.io --subresource=status -n SHOP',
      'get customresourcedefinitions.apiextensions.k8s.io/tlsroutes.gateway.networking.k8s.io',
      'create secrets -n OWN',
      'update secrets/dormouse-authority -n OWN',
      'get secrets/dormouse-gateway-link -n OWN',
      'create leases.coordination.k8s.io -n OWN',
      'update leases.coordination.k8s.io/dormouse-operator -n OWN',
      'watch secrets -n EDGE',
    ]));

  it('the operator may do nothing else', () =>
    mayNot('dormouse-operator', [
      // Running code, or reading what others keep secret.
      'create pods -n SHOP',
      'delete pods -n SHOP',
      'create pods --subresource=exec -n SHOP',
      'create pods --subresource=eviction -n SHOP',
      'get pods --subresource=log -n SHOP',
      'update deployments.apps -n SHOP',
      'patch deployments.apps -n SHOP',
      'create deployments.apps -n OWN',
      'delete statefulsets.apps -n SHOP',
      'create jobs.batch -n OWN',
      'get secrets -n SHOP',
      'list secrets -A',
      'list secrets -n OWN',
      'get secrets/other -n OWN',
      'update secrets -n EDGE',
      'get configmaps -n SHOP',
      'create serviceaccounts --subresource=token -n OWN',
      // Kinds that are not in the values.
      'patch replicasets.apps --subresource=scale -n SHOP',
      'patch rollouts.argoproj.io --subresource=scale -n SHOP',
      'patch replicationcontrollers --subresource=scale -n SHOP',
      // What only users may do.
      'create backends.dormouse.dev -n SHOP',
      'delete backends.dormouse.dev -n SHOP',
      'create services -n SHOP',
      'delete services -n SHOP',
      'delete scaledobjects.keda.sh -n SHOP',
      'patch horizontalpodautoscalers.autoscaling -n SHOP',
      'patch gateways.gateway.networking.k8s.io -n SHOP',
      'patch httproutes.gateway.networking.k8s.io -n SHOP',
      // Rights, and the cluster itself.
      'create clusterrolebindings.rbac.authorization.k8s.io',
      'escalate clusterroles.rbac.authorization.k8s.io',
      'impersonate users',
      'patch namespaces/SHOP',
      'get nodes',
      'patch customresourcedefinitions.apiextensions.k8s.io',
      'list customresourcedefinitions.apiextensions.k8s.io',
      'create validatingadmissionpolicies.admissionregistration.k8s.io',
      'update leases.coordination.k8s.io/other -n OWN',
      'create leases.coordination.k8s.io -n SHOP',
    ]));

  it('gateways may read EndpointSlices, when the value says so, and nothing else', async () => {
    await may('dormouse-gateway', [
      'list endpointslices.discovery.k8s.io -A',
      'watch endpointslices.discovery.k8s.io -A',
    ]);
    await mayNot('dormouse-gateway', [
      'patch endpointslices.discovery.k8s.io -n SHOP',
      'get pods -n SHOP',
      'get services -n SHOP',
      'get backends.dormouse.dev -n SHOP',
      'patch deployments.apps --subresource=scale -n SHOP',
      'get secrets -n OWN',
      'get secrets/dormouse-gateway-link -n OWN',
      'get leases.coordination.k8s.io -n OWN',
      'create events.events.k8s.io -n OWN',
    ]);
  });

  it('the job before an uninstallation may delete Backends, and nothing else', async () => {
    await may('dormouse-uninstall', [
      'list backends.dormouse.dev -A',
      'watch backends.dormouse.dev -A',
      'delete backends.dormouse.dev -n SHOP',
    ]);
    await mayNot('dormouse-uninstall', [
      'patch backends.dormouse.dev -n SHOP',
      'create backends.dormouse.dev -n SHOP',
      'patch deployments.apps --subresource=scale -n SHOP',
      'delete deployments.apps -n OWN',
      'get secrets -n OWN',
    ]);
  });

  it("is part of the cluster's own roles: who may edit a namespace may edit its Backends, who may view it may see them", async () => {
    const { name } = shop;
    for (const role of ['edit', 'view'])
      await shop.kubectl('create', 'rolebinding', role, `--clusterrole=${role}`, `--user=${role}er`);
    const ask = async (user: string, verb: string): Promise<string> => {
      const asked = ['auth', 'can-i', verb, 'backends.dormouse.dev', '-n', name, `--as=${user}`];
      return (await cluster.kubectl(asked)).stdout.trim();
    };
    // The roles are put together by a controller, in its own time.
    for (let tries = 0; tries < 100 && (await ask('viewer', 'list')) !== 'yes'; tries++);
    for (let tries = 0; tries < 100 && (await ask('editer', 'create')) !== 'yes'; tries++);
    assert.equal(await ask('editer', 'create'), 'yes');
    assert.equal(await ask('viewer', 'watch'), 'yes');
    assert.equal(await ask('viewer', 'create'), 'no');
  });
});
