/** The Gateway API's objects at a real API server with the real CRDs: what the reconciler writes is taken by their schemas, is reached, and is written once. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { defaultRegistry } from '../../../src/commands/registry.ts';
import { ObjectCompiler } from '../../../src/config/index.ts';
import { Authority } from '../../../src/gateway/fixtures/certificates.ts';
import { createClient, type ApiClient } from '../../../src/kubernetes/api-client.ts';
import { loadClusterConfig } from '../../../src/kubernetes/cluster-config.ts';
import { SERVICES } from '../../../src/kubernetes/resources.ts';
import { silentLogger, systemClock, type Logger } from '../../../src/model/ports.ts';
import type { Condition } from '../../../src/operator/backend-object.ts';
import {
  certificateChecks,
  documentedDefaults,
  GatewayApi,
  patternProblem,
  podPorts,
  type Translation,
} from '../../../src/operator/gateway-api/index.ts';
import type { Service } from '../../../src/operator/kinds.ts';
import { ensureCluster, until, type Cluster, type TestNamespace } from '../machine/index.ts';

const CRDS = new URL('../../../charts/dormouse/crds/', import.meta.url);
const API = '/apis/gateway.networking.k8s.io/v1';
const GROUP = 'gateway.networking.k8s.io';

let cluster: Cluster;
let client: ApiClient;
let infra: TestNamespace;
let web: TestNamespace;
let className: string;
let controllerName: string;
let reconciler: GatewayApi;
let translation: Translation;
const stop = new AbortController();
let ended: Promise<void>;
const complaints: string[] = [];
const logger: Logger = {
  ...silentLogger,
  warn: (message, fields) => void complaints.push(`${message} ${JSON.stringify(fields)}`),
  error: (message, fields) => void complaints.push(`${message} ${JSON.stringify(fields)}`),
  child: () => logger,
};

before(async () => {
  cluster = await ensureCluster({ nodes: 0, gatewayApi: true, images: [] });
  for (const file of readdirSync(CRDS)) await cluster.apply(readFileSync(new URL(file, CRDS), 'utf8'));
  infra = await cluster.namespace('gateway');
  web = await cluster.namespace('gateway-web');
  className = infra.name;
  controllerName = `dormouse.test/${className}`;
  const config = await loadClusterConfig({
    env: {},
    home: '/',
    clock: systemClock,
    kubeconfig: cluster.kubeconfigPath,
  });
  client = createClient(config, { logger, clock: systemClock, random: Math.random });
  const services = client.informer<Service>(SERVICES);
  services.start(stop.signal);
  const registry = defaultRegistry();
  const settings = {
    controllerName,
    addresses: [{ type: 'IPAddress', value: '192.0.2.1' }] as const,
    containerPort: podPorts(() => false),
    host: '::',
    defaults: documentedDefaults(registry),
    compiler: new ObjectCompiler(registry),
    checkPattern: patternProblem,
    checkCertificate: certificateChecks(),
  };
  reconciler = new GatewayApi({
    secretNamespaces: null,
    client,
    services,
    guarded: () => [],
    settings: () => settings,
    onTranslation: (next) => (translation = next),
    clock: systemClock,
    logger,
    random: Math.random,
  });
  ended = reconciler.run(stop.signal);
  await reconciler.setWriting(true);
  await reconciler.first(AbortSignal.timeout(30_000));
});

after(async () => {
  stop.abort();
  await ended;
  await cluster.kubectl(['delete', 'gatewayclass', className, '--ignore-not-found']);
  await infra[Symbol.asyncDispose]();
  await web[Symbol.asyncDispose]();
  await client.close();
});

const object = (kind: string, name: string, spec: object): object => ({
  apiVersion: `${GROUP}/v1`,
  kind,
  metadata: { name },
  spec,
});
const service = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ port: 8080 }] },
});
const route = (name: string, spec: object): object =>
  object('HTTPRoute', name, { parentRefs: [{ name: 'edge', namespace: infra.name }], ...spec });

interface Read {
  metadata: { generation: number; resourceVersion: string };
  status?: {
    addresses?: { value: string }[];
    conditions?: Condition[];
    supportedFeatures?: { name: string }[];
    listeners?: { name: string; attachedRoutes: number; supportedKinds: { kind: string }[]; conditions: Condition[] }[];
    parents?: { controllerName: string; conditions: Condition[] }[];
  };
}

const read = (plural: string, name: string, namespace = infra.name): Promise<Read | null> =>
  cluster.read<Read>(`${API}/namespaces/${namespace}/${plural}/${name}`);

function reasons(conditions: Condition[] | undefined): string {
  return (conditions ?? []).map(({ type, status, reason }) => `${type}=${status}/${reason}`).join(' ');
}

/** Resolves when the conditions that `of` finds are these, of the object's own generation. */
async function reached(
  what: string,
  look: () => Promise<Read | null>,
  of: (read: Read) => Condition[] | undefined,
  expected: string,
): Promise<Read> {
  let last = '';
  let found: Read | null = null;
  try {
    await until(what, async () => {
      found = await look();
      const conditions = found === null ? undefined : of(found);
      last = reasons(conditions);
      return (
        last === expected &&
        conditions!.every(({ observedGeneration }) => observedGeneration === found!.metadata.generation)
      );
    });
  } catch (cause) {
    throw new Error(`${what}: has ${last}; wanted ${expected}; ${complaints.join('; ')}`, { cause });
  }
  return found!;
}

const routeReaches = (name: string, expected: string, plural = 'httproutes', namespace = infra.name): Promise<Read> =>
  reached(
    `${plural} ${name}`,
    () => read(plural, name, namespace),
    ({ status }) => status?.parents?.find((parent) => parent.controllerName === controllerName)?.conditions,
    expected,
  );

const OK = 'Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs';

test('class, Gateway and routes are told what became of them', async () => {
  const authority = await Authority.create();
  const { cert, key } = await authority.issue({ names: ['a.example.com'] });
  await cluster.apply([{ ...object('GatewayClass', className, { controllerName }) }]);
  await infra.apply([
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'cert' },
      type: 'kubernetes.io/tls',
      stringData: { 'tls.crt': cert, 'tls.key': key },
    },
    service('v1'),
    service('v2'),
    {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'RouteFilter',
      metadata: { name: 'gzip' },
      spec: { compress: { encodings: ['gzip'] } },
    },
    object('Gateway', 'edge', {
      gatewayClassName: className,
      listeners: [
        { name: 'http', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } },
        { name: 'https', port: 443, protocol: 'HTTPS', tls: { certificateRefs: [{ name: 'cert' }] } },
        {
          name: 'wild',
          port: 443,
          protocol: 'HTTPS',
          hostname: '*.example.com',
          tls: { certificateRefs: [{ name: 'none' }] },
        },
        { name: 'tls', port: 9443, protocol: 'TLS', tls: { mode: 'Passthrough' } },
        { name: 'tcp', port: 5432, protocol: 'TCP' },
        { name: 'udp', port: 53, protocol: 'UDP' },
      ],
    }),
    route('simple', {
      rules: [
        {
          matches: [{ path: { type: 'PathPrefix', value: '/v1' }, method: 'GET' }],
          filters: [
            { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-a', value: 'b' }] } },
            { type: 'ExtensionRef', extensionRef: { group: 'dormouse.dev', kind: 'RouteFilter', name: 'gzip' } },
          ],
          backendRefs: [{ name: 'v1', port: 8080 }],
          timeouts: { request: '10s' },
        },
        {
          matches: [{ path: { type: 'RegularExpression', value: '(?=x)' } }],
          backendRefs: [{ name: 'v1', port: 8080 }],
        },
      ],
    }),
    route('wrong', { rules: [{ backendRefs: [{ name: 'none', port: 8080 }] }] }),
    {
      ...route('calls', {
        rules: [{ matches: [{ method: { service: 'shop.Cart' } }], backendRefs: [{ name: 'v1', port: 8080 }] }],
      }),
      kind: 'GRPCRoute',
    },
    {
      ...route('through', { hostnames: ['x.example.com'], rules: [{ backendRefs: [{ name: 'v1', port: 8080 }] }] }),
      kind: 'TLSRoute',
    },
    { ...route('bytes', { rules: [{ backendRefs: [{ name: 'v1', port: 8080 }] }] }), kind: 'TCPRoute' },
  ]);
  const ofClass = await reached(
    'class',
    () => cluster.read<Read>(`${API}/gatewayclasses/${className}`),
    ({ status }) => status?.conditions,
    'Accepted=True/Accepted SupportedVersion=True/SupportedVersion',
  );
  assert.ok(ofClass.status!.supportedFeatures!.some(({ name }) => name === 'HTTPRoute'));
  await routeReaches('simple', `${OK} PartiallyInvalid=True/UnsupportedValue`);
  await routeReaches('wrong', 'Accepted=True/Accepted ResolvedRefs=False/BackendNotFound');
  await routeReaches('calls', OK, 'grpcroutes');
  await routeReaches('through', OK, 'tlsroutes');
  await routeReaches('bytes', OK, 'tcproutes');
  const { status } = await reached(
    'gateway',
    () => read('gateways', 'edge'),
    (found) => found.status?.conditions,
    'Accepted=True/ListenersNotValid Programmed=True/Programmed',
  );
  assert.deepEqual(
    status!.addresses!.map(({ value }) => value),
    ['192.0.2.1'],
  );
  const fine =
    'Accepted=True/Accepted Conflicted=False/NoConflicts ResolvedRefs=True/ResolvedRefs Programmed=True/Programmed';
  assert.deepEqual(
    status!.listeners!.map(
      ({ name, attachedRoutes, conditions }) => `${name} ${attachedRoutes} ${reasons(conditions)}`,
    ),
    [
      `http 3 ${fine}`,
      `https 3 ${fine}`,
      `wild 3 Accepted=True/Accepted Conflicted=False/NoConflicts ResolvedRefs=False/InvalidCertificateRef Programmed=False/Invalid`,
      `tls 1 ${fine}`,
      `tcp 1 ${fine}`,
      `udp 0 Accepted=False/UnsupportedProtocol Conflicted=False/NoConflicts ResolvedRefs=True/ResolvedRefs Programmed=False/Invalid`,
    ],
  );
  assert.deepEqual(
    translation.listeners.map(({ name, address, backend }) => `${name} ${address.port} ${backend}`),
    [
      'http-80 10080 null',
      'https-443 10443 null',
      `tcp-5432 5432 service:${infra.name}/v1:8080:tcp`,
      'tls-9443 9443 null',
    ],
  );
});

test('a reference across namespaces is allowed when the grant comes, and no longer when it goes', async () => {
  await web.apply([service('far')]);
  await infra.apply([route('cross', { rules: [{ backendRefs: [{ name: 'far', namespace: web.name, port: 8080 }] }] })]);
  const not = 'Accepted=True/Accepted ResolvedRefs=False/RefNotPermitted';
  await routeReaches('cross', not);
  const from = [{ group: GROUP, kind: 'HTTPRoute', namespace: infra.name }];
  await web.apply([object('ReferenceGrant', 'let', { from, to: [{ group: '', kind: 'Service' }] })]);
  await routeReaches('cross', OK);
  assert.ok(translation.services.some(({ namespace, service: name }) => namespace === web.name && name === 'far'));
  await web.kubectl('delete', 'referencegrant', 'let');
  await routeReaches('cross', not);
  assert.ok(!translation.services.some(({ namespace }) => namespace === web.name));
});

test('a listener that opens itself to labelled namespaces follows the labels', async () => {
  await infra.apply([
    object('Gateway', 'labelled', {
      gatewayClassName: className,
      listeners: [
        {
          name: 'http',
          port: 8081,
          protocol: 'HTTP',
          allowedRoutes: { namespaces: { from: 'Selector', selector: { matchLabels: { team: infra.name } } } },
        },
      ],
    }),
  ]);
  const parentRefs = [{ name: 'labelled', namespace: infra.name }];
  await web.apply([
    object('HTTPRoute', 'from-web', { parentRefs, rules: [{ backendRefs: [{ name: 'far', port: 8080 }] }] }),
  ]);
  await routeReaches(
    'from-web',
    'Accepted=False/NotAllowedByListeners ResolvedRefs=True/ResolvedRefs',
    'httproutes',
    web.name,
  );
  await cluster.kubectl(['label', 'namespace', web.name, `team=${infra.name}`]);
  await routeReaches('from-web', OK, 'httproutes', web.name);
});

test('what others wrote into a status stays, and when everything is said nothing more is written', async () => {
  const path = `${API}/namespaces/${infra.name}/httproutes/simple/status`;
  const before = await read('httproutes', 'simple');
  const foreign = {
    parentRef: { name: 'edge' },
    controllerName: 'example.com/other',
    conditions: [
      { type: 'Accepted', status: 'True', reason: 'Accepted', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' },
    ],
  };
  const body = { status: { parents: [foreign, ...before!.status!.parents!] } };
  const answer = await cluster.request('PATCH', path, { body, contentType: 'application/merge-patch+json' });
  assert.equal(answer.status, 200, answer.body);
  // Something of ours has to be written anew: the other entry is kept.
  await infra.kubectl('delete', 'routefilter', 'gzip');
  await routeReaches(
    'simple',
    'Accepted=True/Accepted ResolvedRefs=False/BackendNotFound PartiallyInvalid=True/UnsupportedValue',
  );
  const after = await read('httproutes', 'simple');
  assert.deepEqual(
    after!.status!.parents!.map((parent) => parent.controllerName),
    ['example.com/other', controllerName],
  );
  const all = async (): Promise<string[]> =>
    Promise.all(
      (
        ['gateways edge', 'gateways labelled', 'httproutes simple', 'httproutes wrong', 'httproutes cross'] as const
      ).map(async (one) => (await read(...(one.split(' ') as [string, string])))!.metadata.resourceVersion),
    );
  await until('a status that is written no more', async () => {
    const versions = await all();
    reconciler.changed();
    await delay(1000);
    return (await all()).join() === versions.join();
  });
  assert.deepEqual(complaints, []);
});

test('a Gateway that is changed is told so with its new generation; one that is deleted leaves its routes', async () => {
  const { metadata } = (await read('gateways', 'labelled'))!;
  const listeners = [{ name: 'http', port: 8082, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }];
  await infra.apply([object('Gateway', 'labelled', { gatewayClassName: className, listeners })]);
  const changed = await reached(
    'gateway',
    () => read('gateways', 'labelled'),
    ({ status }) => status?.conditions,
    'Accepted=True/Accepted Programmed=True/Programmed',
  );
  assert.ok(changed.metadata.generation > metadata.generation);
  assert.ok(translation.listeners.some(({ name }) => name === 'http-8082'));
  await infra.kubectl('delete', 'gateway', 'labelled');
  await until('no status of ours', async () => {
    const found = await read('httproutes', 'from-web', web.name);
    return found!.status!.parents!.length === 0;
  });
  assert.ok(!translation.listeners.some(({ name }) => name === 'http-8082'));
});
