/** What helm makes of the chart; needs no cluster. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { renderChart, RENDERED } from '../../../scripts/render-chart.ts';
import { ensureBuilt, program } from '../machine/programs.ts';
import { CHART, find, helm, parse, render, withValues, type Rendered } from './chart.ts';

/** Every value another than the default, as far as they go together. */
const EVERYTHING = {
  image: {
    repository: 'registry.example/dormouse',
    digest: `sha256:${'a'.repeat(64)}`,
    pullPolicy: 'Always',
    pullSecrets: ['registry'],
  },
  kinds: [
    { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments' },
    { apiVersion: 'argoproj.io/v1alpha1', kind: 'Rollout', plural: 'rollouts' },
    { apiVersion: 'v1', kind: 'ReplicationController', plural: 'replicationcontrollers' },
  ],
  gatewayPorts: { from: 10_000, to: 10_999 },
  bindAddress: '[::]',
  settings: { events: { bus: 'redis://redis.queues:6379', passwordFile: '/var/run/dormouse/events/password' } },
  events: { secret: 'bus' },
  admin: {
    enabled: true,
    namespaces: ['shops', 'tools'],
    tokens: [{ name: 'platform', hash: `sha256:${'b'.repeat(64)}`, scope: 'admin' }],
    tls: { secretName: 'admin-tls', clientCertificates: true },
    gateway: { name: 'public', namespace: 'edge', sectionName: 'https' },
    scaleBy: 'keda',
    from: [{ podSelector: { matchLabels: { app: 'portal' } } }],
    resources: { requests: { cpu: '1' }, limits: { memory: '1Gi' } },
    extraArgs: ['--log-level=debug'],
    podAnnotations: { a: 'b' },
    podLabels: { team: 'edge' },
    serviceAccountAnnotations: { role: 'x' },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'a', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    priorityClassName: 'high',
  },
  operator: {
    replicas: 3,
    resources: { requests: { cpu: '1' } },
    extraArgs: ['--log-level=debug'],
    extraEnv: [{ name: 'A', value: 'b' }],
    podAnnotations: { a: 'b' },
    podLabels: { team: 'edge' },
    serviceAccountAnnotations: { role: 'x' },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'a', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    priorityClassName: 'high',
    podDeletionCost: false,
    podDisruptionBudget: false,
  },
  gateway: {
    replicas: 5,
    resources: {},
    delaySeconds: 15,
    drainSeconds: 60,
    watchEndpointSlices: false,
    extraArgs: ['--log-level=debug'],
    extraEnv: [{ name: 'A', value: 'b' }],
    podAnnotations: { a: 'b' },
    podLabels: { team: 'edge' },
    serviceAccountAnnotations: { role: 'x' },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'a', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    priorityClassName: 'high',
    podDisruptionBudget: false,
    autoscaling: { enabled: true, minReplicas: 3, maxReplicas: 30, targetCPUPercent: 50 },
    service: {
      type: 'LoadBalancer',
      annotations: { a: 'b' },
      loadBalancerClass: 'example.com/fast',
      loadBalancerSourceRanges: ['10.0.0.0/8'],
      externalTrafficPolicy: 'Local',
      extraPorts: [{ name: 'mqtt', port: 883, targetPort: 1883, nodePort: 30_883 }],
    },
  },
  gatewayApi: { createClass: true, secretNamespaces: ['edge', 'shop'] },
  keda: { enabled: true, namespace: 'scalers' },
  externalMetrics: { enabled: true },
  triggerSecrets: [{ namespace: 'shop', names: ['redis', 'nats'] }],
  admission: { checkRights: false, limitOperator: false },
  rbac: { aggregate: false },
  networkPolicy: {
    metricsNamespaces: ['monitoring'],
    sleepingServicesFrom: [{ namespaceSelector: {} }],
    routesFrom: [{ ipBlock: { cidr: '10.0.0.0/8' } }],
  },
  metrics: { serviceMonitor: { enabled: true, labels: { release: 'prometheus' }, interval: '30s' } },
  uninstall: { restore: false, timeoutSeconds: 60 },
};

const ofKind = (objects: readonly Rendered[], kind: string): string[] =>
  objects
    .filter((object) => object.kind === kind)
    .map(({ metadata }) => metadata.name)
    .toSorted();

test('helm lint has nothing to say, with the defaults and with every value changed', async () => {
  for (const values of [{}, EVERYTHING]) {
    const { code, stdout, stderr } = await withValues(values, (file) =>
      helm(['lint', '--strict', CHART, '--values', file, '--kube-version', '1.34.0']),
    );
    assert.equal(code, 0, `${stdout}${stderr}`);
    assert.doesNotMatch(stdout, /\[(WARNING|ERROR)\]/);
  }
});

test('with the defaults', async () => {
  const objects = await render('sleepers', {}, { hooks: true });
  assert.deepEqual(ofKind(objects, 'Deployment'), ['dormouse-gateway', 'dormouse-operator']);
  assert.deepEqual(ofKind(objects, 'GatewayClass'), []);
  for (const { kind, metadata } of objects) {
    assert.ok(metadata.labels?.['app.kubernetes.io/name'] === 'dormouse', `${kind} ${metadata.name}`);
    assert.ok(metadata.namespace === undefined || metadata.namespace === 'sleepers', `${kind} ${metadata.name}`);
  }
  const operator = find(objects, 'Deployment', 'dormouse-operator')['spec'];
  assert.deepEqual(operator.template.spec.containers[0].args, [
    'operator',
    '--namespace=sleepers',
    '--link=0.0.0.0:8443',
    '--scaler=0.0.0.0:8444',
    '--observe=0.0.0.0:8082',
    '--gateway-ports=20000-24999',
    '--gateway-service=dormouse-gateway',
    '--gateway-selector=app.kubernetes.io/name=dormouse,app.kubernetes.io/component=gateway',
    '--kinds=apps/v1/Deployment,apps/v1/StatefulSet',
    '--lease=dormouse-operator',
    '--settings=/etc/dormouse/settings.yaml',
  ]);
  const gateway = find(objects, 'Deployment', 'dormouse-gateway')['spec'];
  assert.deepEqual(gateway.template.spec.containers[0].args, [
    'gateway',
    '--name=$(POD_NAME)',
    '--operator=dormouse-operator.sleepers.svc:8443',
    '--certificates=/var/run/dormouse/link',
    '--observe=0.0.0.0:8082',
    '--drain=300s',
    '--delay=5s',
    '--watch-endpoint-slices',
  ]);
  assert.deepEqual(gateway.strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
  assert.equal(gateway.template.spec.terminationGracePeriodSeconds, 330);
  assert.equal(gateway.template.spec.automountServiceAccountToken, true);
  assert.deepEqual(gateway.template.spec.volumes[0].secret, {
    secretName: 'dormouse-gateway-link',
    defaultMode: 0o440,
  });
  const { publishNotReadyAddresses, clusterIP } = find(objects, 'Service', 'dormouse-operator')['spec'];
  assert.deepEqual([publishNotReadyAddresses, clusterIP], [true, 'None']);
});

test('every container runs without privileges, whatever it is for', async () => {
  const objects = await render('sleepers', {}, { hooks: true });
  const pods = objects.filter(({ kind }) => ['Deployment', 'Job'].includes(kind));
  assert.equal(pods.length, 3);
  for (const { spec } of pods.map((object) => object['spec'].template)) {
    assert.equal(spec.securityContext.runAsNonRoot, true);
    assert.equal(spec.securityContext.runAsUser, 65_532);
    assert.deepEqual(spec.securityContext.seccompProfile, { type: 'RuntimeDefault' });
    assert.equal(spec.hostNetwork, undefined);
    assert.equal(spec.enableServiceLinks, false);
    for (const { securityContext, resources } of spec.containers) {
      assert.deepEqual(securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      assert.ok(resources.limits.memory);
    }
  }
});

test('with every value changed', async () => {
  const objects = await render('sleepers', EVERYTHING, { hooks: true });
  assert.deepEqual(ofKind(objects, 'GatewayClass'), ['dormouse']);
  assert.deepEqual(ofKind(objects, 'ServiceMonitor'), ['dormouse']);
  assert.deepEqual(ofKind(objects, 'HorizontalPodAutoscaler'), ['dormouse-gateway']);
  for (const kind of ['PodDisruptionBudget', 'Job', 'ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding'])
    assert.deepEqual(ofKind(objects, kind), [], kind);
  assert.deepEqual(
    objects.filter(({ kind }) => kind === 'Role').map(({ metadata }) => `${metadata.namespace} ${metadata.name}`),
    [
      'shops dormouse-admin',
      'tools dormouse-admin',
      'sleepers dormouse-operator',
      'scalers dormouse-operator',
      'edge dormouse-operator-certificates',
      'shop dormouse-operator-certificates',
      'shop dormouse-operator-triggers',
    ],
  );
  const admin = find(objects, 'Deployment', 'dormouse-admin')['spec'].template.spec;
  for (const arg of ['--namespaces=shops,tools', '--gateway=edge/public/https', '--scale-by=keda', '--log-level=debug'])
    assert.ok(admin.containers[0].args.includes(arg), arg);
  const settings: string = find(objects, 'Secret', 'dormouse-admin-settings')['stringData']['settings.yaml'];
  assert.match(settings, /address: "\[::\]:8443"/);
  assert.match(settings, /clientCa: \/etc\/dormouse-tls\/ca\.crt/);
  const { rules } = find(objects, 'Role', 'dormouse-operator-triggers') as unknown as { rules: object[] };
  assert.deepEqual(rules, [
    { apiGroups: [''], resources: ['secrets'], resourceNames: ['redis', 'nats'], verbs: ['get'] },
  ]);
  const operator = find(objects, 'Deployment', 'dormouse-operator')['spec'].template.spec;
  assert.equal(operator.containers[0].image, `registry.example/dormouse@sha256:${'a'.repeat(64)}`);
  for (const arg of [
    '--link=[::]:8443',
    '--scaler=[::]:8444',
    '--keda-namespace=scalers',
    '--external-metrics=[::]:8445',
    '--gateway-ports=10000-10999',
    '--kinds=apps/v1/Deployment,argoproj.io/v1alpha1/Rollout,v1/ReplicationController',
    '--secret-namespaces=edge,shop',
    '--log-level=debug',
  ])
    assert.ok(operator.containers[0].args.includes(arg), arg);
  assert.deepEqual(
    [operator.nodeSelector, operator.priorityClassName, operator.imagePullSecrets],
    [{ disk: 'ssd' }, 'high', [{ name: 'registry' }]],
  );
  const gateway = find(objects, 'Deployment', 'dormouse-gateway')['spec'];
  for (const { containers, volumes } of [operator, gateway.template.spec]) {
    const { mountPath } = containers[0].volumeMounts.find(({ name }: { name: string }) => name === 'events');
    const { secret } = volumes.find(({ name }: { name: string }) => name === 'events');
    assert.deepEqual([mountPath, secret.secretName], ['/var/run/dormouse/events', 'bus']);
  }
  assert.equal(gateway.replicas, undefined);
  assert.equal(gateway.template.spec.terminationGracePeriodSeconds, 100);
  assert.equal(gateway.template.spec.automountServiceAccountToken, false);
  const service = find(objects, 'Service', 'dormouse-gateway')['spec'];
  assert.deepEqual(service.ports.at(-1), {
    name: 'mqtt',
    port: 883,
    targetPort: 1883,
    protocol: 'TCP',
    nodePort: 30_883,
  });
  const ingress = find(objects, 'NetworkPolicy', 'dormouse-gateway')['spec'].ingress;
  assert.deepEqual(ingress[0].ports.at(-1), { port: 1883, protocol: 'TCP' });
  assert.deepEqual(ingress[1].ports, [{ port: 10_000, endPort: 10_999, protocol: 'TCP' }]);
  // Gateways look at the Service themselves: a policy must not keep them from it.
  assert.equal(ingress[1].from.length, 2);
});

test('a DaemonSet of gateways: one on every node, replaced by a new one first', async () => {
  const objects = await render('sleepers', { gateway: { kind: 'DaemonSet' } });
  const { spec } = find(objects, 'DaemonSet', 'dormouse-gateway');
  assert.deepEqual(spec.updateStrategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
  assert.equal(spec.replicas, undefined);
  assert.equal(spec.template.spec.topologySpreadConstraints, undefined);
});

test('the GatewayClass is made where the cluster has the Gateway API', async () => {
  const apiVersions = ['gateway.networking.k8s.io/v1/GatewayClass'];
  assert.deepEqual(ofKind(await render('a', {}, { apiVersions }), 'GatewayClass'), ['dormouse']);
  const off = { gatewayApi: { createClass: false } };
  assert.deepEqual(ofKind(await render('a', off, { apiVersions }), 'GatewayClass'), []);
});

test('no role has a wildcard, and only kinds of the values may be scaled', async () => {
  const objects = await render('sleepers', EVERYTHING, { hooks: true });
  const rules = objects
    // Of the cluster's HPA controller: the name of a metric is the name of its resource.
    .filter(({ kind, metadata }) => kind.endsWith('Role') && metadata.name !== 'dormouse-external-metrics-reader')
    .flatMap((role) => role['rules'] as object[]);
  assert.doesNotMatch(JSON.stringify(rules), /\*/);
  // Of the Backends that the admin API makes, one in each of its namespaces.
  const own = ['deployments/scale', 'deployments/scale'];
  const scaled = rules
    .flatMap((rule) => (rule as { resources: string[] }).resources)
    .filter((name) => name.endsWith('scale'));
  assert.deepEqual(scaled, ['deployments/scale', 'rollouts/scale', 'replicationcontrollers/scale', ...own]);
  assert.doesNotMatch(JSON.stringify(rules), /"pods"\],"verbs":\[[^\]]*"patch"/);
});

for (const [name, values, message] of [
  ['an unknown key', { replicas: 2 }, /additional properties 'replicas' not allowed/],
  ['an unknown key further in', { gateway: { port: 80 } }, /\/gateway'.*'port' not allowed/],
  ['no replicas', { operator: { replicas: 0 } }, /operator\/replicas.*minimum/],
  ['a number as text', { gateway: { replicas: 'two' } }, /gateway\/replicas.*want integer/],
  ['no kinds', { kinds: [] }, /\/kinds.*minItems/],
  ['a kind without plural', { kinds: [{ apiVersion: 'apps/v1', kind: 'Deployment' }] }, /kinds\/0.*plural/],
  ['a wildcard', { kinds: [{ apiVersion: 'apps/v1', kind: 'Deployment', plural: '*' }] }, /plural.*pattern/],
  ['a subresource', { kinds: [{ apiVersion: 'v1', kind: 'Pod', plural: 'pods/exec' }] }, /plural.*pattern/],
  ['an API version that is none', { kinds: [{ apiVersion: 'apps', kind: 'A', plural: 'as' }] }, /apiVersion.*pattern/],
  ['ports above 32767', { gatewayPorts: { to: 40_000 } }, /gatewayPorts\/to.*maximum/],
  ['ports that need privileges', { gatewayPorts: { from: 80 } }, /gatewayPorts\/from.*minimum/],
  ['ports the wrong way round', { gatewayPorts: { from: 30_000 } }, /from \(30000\) is above to \(24999\)/],
  ['a type that is none', { gateway: { service: { type: 'ExternalName' } } }, /service\/type.*must be one of/],
  ['labels that selectors go by', { gateway: { podLabels: { 'app.kubernetes.io/name': 'x' } } }, /propertyName/],
  ['a digest that is none', { image: { digest: 'sha256:12' } }, /image\/digest.*pattern/],
  ['no repository', { image: { repository: '' } }, /image\/repository.*minLength/],
  ['a namespace that is none', { gatewayApi: { secretNamespaces: ['*'] } }, /secretNamespaces\/0.*pattern/],
  [
    'an HPA for a DaemonSet',
    { gateway: { kind: 'DaemonSet', autoscaling: { enabled: true } } },
    /a DaemonSet has one pod per node/,
  ],
  [
    'fewer at most than at least',
    { gateway: { autoscaling: { minReplicas: 20 } } },
    /minReplicas is above maxReplicas/,
  ],
  [
    'a policy that the type has not',
    { gateway: { service: { externalTrafficPolicy: 'Local' } } },
    /only for type NodePort or LoadBalancer/,
  ],
  [
    'a port that needs privileges',
    { gateway: { service: { extraPorts: [{ name: 'a', port: 25 }] } } },
    /can't listen on port 25; give a targetPort/,
  ],
  [
    'a port within gatewayPorts',
    { gateway: { service: { extraPorts: [{ name: 'a', port: 20_001 }] } } },
    /20001 lies within gatewayPorts/,
  ],
  ['an admin API without namespaces', { admin: { enabled: true } }, /name at least one namespace/],
  ['an admin API without tokens', { admin: { enabled: true, namespaces: ['a'] } }, /without them nobody is let in/],
  [
    'an admin API without TLS',
    {
      admin: {
        enabled: true,
        namespaces: ['a'],
        tokens: [{ name: 'a', hash: `sha256:${'b'.repeat(64)}`, scope: 'read' }],
      },
    },
    /served over TLS only/,
  ],
  ['a token in the place of its hash', { admin: { tokens: [{ name: 'a', hash: 'x', scope: 'read' }] } }, /pattern/],
  ['a port twice', { gateway: { service: { extraPorts: [{ name: 'a', port: 80 }] } } }, /extraPorts\/0\/port/],
] as const) {
  test(`refuses ${name}`, async () => {
    await assert.rejects(render('a', values), message);
  });
}

test('what dormouse install prints is the chart as it is now (npm run chart)', async () => {
  await ensureBuilt(['helm']);
  const text = renderChart(program('helm'));
  assert.equal(readFileSync(RENDERED, 'utf8'), text);
  assert.equal(parse(text)[0]!.kind, 'Namespace');
});

test('the operator may make what scales others only where that is wanted', async () => {
  const verbs = async (values: object): Promise<Record<string, string[]>> => {
    const { rules } = find(await render('sleepers', values), 'ClusterRole', 'dormouse-operator') as unknown as {
      rules: { resources: string[]; verbs: string[] }[];
    };
    const of = (resource: string): string[] => rules.find(({ resources }) => resources.includes(resource))?.verbs ?? [];
    return {
      scaledobjects: of('scaledobjects'),
      horizontalpodautoscalers: of('horizontalpodautoscalers'),
      clustertriggerauthentications: of('clustertriggerauthentications'),
      subjectaccessreviews: of('subjectaccessreviews'),
    };
  };
  const read = ['get', 'list', 'watch'];
  assert.deepEqual(await verbs({}), {
    scaledobjects: [...read, 'patch'],
    horizontalpodautoscalers: read,
    clustertriggerauthentications: [],
    subjectaccessreviews: [],
  });
  assert.deepEqual(await verbs({ keda: { enabled: true }, externalMetrics: { enabled: true } }), {
    scaledobjects: [...read, 'patch', 'create', 'delete'],
    horizontalpodautoscalers: [...read, 'create', 'patch', 'delete'],
    clustertriggerauthentications: ['create'],
    subjectaccessreviews: ['create'],
  });
});

test('external metrics lead to the operator, and the HPA controller may read them', async () => {
  const objects = await render('sleepers', { externalMetrics: { enabled: true } });
  const { service } = find(objects, 'APIService', 'v1beta1.external.metrics.k8s.io')['spec'];
  assert.deepEqual(service, { name: 'dormouse-external-metrics', namespace: 'sleepers' });
  const { ports, selector } = find(objects, 'Service', 'dormouse-external-metrics')['spec'];
  assert.deepEqual(ports, [{ name: 'api', port: 443, targetPort: 'api', protocol: 'TCP' }]);
  assert.equal(selector['app.kubernetes.io/component'], 'operator');
  assert.deepEqual(ofKind(await render('sleepers', {}), 'APIService'), []);
});
