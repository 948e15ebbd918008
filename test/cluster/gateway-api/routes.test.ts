/** Gateways and routes on real gateways: what users write leads where they mean, and a Backend behind a route sleeps there, whatever speaks to it. */
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { after, before, test } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import { WebSocket } from 'ws';
import { Authority } from '../../../src/gateway/fixtures/certificates.ts';
import { CERTIFICATES_NAMESPACE, installDormouse } from '../fixtures/installation.ts';
import { ALWAYS, Scene } from '../fixtures/scene.ts';
import { summary } from '../fixtures/traffic.ts';
import { ensureCluster, until, type Cluster } from '../machine/index.ts';
import { Edge, watchSelector } from './gateway.fixture.ts';

let cluster: Cluster;
let scene: Scene;
let edge: Edge;
let authority: Authority;

before(async () => {
  cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'routes');
  const { name } = scene.namespace;
  authority = await Authority.create();
  const { cert, key } = await authority.issue({ names: [`*.${name}.example`] });
  await cluster.apply([
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name, namespace: CERTIFICATES_NAMESPACE },
      stringData: { 'tls.crt': cert, 'tls.key': key },
    },
    {
      apiVersion: 'gateway.networking.k8s.io/v1beta1',
      kind: 'ReferenceGrant',
      metadata: { name, namespace: CERTIFICATES_NAMESPACE },
      spec: {
        from: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: name }],
        to: [{ group: '', kind: 'Secret', name }],
      },
    },
  ]);
  edge = await Edge.open(scene, [
    { name: 'http', port: 80, protocol: 'HTTP' },
    {
      name: 'https',
      port: 443,
      protocol: 'HTTPS',
      hostname: `*.${name}.example`,
      tls: { certificateRefs: [{ name, namespace: CERTIFICATES_NAMESPACE }] },
    },
  ]);
});

after(async () => {
  edge?.close();
  if (scene !== undefined) {
    const { name } = scene.namespace;
    await cluster.kubectl(['-n', CERTIFICATES_NAMESPACE, 'delete', `secret/${name}`, `referencegrant/${name}`]);
  }
  await scene?.[Symbol.asyncDispose]();
});

const rule = (service: string, more: object = {}): object => ({ backendRefs: [{ name: service, port: 80 }], ...more });
const prefix = (value: string) => [{ path: { type: 'PathPrefix', value } }];

test('a request for a sleeping Backend is held and answered once it runs, and its Service is never touched', async () => {
  const app = await edge.sleeping({ name: 'shop' });
  const touched = watchSelector(app);
  const answer = await edge.untilRouted('shop', { method: 'POST', path: '/count', body: 'one' });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['x-cold-start'], 'true');
  assert.equal((JSON.parse(answer.text) as { count: number }).count, 1);
  const warm = await edge.ask('shop');
  assert.equal(warm.headers['x-cold-start'], undefined);
  await edge.untilAsleep(app);
  assert.equal((await edge.ask('shop')).headers['x-cold-start'], 'true');
  await scene.backends.until(
    'shop tells who woke it',
    () => app.object?.status?.lastWoken?.by?.startsWith('GET / from ') === true,
  );
  assert.deepEqual(app.gatewaySlices, []);
  assert.equal(touched(), false);
  // A Backend by its own name, and one with servers.
  await scene.namespace.apply([
    {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name: 'elsewhere' },
      spec: { servers: [{ url: `http://${app.host}:80` }] },
    },
  ]);
  const reference = (name: string) => [{ backendRefs: [{ group: 'dormouse.dev', kind: 'Backend', name }] }];
  await edge.route('named', reference('shop'));
  assert.equal((await edge.untilRouted('named')).status, 200);
  await edge.route('servers', reference('elsewhere'));
  await edge.untilTold('HTTPRoute', 'servers', 'ResolvedRefs');
  const throughServers = await until('servers answer', async () => {
    // What these servers are sleeps by itself: it is woken by its own name.
    await edge.ask('named');
    const one = await edge.ask('servers');
    return one.status === 200 ? one : null;
  });
  assert.equal((JSON.parse(throughServers.text) as { name: string }).name, 'app');
});

test('a Backend wakes the one that it names in wake.with first', async () => {
  const database = await edge.sleeping({
    name: 'database',
    route: false,
    backend: { kubernetes: targetOnly('database') },
  });
  const app = await edge.sleeping({ name: 'front', backend: { wake: { with: ['database'] } } });
  assert.equal(database.replicas, 0);
  const answer = await edge.untilRouted('front');
  assert.equal(answer.status, 200, answer.text);
  assert.equal(database.replicas, 1);
  await scene.backends.until(
    'database tells who woke it',
    () => database.object?.status?.lastWoken?.by?.includes('front') === true,
  );
  await edge.untilAsleep(app);
  await scene.backends.until('database asleep too', () => database.object?.status?.state === 'asleep');
});

/** Without a Service, so that nothing is guarded in place. */
function targetOnly(name: string): object {
  return { target: { apiVersion: 'apps/v1', kind: 'Deployment', name }, port: 8080 };
}

test('filters of the route, a RouteFilter, a RoutePolicy, weights, 404 and 500', async () => {
  await Promise.all(['one', 'two'].map((name) => scene.guarded({ name, env: { NAME: name }, backend: null })));
  const own = (kind: string, name: string, spec: object): object => ({
    apiVersion: 'dormouse.dev/v1alpha1',
    kind,
    metadata: { name },
    spec,
  });
  const target = (sectionName?: string) => ({
    group: 'gateway.networking.k8s.io',
    kind: 'HTTPRoute',
    name: 'web',
    ...(sectionName === undefined ? {} : { sectionName }),
  });
  await scene.namespace.apply([
    own('RouteFilter', 'seldom', { rateLimit: { limit: 2, window: '1h' } }),
    own('RouteFilter', 'ask', { forwardAuth: { backend: 'nobody', path: '/check' } }),
    own('RoutePolicy', 'patience', { targetRefs: [target('slow')], timeouts: { request: '300ms' } }),
    own('RoutePolicy', 'too-late', { targetRefs: [target('slow'), target('none')], timeouts: { request: '1h' } }),
    own('RoutePolicy', 'nobody', { targetRefs: [target('closed')], clients: { deny: ['0.0.0.0/0'] } }),
  ]);
  const extension = (name: string): object => ({
    type: 'ExtensionRef',
    extensionRef: { group: 'dormouse.dev', kind: 'RouteFilter', name },
  });
  await edge.route('web', [
    rule('one', {
      matches: prefix('/api'),
      filters: [
        { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/v2' } } },
        { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-tenant', value: 'acme' }] } },
        { type: 'ResponseHeaderModifier', responseHeaderModifier: { add: [{ name: 'x-served', value: 'yes' }] } },
      ],
    }),
    rule('one', { matches: prefix('/seldom'), filters: [extension('seldom')] }),
    rule('one', { matches: prefix('/ask'), filters: [extension('ask')] }),
    rule('one', { name: 'slow', matches: prefix('/slow') }),
    rule('one', { name: 'closed', matches: prefix('/closed') }),
    rule('none', { matches: prefix('/missing') }),
    {
      matches: prefix('/split'),
      backendRefs: [
        { name: 'one', port: 80, weight: 3 },
        { name: 'two', port: 80, weight: 1 },
        { name: 'none', port: 80, weight: 0 },
      ],
    },
  ]);
  const answer = await edge.untilRouted('web', { path: '/api/x?y=1' });
  assert.equal(answer.status, 200, answer.text);
  const seen = JSON.parse(answer.text) as { path: string; headers: Record<string, string> };
  assert.equal(seen.path, '/v2/x?y=1');
  assert.equal(seen.headers['x-tenant'], 'acme');
  assert.equal(answer.headers['x-served'], 'yes');

  assert.deepEqual(await onOneConnection('web', '/seldom', 4), [200, 200, 429, 429]);

  assert.equal((await edge.ask('web', { path: '/ask' })).status, 500);
  await edge.untilTold('RouteFilter', 'seldom', 'Accepted');
  await edge.untilTold('RouteFilter', 'ask', 'ResolvedRefs', 'False', 'BackendNotFound');

  await edge.untilTold('RoutePolicy', 'patience', 'Accepted');
  await edge.untilTold('RoutePolicy', 'too-late', 'Accepted', 'False', 'Conflicted');
  await edge.untilTold('RoutePolicy', 'too-late', 'Accepted', 'False', 'TargetNotFound');
  assert.equal((await edge.ask('web', { path: '/slow?ms=20000' })).status, 504);
  assert.equal((await edge.ask('web', { path: '/closed' })).status, 403);

  assert.equal((await edge.ask('web', { path: '/other' })).status, 404);
  assert.equal((await edge.ask('unknown')).status, 404);
  assert.equal((await edge.ask('web', { path: '/missing' })).status, 500);
  await edge.untilTold('HTTPRoute', 'web', 'ResolvedRefs', 'False', 'BackendNotFound');

  const names = await Promise.all(
    Array.from({ length: 200 }, async () => {
      const { text } = await edge.ask('web', { path: '/split' });
      return (JSON.parse(text) as { name: string }).name;
    }),
  );
  const share = names.filter((name) => name === 'one').length / names.length;
  assert.ok(share > 0.6 && share < 0.9, `${share}`);
});

/** On one connection: of one gateway, which counts alone. */
async function onOneConnection(name: string, path: string, count: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const statuses: number[] = [];
  for (let number = 0; number < count; number++) {
    statuses.push(
      await new Promise<number>((resolve, reject) => {
        const outgoing = request(
          { host: edge.address, path, agent, headers: { host: edge.host(name) } },
          (response) => {
            response.resume().once('end', () => resolve(response.statusCode ?? 0));
          },
        );
        outgoing.once('error', reject).end();
      }),
    );
  }
  agent.destroy();
  return statuses;
}

test('TLS with a certificate of another namespace, through a wake', async () => {
  await edge.sleeping({ name: 'secure' });
  const answer = await until('TLS is in force', async () => {
    const one = await edge.ask('secure', { ca: authority.pem });
    return one.status === 404 || one.status === 500 ? null : one;
  });
  assert.equal(answer.status, 200, answer.text);
  assert.equal((JSON.parse(answer.text) as { headers: Record<string, string> }).headers['x-forwarded-proto'], 'https');
});

test('a WebSocket opens once the Backend runs, and keeps it awake', async () => {
  const app = await edge.sleeping({ name: 'live', backend: { scale: { idleAfter: '1s' } } });
  const path = `ws://${edge.address}/chat`;
  // The gateway that is asked may be the one that does not have the route yet.
  await edge.untilRouted('live');
  await edge.untilAsleep(app);
  const socket = new WebSocket(path, { headers: { host: edge.host('live') }, handshakeTimeout: 60_000 });
  const heard: string[] = [];
  const said = (count: number) =>
    new Promise<void>((resolve, reject) => {
      socket.on('message', (data) => {
        heard.push(String(data));
        if (heard.length === count) resolve();
      });
      socket.once('error', reject);
      socket.once('close', (code) => reject(new Error(`closed with ${code}: ${heard.join()}`)));
    });
  const both = said(3);
  socket.once('open', () => socket.send('hello'));
  // Longer than idleAfter.
  socket.once('open', () => socket.send('sleep 4000'));
  await both;
  assert.equal(app.object?.status?.state, 'awake');
  assert.deepEqual(heard.slice(1), ['hello', 'sleep 4000']);
  socket.removeAllListeners('close');
  socket.close();
  await edge.untilAsleep(app);
});

/** Echoes messages of unary calls, over HTTP/2 without TLS. */
const GRPC_PROGRAM = `
import { createServer } from 'node:http2';
const server = createServer();
server.on('stream', (stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'x-pod': process.env.HOSTNAME }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.pipe(stream);
});
server.listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

test('a call of gRPC wakes its Backend, and what leads nowhere is UNAVAILABLE', async () => {
  const name = 'calls';
  const labels = { app: name };
  await scene.namespace.apply([
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { 'grpc.mjs': GRPC_PROGRAM } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            volumes: [{ name: 'program', configMap: { name } }],
            containers: [
              {
                name: 'app',
                image: 'dormouse.test/app:latest',
                imagePullPolicy: 'Never',
                command: ['/usr/local/bin/node', '/program/grpc.mjs'],
                ports: [{ name: 'grpc', containerPort: 8080 }],
                volumeMounts: [{ name: 'program', mountPath: '/program' }],
              },
            ],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 'grpc', appProtocol: 'kubernetes.io/h2c' }] },
    },
    {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name },
      spec: {
        kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name }, service: name },
        scale: { idleAfter: '3s' },
      },
    },
  ]);
  const match = (service: string) => [{ method: { service } }];
  await edge.route(
    name,
    [rule(name, { matches: match('test.Echo') }), rule('none', { matches: match('test.Lost') })],
    'GRPCRoute',
  );
  const client = new Client(`${edge.address}:80`, credentials.createInsecure(), {
    'grpc.default_authority': edge.host(name),
  });
  const call = (method: string): Promise<{ said: string; cold: string | undefined } | { code: number }> =>
    new Promise((resolve) => {
      let cold: string | undefined;
      const bytes = (value: Buffer): Buffer => value;
      client
        .makeUnaryRequest(
          method,
          bytes,
          bytes,
          Buffer.from('hello'),
          { deadline: Date.now() + 60_000 },
          (error, value) => resolve(error === null ? { said: String(value), cold } : { code: error.code }),
        )
        .once('metadata', (metadata) => (cold = metadata.get('x-cold-start')[0]?.toString()));
    });
  const UNIMPLEMENTED = 12;
  const first = await until('the GRPCRoute is in force', async () => {
    const one = await call('/test.Echo/Say');
    return 'code' in one && one.code === UNIMPLEMENTED ? null : one;
  });
  assert.deepEqual(first, { said: 'hello', cold: 'true' });
  assert.deepEqual(await call('/test.Echo/Other'), { said: 'hello', cold: undefined });
  const UNAVAILABLE = 14;
  assert.deepEqual(await call('/test.Lost/Say'), { code: UNAVAILABLE });
  client.close();
});

test('without its route a Backend is guarded in place again', async () => {
  const app = await edge.sleeping({
    name: 'back',
    backend: { idle: { ...ALWAYS, settle: '500ms' }, scale: { idleAfter: '2s' } },
  });
  assert.equal((await edge.untilRouted('back')).headers['x-cold-start'], 'true');
  await scene.namespace.kubectl('delete', 'httproute', 'back');
  await app.untilCondition('ServiceReady', 'True', 'Redirectable');
  await app.untilAsleep();
  assert.equal(app.gatewaySlices.length, 1);
  const answer = await app.get();
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers.get('x-cold-start'), 'true');
  // And back, while it guards in place: the Service is handed back first.
  await app.untilAsleep();
  await edge.route('back', [rule('back')]);
  await app.untilCondition('ServiceReady', 'True', 'Routed');
  await app.untilWithoutGateways();
  assert.equal((await edge.untilRouted('back')).status, 200);
  await edge.untilAsleep(app);
});

test('a rollout behind a route to a Service without Backend loses nothing', async (t) => {
  // What Kubernetes advises: endpoints are told to be terminating before the program is, which closes connections on which requests may be under way to it.
  const app = await scene.guarded({ name: 'rolled', replicas: 2, backend: null, preStopSeconds: 2 });
  await edge.route('rolled', [rule('rolled')]);
  await edge.untilRouted('rolled');
  await until('both gateways have the route', async () => {
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await edge.ask('rolled')).status));
    return statuses.every((status) => status === 200);
  });
  await using traffic = await app.traffic({
    host: edge.address,
    hostHeader: edge.host('rolled'),
    fresh: { everyMs: 20 },
    kept: { clients: 4, everyMs: 20 },
    methods: 'both',
  });
  await scene.namespace.kubectl('rollout', 'restart', 'deployment/rolled');
  await scene.namespace.kubectl('rollout', 'status', 'deployment/rolled', '--timeout=120s');
  await scene.deployments.until('only new pods', () => scene.deployments.get('rolled')?.status?.replicas === 2);
  const report = await traffic.end();
  t.diagnostic(summary(report));
  assert.equal(report.lost.length, 0, summary(report));
  assert.deepEqual(scene.witness.duplicates, []);
  assert.ok(report.sent > 100 && Object.keys(report.pods).length >= 3, summary(report));
});
