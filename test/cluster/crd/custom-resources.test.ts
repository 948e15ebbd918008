/** The custom resources of charts/dormouse/crds at a real API server: they are taken, good objects are stored as they are, bad ones refused with the field's name. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { before, test } from 'node:test';
import { parse } from 'yaml';
import { defaultRegistry } from '../../../src/commands/registry.ts';
import { ObjectCompiler } from '../../../src/config/index.ts';
import { ensureCluster, until, type Cluster } from '../machine/index.ts';

const folder = new URL('../../../charts/dormouse/crds/', import.meta.url);
const files = readdirSync(folder);
const compiler = new ObjectCompiler(defaultRegistry());
let cluster: Cluster;

before(async () => {
  cluster = await ensureCluster({ nodes: 0, images: [] });
  for (const file of files) await cluster.apply(readFileSync(new URL(file, folder), 'utf8'));
  for (const file of files) await until(file, async () => (await condition(file, 'Established')) === 'True');
});

interface Resource {
  status: { conditions: { type: string; status: string; message: string }[] };
}

async function condition(file: string, type: string): Promise<string | undefined> {
  const name = file.replace(/\.yaml$/, '');
  const resource = await cluster.read<Resource>(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`);
  return resource?.status.conditions.find((one) => one.type === type)?.status;
}

interface Answer {
  status: number;
  object: { spec?: unknown; message?: string };
}

const PLURALS = { Backend: 'backends', RouteFilter: 'routefilters', RoutePolicy: 'routepolicies' };

/** What the API server would make of it; nothing is stored. */
async function offered(kind: keyof typeof PLURALS, spec: unknown, name = 'users'): Promise<Answer> {
  const path = `/apis/dormouse.dev/v1alpha1/namespaces/default/${PLURALS[kind]}?dryRun=All&fieldValidation=Strict`;
  const body = { apiVersion: 'dormouse.dev/v1alpha1', kind, metadata: { name, namespace: 'default' }, spec };
  const answer = await cluster.request('POST', path, { body });
  return { status: answer.status, object: JSON.parse(answer.body) as Answer['object'] };
}

/** Asserts that it is refused, with these words in the message. */
async function refused(
  kind: keyof typeof PLURALS,
  table: readonly (readonly [spec: object, ...words: string[]])[],
): Promise<void> {
  const wrong: string[] = [];
  for (const [spec, ...words] of table) {
    const { status, object } = await offered(kind, spec);
    const message = object.message ?? '';
    if ((status !== 422 && status !== 400) || !words.every((word) => message.includes(word)))
      wrong.push(`${JSON.stringify(spec)}\n  wanted ${words.join(' … ')}\n  got ${status} ${message}`);
  }
  assert.equal(wrong.join('\n'), '');
}

test('they are structural schemas', async () => {
  for (const file of files) assert.equal(await condition(file, 'NonStructuralSchema'), undefined, file);
});

const TARGET = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'users' };
const KUBERNETES = { target: TARGET, service: 'users' };
const PROMETHEUS = { serverAddress: 'http://prometheus.monitoring:9090', query: 'sum(up)', threshold: 0.5 };

const BACKENDS: readonly object[] = [
  { kubernetes: KUBERNETES },
  { kubernetes: KUBERNETES, scale: { idleAfter: '2d' }, idle: { settle: '0' }, health: { status: 200 } },
  { servers: [{ url: 'http://10.0.0.7:8080' }, { url: 'http://10.0.0.8', weight: 3, backup: true }] },
  {
    kubernetes: {
      // Of the kinds that the installation of the tests lets be scaled, when it is there.
      target: { apiVersion: 'driver.dormouse.test/v1', kind: 'Replicator', name: 'users.v2' },
      port: 8080,
      autoscaler: { kind: 'ScaledObject', name: 'users' },
      ready: 'pod',
    },
    scale: {
      min: 1,
      max: 5,
      by: 'dormouse',
      idleAfter: '1h30m',
      target: { concurrency: 12.5, utilizationPercent: 80 },
      windows: { stable: '30s', panicPercent: 20, panicThresholdPercent: 150 },
      rates: { up: 10, down: 1.5 },
      scaleDownDelay: '15s',
    },
    idle: {
      webSockets: 'ignore',
      prometheus: { ...PROMETHEUS, uptimeQuery: 'time() - 1', scrapeInterval: '30s' },
      schedule: { timezone: 'Europe/Berlin', allow: ['* 20-6 * * *', '* * * * SAT,SUN'], awake: ['0-30 8 * * 1-5'] },
      settle: '5s',
    },
    wake: {
      timeout: '90s',
      maxHeld: 2000,
      maxHeldBytes: '64MiB',
      with: ['db', 'cache'],
      page: true,
      failFastAfter: '30s',
      before: { cron: '50 7 * * 1-5', timezone: 'Europe/Berlin' },
      answers: [
        {
          match: { path: { exact: '/healthz' }, methods: ['GET'], headers: { 'x-probe': { regex: '.+' } } },
          body: 'ok',
        },
        { match: { query: { probe: { exact: '1' } } }, status: 204, headers: { 'x-asleep': 'yes' } },
      ],
      never: { userAgents: [{ regex: 'kube-probe.*' }], clients: ['10.9.0.0/16'] },
    },
    balance: {
      strategy: 'consistent-hash',
      hash: { header: 'x-user' },
      sticky: { cookie: 'route', ttl: '1h' },
      slowStart: '30s',
    },
    endpoints: {
      maxConnections: 8,
      maxRequests: 100,
      protocol: 'h2',
      idlePerEndpoint: 4,
      connectTimeout: '200ms',
      idleTimeout: '10s',
    },
    clients: { allow: ['10.0.0.0/8'], deny: ['10.1.2.3'] },
    tls: { serverName: 'users.internal', insecure: true },
    proxyProtocol: 'off',
    health: { http: '/up', interval: '1s', timeout: '500ms', status: '200-299', rise: 1, fall: 1 },
    ejection: {
      consecutiveErrors: 0,
      failurePercent: 0,
      minimumRequests: 1,
      window: '1s',
      base: '1s',
      maxEjectedPercent: 100,
    },
    breaker: {
      failurePercent: 25.5,
      window: '30s',
      minimumRequests: 5,
      openFor: '1m',
      trials: 1,
      fallback: { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Sorry</h1>' },
    },
  },
];

test('a Backend is stored as it was written, and means something to the program', async () => {
  for (const spec of BACKENDS) {
    const { status, object } = await offered('Backend', spec);
    assert.equal(status, 201, object.message ?? '');
    assert.deepEqual(object.spec, spec);
    const compiled = compiler.backend({ metadata: { name: 'users', namespace: 'default' }, spec: object.spec });
    assert.ok('backend' in compiled, JSON.stringify(compiled));
  }
});

const backend = (more: object): object => ({ kubernetes: KUBERNETES, ...more });

test('a Backend that contradicts itself is refused, with the name of the field', async () => {
  await refused('Backend', [
    [{}, 'spec', 'needs exactly one of kubernetes and servers'],
    [backend({ servers: [{ url: 'http://a' }] }), 'spec', 'needs exactly one of kubernetes and servers'],
    [backend({ process: { command: ['node'] } }), 'unknown field "spec.process"'],
    [{ kubernetes: { service: 'users' } }, 'spec.kubernetes.target', 'Required value'],
    [
      { kubernetes: { target: { ...TARGET, kind: undefined }, service: 'users' } },
      'spec.kubernetes.target.kind',
      'Required value',
    ],
    [{ kubernetes: { target: { ...TARGET, kind: 'deployment' }, service: 'users' } }, 'spec.kubernetes.target.kind'],
    [
      { kubernetes: { target: { ...TARGET, apiVersion: 'Apps' }, service: 'users' } },
      'spec.kubernetes.target.apiVersion',
    ],
    [{ kubernetes: { target: TARGET } }, 'spec', 'needs service or port; workers without one need triggers'],
    [{ kubernetes: { ...KUBERNETES, port: 80 } }, 'spec.kubernetes', 'port has no place beside service'],
    [{ kubernetes: { target: TARGET, port: 70_000 } }, 'spec.kubernetes.port', 'less than or equal to 65535'],
    [{ kubernetes: { ...KUBERNETES, namespace: 'other' } }, 'unknown field "spec.kubernetes.namespace"'],
    [{ kubernetes: { ...KUBERNETES, ready: 'yes' } }, 'spec.kubernetes.ready', '"probe", "pod"'],
    [
      { kubernetes: { ...KUBERNETES, autoscaler: { kind: 'HorizontalPodAutoscaler', name: 'users' } } },
      'spec.kubernetes.autoscaler.kind',
      '"ScaledObject"',
    ],
    [{ servers: ['http://a'] }, 'spec.servers[0]', 'must be of type object'],
    [{ servers: [{ url: 'ftp://a' }] }, 'spec.servers[0].url'],
    [{ servers: [{ url: 'http://a', backup: true }] }, 'spec.servers', 'has backups only'],
    [{ servers: [{ url: 'http://a' }], tls: {} }, 'spec', 'tls has no effect on http:// servers'],
    [backend({ scale: { mx: 3 } }), 'unknown field "spec.scale.mx"'],
    [backend({ scale: { min: 2 } }), 'spec.scale.min', 'min is more than max'],
    [backend({ scale: { min: 2, max: 5, by: 'none' } }), 'spec.scale.min', 'min is more than max'],
    [backend({ scale: { by: 'kda' } }), 'spec.scale.by', '"dormouse", "hpa", "keda", "none"'],
    [backend({ scale: { max: 'many' } }), 'spec.scale.max', 'must be of type integer'],
    [backend({ scale: { idleAfter: '60' } }), 'spec.scale.idleAfter', 'should match'],
    [backend({ scale: { windows: { stable: '100ms' } } }), 'spec.scale.windows.stable', 'expected at least 1s'],
    [backend({ scale: { target: { concurrency: 1, rps: 1 } } }), 'spec.scale.target', 'has both concurrency and rps'],
    [
      backend({ idle: { prometheus: { ...PROMETHEUS, threshold: 'high' } } }),
      'spec.idle.prometheus.threshold',
      'must be of type number',
    ],
    [
      backend({ idle: { prometheus: { ...PROMETHEUS, threshold: 0 } } }),
      'spec.idle.prometheus.threshold',
      'greater than 0',
    ],
    [backend({ idle: { prometheus: { ...PROMETHEUS, query: '' } } }), 'spec.idle.prometheus.query'],
    [
      backend({ idle: { prometheus: { ...PROMETHEUS, serverAddress: 'prometheus:9090' } } }),
      'spec.idle.prometheus.serverAddress',
    ],
    [backend({ idle: { schedule: { timezone: 'UTC' } } }), 'spec.idle.schedule', 'has neither allow nor awake'],
    [backend({ idle: { schedule: { allow: ['* 20-6 * *'] } } }), 'spec.idle.schedule.allow[0]', 'five fields'],
    [backend({ wake: { timeout: '0s' } }), 'spec.wake.timeout', 'expected at least 1ms'],
    [backend({ idle: { settle: '2h' } }), 'spec.idle.settle', 'expected at most 1h'],
    [backend({ wake: { with: ['db', 'users'] } }), 'wake.with names this object itself'],
    [backend({ wake: { before: { timezone: 'UTC' } } }), 'spec.wake.before.cron', 'Required value'],
    [backend({ wake: { maxHeldBytes: 'much' } }), 'spec.wake.maxHeldBytes', 'should match'],
    [
      backend({ wake: { answers: [{ match: { path: { exact: '/a', prefix: '/b' } } }] } }),
      'spec.wake.answers[0].match.path',
      'needs exactly one of exact, prefix and regex',
    ],
    [
      backend({ wake: { answers: [{ match: { headers: { 'x-a': {} } } }] } }),
      'spec.wake.answers[0].match.headers[x-a]',
      'needs exactly one of exact and regex',
    ],
    [backend({ balance: { strategy: 'best' } }), 'spec.balance.strategy', '"round-robin"'],
    [
      backend({ balance: { hash: { header: 'x-a', client: 'address' } } }),
      'spec.balance.hash',
      'needs exactly one of header, cookie, client and uri',
    ],
    [backend({ endpoints: { protocol: 'h2' } }), 'spec', 'endpoints.protocol h2 needs tls'],
    [backend({ endpoints: { protocol: 'h2c' }, tls: {} }), 'spec', 'but there is tls'],
    [backend({ tls: { ca: '/etc/passwd' } }), 'unknown field "spec.tls.ca"'],
    [backend({ health: { status: 99 } }), 'spec.health.status'],
    [backend({ breaker: { fallback: { status: 700 } } }), 'spec.breaker.fallback.status'],
  ]);
});

const FILTERS: readonly object[] = [
  { requestHeaders: { set: { 'x-tenant': 'blue' }, add: { 'x-list': ['a', 'b'] }, remove: ['cookie'] } },
  { responseHeaders: { remove: ['server'] } },
  {
    rewrite: { host: 'users.internal', path: { regex: '^/api/(.*)$', replacement: '/$1' }, query: { set: { v: '2' } } },
  },
  { redirect: { scheme: 'https', status: 308 } },
  {
    jwt: {
      issuer: null,
      audience: ['shop'],
      jwks: { url: 'https://login.example.com/jwks.json' },
      require: { claims: { admin: [true] } },
    },
  },
  { jwt: { issuer: ['a'], audience: null, jwks: { backend: 'login', path: '/jwks' }, from: [{ cookie: 'session' }] } },
  { forwardAuth: { backend: 'login', path: '/check', cache: { for: '10s' }, identityHeader: null } },
  { rateLimit: { limit: 10, key: 'client', status: 429 } },
  { rateLimit: { limit: 10, key: { header: 'x-user' }, redis: { url: 'redis://redis:6379/0' } } },
  { concurrency: { max: 5, per: 'route' } },
  {
    validate: {
      headers: { 'x-a': true, 'x-b': { regex: '[0-9]+' } },
      maxBody: '1MiB',
      json: { schema: { type: 'object' } },
    },
  },
  { body: { request: { set: { 'a.b': { c: [1, null] } }, remove: ['d'] } } },
  { compress: { encodings: ['zstd', 'gzip'], minSize: 100, levels: { gzip: 9 } } },
  { errorPages: { pages: [{ status: [404, '5xx'], body: '<h1>Sorry</h1>' }], backend: true } },
  { mirror: { backend: 'shadow', percent: 12.5 } },
  { cors: { origins: ['https://app.example.com'], credentials: true, maxAge: '1h' } },
];

test('a RouteFilter of each kind is stored as it was written, and means something to the program', async () => {
  for (const spec of FILTERS) {
    const { status, object } = await offered('RouteFilter', spec);
    assert.equal(status, 201, object.message ?? '');
    assert.deepEqual(object.spec, spec);
    const compiled = compiler.routeFilter({ metadata: { name: 'users', namespace: 'default' }, spec: object.spec });
    assert.ok('filter' in compiled, JSON.stringify([spec, compiled]));
  }
});

test('a RouteFilter that can not work is refused', async () => {
  await refused('RouteFilter', [
    [{}, 'spec', 'needs exactly one of the filters'],
    [{ mirror: { backend: 'a' }, cors: { origins: ['*'] } }, 'spec', 'needs exactly one of the filters'],
    [{ rateLimits: { limit: 1 } }, 'unknown field "spec.rateLimits"'],
    [{ rateLimit: {} }, 'spec.rateLimit.limit', 'Required value'],
    [{ rateLimit: { limit: 0 } }, 'spec.rateLimit.limit', 'greater than or equal to 1'],
    [{ rateLimit: { limit: 1, window: '1 minute' } }, 'spec.rateLimit.window', 'should match'],
    [{ redirect: {} }, 'spec.redirect', 'this would lead to itself'],
    [{ redirect: { scheme: 'https', status: 200 } }, 'spec.redirect.status', '"301", "302"'],
    [{ rewrite: { path: { full: '/a', prefix: '/b' } } }, 'spec.rewrite.path', 'needs exactly one of prefix, full'],
    [{ rewrite: { path: { regex: '/a' } } }, 'spec.rewrite.path', 'regex and replacement'],
    [
      { jwt: { issuer: 'https://a', audience: null, jwks: { url: 'https://a/k' } } },
      'spec.jwt.issuer',
      'must be of type array',
    ],
    [{ jwt: { issuer: null, audience: null, jwks: {} } }, 'spec.jwt.jwks', 'needs exactly one of url and backend'],
    [{ basic: { file: '/etc/shadow' } }, 'unknown field "spec.basic.file"'],
    [{ forwardAuth: { url: 'http://a', path: '/b' } }, 'spec.forwardAuth', 'path stands beside backend only'],
    [{ errorPages: { pages: [{ status: [404] }] } }, 'spec.errorPages.pages[0].body', 'Required value'],
  ]);
});

const ROUTE = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', name: 'web' };

test('a RoutePolicy', async () => {
  const spec = {
    targetRefs: [ROUTE, { ...ROUTE, kind: 'GRPCRoute', sectionName: 'api' }],
    clients: { deny: ['10.0.0.0/8'] },
    timeouts: { request: '10s', perTry: '3s', idle: '1m' },
    retry: { attempts: 3, conditions: ['connect', '503'], backoff: '50ms', budgetPercent: 10 },
    webSocket: { idle: '10m', ping: '0s' },
    sse: { heartbeat: '5s', retry: '1s' },
  };
  const { status, object } = await offered('RoutePolicy', spec);
  assert.equal(status, 201, object.message ?? '');
  assert.deepEqual(object.spec, spec);
  assert.ok('policy' in compiler.routePolicy({ metadata: { name: 'users' }, spec: object.spec }));
  await refused('RoutePolicy', [
    [{ targetRefs: [ROUTE] }, 'spec', 'says nothing'],
    [{ timeouts: { request: '10s' } }, 'spec.targetRefs', 'Required value'],
    [{ targetRefs: [{ ...ROUTE, kind: 'TCPRoute' }], sse: {} }, 'spec.targetRefs[0].kind', '"HTTPRoute", "GRPCRoute"'],
    [{ targetRefs: [ROUTE], retry: { attempts: 100 } }, 'spec.retry.attempts', 'less than or equal to 10'],
    [{ targetRefs: [ROUTE], retry: { conditions: ['418'] } }, 'spec.retry.conditions[0]', '"connect"'],
    [{ targetRefs: [ROUTE], retry: { backoff: '2m' } }, 'spec.retry.backoff', 'expected at most 1m'],
  ]);
});

test('kubectl shows state, instances, since when and who woke it, and explains the keys', async () => {
  await using namespace = await cluster.namespace('crd');
  const object = {
    apiVersion: 'dormouse.dev/v1alpha1',
    kind: 'Backend',
    metadata: { name: 'users' },
    spec: { kubernetes: KUBERNETES },
  };
  await namespace.apply([object]);
  const status = {
    observedGeneration: 1,
    state: 'awake',
    since: '2026-01-01T00:00:00Z',
    why: 'a request came 3 s ago',
    instances: 2,
    desired: 2,
    demand: { concurrency: '1.5', requestsPerSecond: '20.0', inFlight: 1, held: 0 },
    lastWoken: { at: '2026-01-01T00:00:00Z', by: 'GET /cart from 10.0.0.9', tookSeconds: '0.812' },
    handover: {
      step: 'serving',
      since: '2026-01-01T00:00:00Z',
      ports: [{ port: 80, gatewayPort: 20_000 }],
      replicasBefore: 2,
      pausedAutoscaler: false,
    },
    conditions: [
      {
        type: 'Ready',
        status: 'True',
        reason: 'Ready',
        message: 'fine',
        lastTransitionTime: '2026-01-01T00:00:00Z',
        observedGeneration: 1,
      },
    ],
  };
  const path = `/apis/dormouse.dev/v1alpha1/namespaces/${namespace.name}/backends/users`;
  const written = await cluster.request('PATCH', `${path}/status?fieldValidation=Strict`, {
    body: { status },
    contentType: 'application/merge-patch+json',
  });
  assert.equal(written.status, 200, written.body);
  assert.deepEqual((JSON.parse(written.body) as { status: unknown }).status, status);
  assert.match(
    await namespace.kubectl('get', 'dmb'),
    /^NAME +STATE +INSTANCES +SINCE +WOKEN-BY +READY +AGE\nusers +awake +2 +\S+ +GET \/cart from 10\.0\.0\.9 +True +\d+s$/m,
  );
  assert.match(
    await namespace.kubectl('wait', '--for=condition=Ready', 'backend/users', '--timeout=5s'),
    /condition met/,
  );
  assert.match(
    await namespace.kubectl('explain', 'backend.spec.scale.idleAfter'),
    /no request for this long[\s\S]*Default: 60s/,
  );
  await assert.rejects(
    namespace.kubectl('patch', 'backend', 'users', '--type=merge', '-p', '{"spec":{"scale":{"min":3}}}'),
    /spec\.scale\.min: Invalid value: .*min is more than max/,
  );
});

test('the schemas themselves are what is in the chart', async () => {
  for (const file of files) {
    const local = parse(readFileSync(new URL(file, folder), 'utf8')) as { spec: { versions: { schema: unknown }[] } };
    const stored = await cluster.read<typeof local>(
      `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${file.replace(/\.yaml$/, '')}`,
    );
    assert.deepEqual(stored?.spec.versions[0]?.schema, local.spec.versions[0]?.schema);
  }
});
