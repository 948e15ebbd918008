/** Admission on a real API server, as users with and without rights, and as the operator itself. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ensureCluster, until, type Cluster, type TestNamespace } from '../machine/index.ts';
import { apart, CRDS, isClusterScoped, render, type Rendered } from './chart.ts';

const BACKEND = {
  apiVersion: 'dormouse.dev/v1alpha1',
  kind: 'Backend',
  metadata: { name: 'web' },
  spec: { kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' }, port: 8080 } },
};

interface Target {
  apiVersion?: string;
  kind?: string;
  name?: string;
}

function backend(name: string, kubernetes: object = { port: 8080 }, target: Target = {}): object {
  return {
    ...BACKEND,
    metadata: { name },
    spec: { kubernetes: { target: { ...BACKEND.spec.kubernetes.target, ...target }, ...kubernetes } },
  };
}

function scaledBy(by: 'hpa' | 'keda'): object {
  const { kubernetes } = BACKEND.spec;
  return {
    ...BACKEND,
    metadata: { name: 'a' },
    spec: { kubernetes: { target: kubernetes.target, port: 8080 }, scale: { by } },
  };
}

/** What each user of the test may do besides writing Backends. */
const USERS: Readonly<Record<string, readonly object[]>> = {
  'writes-only': [],
  scales: [{ apiGroups: ['apps'], resources: ['deployments/scale'], verbs: ['update'] }],
  'scales-web': [
    { apiGroups: ['apps'], resources: ['deployments/scale'], resourceNames: ['web'], verbs: ['update'] },
    { apiGroups: [''], resources: ['services'], resourceNames: ['web'], verbs: ['update'] },
  ],
  'may-everything': [
    {
      apiGroups: ['apps'],
      resources: ['deployments/scale', 'statefulsets/scale', 'replicasets/scale'],
      verbs: ['update'],
    },
    { apiGroups: [''], resources: ['services'], verbs: ['update'] },
    { apiGroups: ['keda.sh'], resources: ['scaledobjects'], verbs: ['update'] },
  ],
};

describe('admission', () => {
  let cluster: Cluster;
  let own: TestNamespace;
  let applied: Rendered[] = [];

  before(async () => {
    cluster = await ensureCluster({ images: [] });
    own = await cluster.namespace('chart-admission');
    const { code, stderr } = await cluster.kubectl(['apply', '--server-side', '-f', CRDS]);
    assert.equal(code, 0, stderr);
    applied = apart(await render(own.name, { keda: { enabled: true, namespace: own.name } }), own.name).filter(
      ({ kind }) => /Role|Account|Admission/.test(kind),
    );
    await cluster.apply(applied);
    for (const [user, rules] of Object.entries(USERS)) {
      const writes = {
        apiGroups: ['dormouse.dev'],
        resources: ['backends'],
        verbs: ['get', 'create', 'update', 'patch'],
      };
      const reference = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: user };
      await own.apply([
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'Role',
          metadata: { name: user },
          rules: [writes, ...rules],
        },
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'RoleBinding',
          metadata: { name: user },
          roleRef: reference,
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
        },
      ]);
    }
    await own.apply([
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web' },
        spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
      },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'web' } },
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', labels: { app: 'web' } }, spec: podSpec('a') },
      slice('web-of-others', 'endpointslice-controller.k8s.io'),
    ]);
    // Policies are in force a moment after they are written.
    const denied = async (): Promise<boolean> =>
      /may not scale/.test((await as('writes-only', backend('probe'))).stderr);
    await until('the policies are in force', denied);
    const held = async (): Promise<boolean> =>
      /may change of a pod/.test((await operator(patchOf('pod', 'web', { metadata: { labels: { a: 'b' } } }))).stderr);
    await until('the operator is held', held);
  });

  after(async () => {
    for (const { kind, metadata } of applied.filter(isClusterScoped))
      await cluster.kubectl(['delete', kind, metadata.name]);
    await own?.[Symbol.asyncDispose]();
  });

  function podSpec(image: string): object {
    return {
      containers: [{ name: 'a', image, imagePullPolicy: 'Never' }],
      serviceAccountName: 'web',
      terminationGracePeriodSeconds: 0,
    };
  }

  function slice(name: string, manager: string): object {
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name,
        labels: { 'kubernetes.io/service-name': 'other', 'endpointslice.kubernetes.io/managed-by': manager },
      },
      addressType: 'IPv4',
      endpoints: [],
      ports: [],
    };
  }

  /** Creates it as this user, without keeping it. */
  async function as(user: string, object: object): Promise<{ code: number; stderr: string }> {
    const args = ['-n', own.name, 'create', '--dry-run=server', `--as=${user}`, '-f', '-'];
    return cluster.kubectl(args, JSON.stringify(object));
  }

  async function operator(args: readonly string[], input?: string): Promise<{ code: number; stderr: string }> {
    const user = `system:serviceaccount:${own.name}:dormouse-operator`;
    return cluster.kubectl(['-n', own.name, `--as=${user}`, ...args], input);
  }

  for (const [user, what, object] of [
    ['scales', 'a target by port', backend('a')],
    [
      'scales',
      'servers of others, which nobody scales',
      { ...BACKEND, spec: { servers: [{ url: 'http://10.0.0.1:80' }] } },
    ],
    ['writes-only', 'servers of others', { ...BACKEND, spec: { servers: [{ url: 'http://10.0.0.1:80' }] } }],
    ['scales-web', 'its own target and Service', backend('a', { service: 'web' })],
    ['may-everything', 'a StatefulSet', backend('a', undefined, { kind: 'StatefulSet' })],
    [
      'may-everything',
      'a ScaledObject',
      backend('a', { service: 'web', autoscaler: { kind: 'ScaledObject', name: 'web' } }),
    ],
  ] as const) {
    it(`${user} may write a Backend with ${what}`, async () => {
      const { code, stderr } = await as(user, object);
      assert.deepEqual([code, stderr], [0, '']);
    });
  }

  for (const [user, what, object, message] of [
    [
      'writes-only',
      'a target that it may not scale',
      backend('a'),
      /spec\.kubernetes\.target: writes-only may not scale Deployment web itself: it needs the verb update on deployments\/scale \(apps\) in namespace chart-admission/,
    ],
    [
      'scales',
      'a StatefulSet',
      backend('a', undefined, { kind: 'StatefulSet' }),
      /may not scale StatefulSet web itself/,
    ],
    ['scales-web', 'another target', backend('a', undefined, { name: 'bank' }), /may not scale Deployment bank itself/],
    [
      'scales',
      'a Service that it may not change',
      backend('a', { service: 'web' }),
      /spec\.kubernetes\.service: scales may not change Service web itself: it needs the verb update on services/,
    ],
    [
      'scales-web',
      'a ScaledObject that it may not change',
      backend('a', { service: 'web', autoscaler: { kind: 'ScaledObject', name: 'web' } }),
      /spec\.kubernetes\.autoscaler: scales-web may not change ScaledObject web itself: it needs the verb update on scaledobjects \(keda\.sh\)/,
    ],
    [
      'scales-web',
      'an HPA that it may not make',
      scaledBy('hpa'),
      /spec\.scale\.by: scales-web may not make a HorizontalPodAutoscaler itself: it needs the verb create/,
    ],
    [
      'scales-web',
      'a ScaledObject that it may not make',
      scaledBy('keda'),
      /spec\.scale\.by: scales-web may not make a ScaledObject itself: it needs the verb create/,
    ],
    [
      'may-everything',
      'a kind that is not in the values',
      backend('a', undefined, { kind: 'ReplicaSet' }),
      /does not scale apps\/v1\/ReplicaSet, only apps\/v1\/Deployment, apps\/v1\/StatefulSet\. Add it to the value "kinds" of the chart/,
    ],
  ] as const) {
    it(`${user} may not write a Backend with ${what}`, async () => {
      const { code, stderr } = await as(user, object);
      assert.equal(code, 1);
      assert.match(stderr, message);
    });
  }

  it('changing what somebody else has written needs the same rights; metadata does not', async () => {
    await own.apply([backend('kept')]);
    const patch = (user: string, body: object) =>
      cluster.kubectl([
        ...['-n', own.name, 'patch', 'backend', 'kept', '--type=merge', `--as=${user}`, '--dry-run=server'],
        ...['-p', JSON.stringify(body)],
      ]);
    const other = { spec: { kubernetes: { target: { name: 'bank' } } } };
    assert.match((await patch('scales-web', other)).stderr, /may not scale Deployment bank itself/);
    assert.match((await patch('writes-only', { spec: { scale: { max: 3 } } })).stderr, /may not scale Deployment web/);
    assert.equal((await patch('scales-web', { spec: { scale: { max: 3 } } })).code, 0);
    assert.equal((await patch('writes-only', { metadata: { annotations: { a: 'b' } } })).code, 0);
    // The finalizer.
    const finalizer = { metadata: { finalizers: ['dormouse.dev/restore'] } };
    const { code, stderr } = await operator([
      ...['patch', 'backend', 'kept', '--type=merge', '--dry-run=server', '-p', JSON.stringify(finalizer)],
    ]);
    assert.equal(code, 0, stderr);
  });

  const patchOf = (kind: string, name: string, body: object, type = 'merge'): string[] => [
    ...['patch', kind, name, `--type=${type}`, '--dry-run=server', '-p', JSON.stringify(body)],
  ];
  const COST = 'controller.kubernetes.io/pod-deletion-cost';

  it('the operator may mark pods, and change nothing else of them', async () => {
    const may = await operator(patchOf('pod', 'web', { metadata: { annotations: { [COST]: '-100' } } }));
    assert.equal(may.code, 0, may.stderr);
    for (const body of [
      { spec: { containers: [{ name: 'a', image: 'evil' }] } },
      { metadata: { labels: { app: 'bank' } } },
      { metadata: { labels: null } },
      { metadata: { annotations: { other: 'x' } } },
      { metadata: { annotations: { [COST]: '1', other: 'x' } } },
      { metadata: { finalizers: ['a.example/b'] } },
    ]) {
      const { code, stderr } = await operator(patchOf('pod', 'web', body, 'strategic'));
      assert.equal(code, 1, JSON.stringify(body));
      assert.match(stderr, /may change of a pod only the annotation controller\.kubernetes\.io\/pod-deletion-cost/);
    }
  });

  it('the operator may turn a Service away from its pods and back, and change nothing else of it', async () => {
    for (const value of ['yes', null]) {
      const { code, stderr } = await operator(
        patchOf('service', 'web', { spec: { selector: { 'dormouse.dev/asleep': value } } }),
      );
      assert.equal(code, 0, stderr);
    }
    for (const spec of [
      { selector: { app: 'bank' } },
      { selector: { app: null } },
      { selector: { other: 'x' } },
      { ports: [{ port: 81 }] },
      { type: 'NodePort' },
      { externalIPs: ['10.1.2.3'] },
      { sessionAffinity: 'ClientIP' },
    ]) {
      const { code, stderr } = await operator(patchOf('service', 'web', { spec }));
      assert.equal(code, 1, JSON.stringify(spec));
      assert.match(stderr, /only the key dormouse\.dev\/asleep of its selector/);
    }
  });

  it('the operator may write EndpointSlices of its own only', async () => {
    const write = (object: object) => operator(['apply', '--server-side', '-f', '-'], JSON.stringify(object));
    const ours = await write(slice('web-dormouse-ipv4', 'dormouse.dev'));
    assert.equal(ours.code, 0, ours.stderr);
    const again = await write({
      ...slice('web-dormouse-ipv4', 'dormouse.dev'),
      ports: [{ name: 'a', port: 20_000, protocol: 'TCP' }],
    });
    assert.equal(again.code, 0, again.stderr);
    assert.match(
      (await write(slice('new', 'endpointslice-controller.k8s.io'))).stderr,
      /EndpointSlices of its own only/,
    );
    const emptied = { endpoints: null };
    const takenOver = { metadata: { labels: { 'endpointslice.kubernetes.io/managed-by': 'dormouse.dev' } } };
    for (const body of [emptied, takenOver])
      assert.match((await operator(patchOf('endpointslice', 'web-of-others', body))).stderr, /own only/);
    assert.match((await operator(['delete', 'endpointslice', 'web-of-others'])).stderr, /own only/);
    assert.equal((await operator(['delete', 'endpointslice', 'web-dormouse-ipv4'])).code, 0);
  });

  it('the operator may pause ScaledObjects, and not change what they do', async (test) => {
    if ((await cluster.kubectl(['get', 'crd', 'scaledobjects.keda.sh'])).code !== 0) return test.skip('no KEDA here');
    await own
      .apply([
        {
          apiVersion: 'keda.sh/v1alpha1',
          kind: 'ScaledObject',
          metadata: { name: 'web', annotations: { 'autoscaling.keda.sh/paused': 'true' } },
          spec: {
            scaleTargetRef: { name: 'web' },
            minReplicaCount: 1,
            triggers: [
              {
                type: 'cron',
                metadata: { timezone: 'UTC', start: '0 8 * * *', end: '0 9 * * *', desiredReplicas: '2' },
              },
            ],
          },
        },
      ])
      .catch((error: unknown) => {
        // KEDA's own admission may want a target; the policy is what is tested.
        test.diagnostic(String(error));
      });
    if ((await cluster.kubectl(['-n', own.name, 'get', 'scaledobject', 'web'])).code !== 0)
      return test.skip('refused by KEDA');
    const paused = await operator(
      patchOf('scaledobject', 'web', { metadata: { annotations: { 'dormouse.dev/paused': 'true' } } }),
    );
    assert.equal(paused.code, 0, paused.stderr);
    const changed = await operator(patchOf('scaledobject', 'web', { spec: { minReplicaCount: 0 } }));
    assert.match(changed.stderr, /only those ScaledObjects and HPAs that belong to a Backend/);
    assert.match((await operator(['delete', 'scaledobject', 'web', '--dry-run=server'])).stderr, /belong to a Backend/);
    const made = (metadata: object): object => ({
      apiVersion: 'keda.sh/v1alpha1',
      kind: 'ScaledObject',
      metadata: { name: 'made', namespace: own.name, ...metadata },
      spec: {
        scaleTargetRef: { name: 'made' },
        triggers: [{ type: 'external-push', metadata: { scalerAddress: 'a:1' } }],
      },
    });
    const labels = { 'app.kubernetes.io/managed-by': 'dormouse' };
    const ownerReferences = [{ apiVersion: 'dormouse.dev/v1alpha1', kind: 'Backend', name: 'made', uid: 'x' }];
    const create = (metadata: object) =>
      operator(['create', '--dry-run=server', '-f', '-'], JSON.stringify(made(metadata)));
    for (const metadata of [{}, { labels }, { ownerReferences }])
      assert.match((await create(metadata)).stderr, /belong to a Backend/, JSON.stringify(metadata));
    assert.doesNotMatch((await create({ labels, ownerReferences })).stderr, /belong to a Backend|forbidden/);
  });
});
