/** External metrics as the API server asks for them: over TLS, with the caller's name in headers. */
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { silentLogger } from '../../model/ports.ts';
import { issueClient, renewedAuthority, trustBundle, type IssuedPair } from '../../tls/authority.ts';
import { certificates, FakeFigures, metric, SERVER_NAME } from '../keda/scaler.fixture.ts';
import { unavailableFigures } from '../scale/figures.ts';
import { AccessReviews } from './access-reviews.ts';
import { requestHeaderConfig, type Caller } from './caller.ts';
import { serveMetrics, type MetricsServer } from './metrics-server.ts';
import { backendsOf } from './selector.ts';

const API = '/apis/external.metrics.k8s.io/v1beta1';
const figures = new FakeFigures();
const reviews: { caller: Caller; resource: string; namespace: string }[] = [];
let server: MetricsServer;
let proxy: IssuedPair;
let ca: string | Buffer;
let nowMs = 0;
/** What the review says; it rejects with an Error. */
let word: { allowed: boolean; reason: string } | Error = { allowed: true, reason: '' };

before(async () => {
  const pem = await certificates();
  ca = pem.server.ca;
  const front = await renewedAuthority([], Date.now());
  proxy = await issueClient(front, 'gateway', Date.now());
  const requestHeader = requestHeaderConfig({
    'requestheader-client-ca-file': trustBundle(front),
    'requestheader-allowed-names': '["dormouse gateway","front-proxy-client"]',
    'requestheader-username-headers': '["X-Remote-User"]',
    'requestheader-group-headers': '["X-Remote-Group"]',
    'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
  })!;
  server = await serveMetrics({
    address: { host: '127.0.0.1', port: 0 },
    credentials: pem.server,
    requestHeader,
    access: new AccessReviews({
      nowMs: () => nowMs,
      review: async (caller, { resource, namespace }) => {
        reviews.push({ caller, resource, namespace });
        if (word instanceof Error) throw word;
        return word;
      },
    }),
    figures,
    logger: silentLogger,
  });
  figures.set('shop/users', true, metric('http', 12.5, 7), metric('jobs', 3000, 5));
  figures.set('shop/cart', true, metric('http', 1));
});
after(() => server.close());

interface Asked {
  headers?: Record<string, string | string[]>;
  pair?: IssuedPair | null;
  method?: string;
}

/** As much of all answers as is looked at. */
interface Body {
  kind: string;
  message: string;
  reason: string;
  apiVersion: string;
  groupVersion: string;
  swagger: string;
  openapi: string;
  paths: object;
  groups: { name: string }[];
  components: { schemas: object };
  items: {
    metricName: string;
    metricLabels: object;
    timestamp: string;
    value: string;
    versions: { resources: { responseKind: { kind: string } }[] }[];
  }[];
}

const HPA = {
  'x-remote-user': 'system:serviceaccount:kube-system:horizontal-pod-autoscaler',
  'x-remote-group': ['a', 'b'],
};

function ask(
  path: string,
  { headers = HPA, pair = proxy, method = 'GET' }: Asked = {},
): Promise<{ status: number; type: string; body: Body }> {
  return new Promise((resolve, reject) => {
    const { host, port } = server.address;
    const outgoing = request(
      { host, port, path, method, headers, ca, ...pair, servername: SERVER_NAME, agent: false },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          const type = response.headers['content-type'] ?? '';
          resolve({
            status: response.statusCode ?? 0,
            type,
            body: type.startsWith('application/json') ? JSON.parse(text) : text,
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const value = (metricName: string, selector: string, namespace = 'shop'): string =>
  `${API}/namespaces/${namespace}/${metricName}?labelSelector=${encodeURIComponent(selector)}`;

test('a value of the Backend that the selector names, asked in the name of who asks', async () => {
  reviews.length = 0;
  const { status, body } = await ask(value('http', 'dormouse.dev/backend=users'));
  assert.equal(status, 200);
  assert.equal(body.kind, 'ExternalMetricValueList');
  const [{ timestamp, ...item }] = body.items as [Body['items'][0]];
  assert.deepEqual(item, { metricName: 'http', metricLabels: { 'dormouse.dev/backend': 'users' }, value: '12500m' });
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.deepEqual(reviews, [
    {
      caller: { user: HPA['x-remote-user'], groups: ['a', 'b'], extra: Object.create(null) },
      resource: 'http',
      namespace: 'shop',
    },
  ]);
  const several = await ask(value('http', 'app=x,dormouse.dev/backend in (users, cart)'));
  assert.deepEqual(
    several.body.items.map((one: { value: string }) => one.value),
    ['12500m', '1'],
  );
  assert.equal((await ask(value('jobs', 'dormouse.dev/backend=users'))).body.items[0]!.value, '3000');
});

test('whoever is not the API server, or may not, is refused', async () => {
  const pem = await certificates();
  const path = value('http', 'dormouse.dev/backend=users');
  assert.equal((await ask(path, { pair: null })).status, 401);
  // Of our own authority: it signs for KEDA and gateways, not for the API server.
  assert.equal((await ask(path, { pair: pem.keda as IssuedPair })).status, 401);
  assert.equal((await ask(path, { headers: {} })).status, 401);
  assert.equal((await ask(API, { headers: {} })).status, 401);
  assert.equal((await ask(path, { method: 'DELETE' })).status, 405);
  nowMs += 11_000;
  word = { allowed: false, reason: 'no role' };
  const denied = await ask(path);
  assert.equal(denied.status, 403);
  assert.match(
    denied.body.message,
    /User "system:serviceaccount.*" cannot list resource "http".*namespace "shop": no role/,
  );
  // A no is kept for a moment, too; an answer that never came is not.
  word = new Error('the API server is away');
  assert.equal((await ask(path)).status, 403);
  nowMs += 11_000;
  assert.equal((await ask(path)).status, 503);
  word = { allowed: true, reason: '' };
  assert.equal((await ask(path)).status, 200);
});

test('what is asked wrongly, or is not known, is an error with what to do', async () => {
  const cases: [string, number, RegExp][] = [
    [value('http', ''), 400, /selector dormouse.dev\/backend=NAME/],
    [value('http', 'dormouse.dev/backend!=users'), 400, /selector/],
    [value('http', 'dormouse.dev/backend=nobody'), 404, /there is no Backend nobody in namespace shop/],
    [value('x'.repeat(300), 'dormouse.dev/backend=users'), 404, /has no metric "x{99}…"; it has http, jobs/],
    [value('x'.repeat(301), 'dormouse.dev/backend=users'), 404, /there is nothing at/],
    [value('%zz', 'dormouse.dev/backend=users'), 404, /has no metric/],
    [value('http', 'dormouse.dev/backend=users', 'Shop'), 404, /there is nothing at/],
    [`${API}/nonsense`, 404, /there is nothing at/],
  ];
  for (const [path, status, message] of cases) {
    const answer = await ask(path);
    assert.equal(answer.status, status, path);
    assert.equal(answer.body.kind, 'Status');
    assert.match(answer.body.message, message);
  }
});

test('a value that is old or that nobody has is an error, so that an HPA stands still', async () => {
  const path = value('http', 'dormouse.dev/backend=cart');
  figures.known.get('shop/cart')!.metrics[0]!.isStale = true;
  const stale = await ask(path);
  assert.deepEqual([stale.status, stale.body.reason], [503, 'ServiceUnavailable']);
  figures.known.get('shop/cart')!.metrics[0]!.isStale = false;
  figures.fails = unavailableFigures('no operator leads');
  assert.equal((await ask(path)).status, 503);
  figures.fails = new Error('secret');
  const broken = await ask(path);
  assert.equal(broken.status, 503);
  assert.doesNotMatch(broken.body.message, /secret/);
  figures.fails = null;
});

test('discovery and OpenAPI, as the aggregation layer asks for them', async () => {
  assert.equal((await ask('/livez', { pair: null, headers: {} })).status, 200);
  assert.equal((await ask('/apis')).body.groups[0]!.name, 'external.metrics.k8s.io');
  assert.equal((await ask('/apis/external.metrics.k8s.io')).body.kind, 'APIGroup');
  const { body } = await ask(API);
  assert.deepEqual([body.kind, body.groupVersion], ['APIResourceList', 'external.metrics.k8s.io/v1beta1']);
  for (const version of ['v2', 'v2beta1']) {
    const accept = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`;
    const found = await ask('/apis', { headers: { ...HPA, accept } });
    assert.match(found.type, new RegExp(`v=${version};as=APIGroupDiscoveryList`));
    assert.equal(found.body.apiVersion, `apidiscovery.k8s.io/${version}`);
    assert.equal(found.body.items[0]!.versions[0]!.resources[0]!.responseKind.kind, 'ExternalMetricValueList');
  }
  assert.equal((await ask('/openapi/v2')).body.swagger, '2.0');
  const { paths } = (await ask('/openapi/v3')).body;
  const [{ serverRelativeURL }] = Object.values(paths) as [{ serverRelativeURL: string }];
  const spec = (await ask(serverRelativeURL)).body;
  assert.equal(spec.openapi, '3.0.0');
  for (const ref of JSON.stringify(spec).matchAll(/#\/components\/schemas\/([^"]+)/g))
    assert.ok(ref[1]! in spec.components.schemas, ref[1]!);
});

test('selectors', () => {
  assert.deepEqual(backendsOf('dormouse.dev/backend=users'), ['users']);
  assert.deepEqual(backendsOf('a=b, dormouse.dev/backend == users ,c=d'), ['users']);
  assert.deepEqual(backendsOf('dormouse.dev/backend in (a,b)'), ['a', 'b']);
  for (const none of [
    '',
    'backend=users',
    'xdormouse.dev/backend=users',
    'dormouse.dev/backend',
    'dormouse.dev/backend notin (a)',
  ])
    assert.deepEqual(backendsOf(none), [], none);
});

test('what the API server publishes of itself', () => {
  assert.equal(requestHeaderConfig({}), null);
  const usual = requestHeaderConfig({ 'requestheader-client-ca-file': 'x', 'requestheader-allowed-names': 'nonsense' });
  assert.deepEqual(usual, {
    clientCa: 'x',
    allowedNames: [],
    userHeaders: ['x-remote-user'],
    groupHeaders: ['x-remote-group'],
    extraPrefixes: ['x-remote-extra-'],
  });
});
